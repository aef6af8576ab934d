"""The simulator beside ``pytest-httpx2``, which is respx for httpx2.

It and ``httpx2-pytest`` are both imported as ``pytest_httpx2``, and both bring a fixture
``httpx2_mock``, so no environment can have the two. The Makefile puts this one in a folder of
its own, ``apart``, and a process that has it at the head of its path takes it for the other.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

APART = Path(sys.prefix) / "apart"
ARGUMENTS = ("-q", "-W", "error", "-p", "no:cacheprovider")
CONFTEST = """
    import httpx2
    import pytest
    from httpx_cobo_auth.httpx2 import CoboOAuth

    RATES = "https://rates.test/usd"

    @pytest.fixture
    def cobo_auth(cobo_credentials):
        return CoboOAuth(**cobo_credentials)

    @pytest.fixture(autouse=True)
    def rates(httpx2_mock):
        httpx2_mock.get(RATES).respond(json={"eur": "0.9"})
        assert httpx2.get(RATES).json() == {"eur": "0.9"}
"""
TESTS = """
    import httpx2
    import pytest
    import respx

    def test_it_is_respx(httpx2_mock):
        assert isinstance(httpx2_mock, respx.MockRouter)

    def renews(client, simulator):
        client.get("/wallets").raise_for_status()
        simulator.revoke_tokens()
        with simulator.expect(renewals=1, replays=1):
            assert len(client.get("/wallets").json()["data"]) == 3
        with simulator.expect():
            client.post("/echo", json={"amount": "1"}).raise_for_status()

    async def arenews(client, simulator):
        (await client.get("/wallets")).raise_for_status()
        simulator.revoke_tokens()
        with simulator.expect(renewals=1, replays=1):
            assert len((await client.get("/wallets")).json()["data"]) == 3
        with simulator.expect():
            (await client.post("/echo", json={"amount": "1"})).raise_for_status()

    def test_as_transport(cobo_client, cobo_simulator):
        assert isinstance(cobo_client, httpx2.Client)
        renews(cobo_client, cobo_simulator)

    @pytest.mark.anyio
    async def test_as_async_transport(cobo_async_client, cobo_simulator):
        await arenews(cobo_async_client, cobo_simulator)

    def test_handed_over(httpx2_mock, cobo_auth, cobo_simulator):
        httpx2_mock.route(host="cobo.test").mock(side_effect=cobo_simulator.handle_request)
        with cobo_auth.client() as client:
            renews(client, cobo_simulator)

    @pytest.mark.anyio
    async def test_handed_over_by_async_clients(httpx2_mock, cobo_auth, cobo_simulator):
        handle = cobo_simulator.handle_async_request
        httpx2_mock.route(host="cobo.test").mock(side_effect=handle)
        async with cobo_auth.async_client() as client:
            await arenews(client, cobo_simulator)

    def test_on_a_socket(httpx2_mock, cobo_environment, cobo_auth, cobo_simulator):
        httpx2_mock.route(host="127.0.0.1").pass_through()
        with cobo_auth.client() as client:
            renews(client, cobo_simulator)
"""


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes find it first."""
    if not APART.is_dir():
        pytest.skip(f"missing service: pytest-httpx2 in {APART}, where `make` puts it")
    monkeypatch.setenv("PYTHONPATH", str(APART))


@pytest.mark.usefixtures("path")
def test_beside_pytest_httpx2(pytester: pytest.Pytester) -> None:
    """As transport, handed over, and on a socket; sync, on asyncio and on trio."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    pytester.runpytest_subprocess(*ARGUMENTS).assert_outcomes(passed=8)
