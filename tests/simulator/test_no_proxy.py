"""On its socket the simulator is reached, whatever proxy the environment names."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.family import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.conftest import MakesAuth


@pytest.fixture(params=["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def proxy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A proxy that answers nothing, as on company laptops."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv(request.param, url)
        yield url


@pytest.mark.hazard(89)
@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("exempt", [None, "", "intra.example", "*"])
def test_a_client_made_meanwhile_reaches_it(
    simulator: CoboSimulator,
    make_auth: MakesAuth,
    monkeypatch: pytest.MonkeyPatch,
    exempt: str | None,
) -> None:
    """Whatever else is exempt stays so, and afterwards the environment is as before."""
    if exempt is not None:
        monkeypatch.setenv("NO_PROXY", exempt)
    before = dict(os.environ)
    with simulator.serve(), make_auth(simulator).client() as client:
        client.get("/wallets").raise_for_status()
        assert os.environ["NO_PROXY"] == {
            None: "127.0.0.1",
            "": "127.0.0.1",
            "intra.example": "intra.example,127.0.0.1",
            "*": "*",
        }.get(exempt)
    assert dict(os.environ) == before


@pytest.mark.hazard(89)
@pytest.mark.usefixtures("proxy")
@pytest.mark.anyio
async def test_an_async_client_does(simulator: CoboSimulator, make_auth: MakesAuth) -> None:
    """On both event loops."""
    with simulator.serve():
        async with make_auth(simulator).async_client() as client:
            (await client.get("/wallets")).raise_for_status()


@pytest.mark.usefixtures("proxy")
def test_other_hosts_stay_behind_the_proxy(simulator: CoboSimulator) -> None:
    """Only the simulator's own is exempt."""
    with (
        simulator.serve(),
        httpx.Client(verify=False) as client,  # no certificates are read
        pytest.raises(httpx.ConnectError, match="refused"),
    ):
        client.get("http://elsewhere.invalid/")


@pytest.mark.usefixtures("proxy")
def test_of_two_the_second_to_end_puts_the_environment_back(
    simulator: CoboSimulator, running: CoboSimulator, make_auth: MakesAuth
) -> None:
    """In whichever order they begin and end."""
    before = dict(os.environ)
    first, second = simulator.serve(), running.serve()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with make_auth(running).client() as client:
        client.get("/wallets").raise_for_status()
    second.__exit__(None, None, None)
    assert dict(os.environ) == before
