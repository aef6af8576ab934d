"""The simulator beside respx and pytest-httpx, and beside their counterparts for httpx2.

Each way in is tried, sync and async, with a renewal and its replay going through it:

- the simulator is the client's transport, and the mock does not see Cobo's requests;
- the mock hands them over to the simulator, for clients whose transport is not to be chosen;
- the simulator is on a socket, and the mock lets its requests pass.

``pytest-httpx2`` has a file of its own: it and ``httpx2-pytest`` are one import package.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import httpx
import httpx2
import pytest

from httpx_cobo_auth.httpx2 import CoboOAuth as CoboOAuth2

if TYPE_CHECKING:
    import pytest_httpx
    import pytest_httpx2
    import respx

    from httpx_cobo_auth import CoboOAuth, Environment
    from httpx_cobo_auth.testing import CoboSimulator, Credentials

COBO = re.compile(r"https://cobo\.test/")
RATES = "https://rates.test/usd"


class Renews(Protocol):
    """Lets a client's token die, and sees to it that one renewal follows, then the replay."""

    def __call__(self, client: httpx.Client | httpx2.Client) -> None:
        """Do so."""


class AsyncRenews(Protocol):
    """The same for async clients."""

    async def __call__(self, client: httpx.AsyncClient | httpx2.AsyncClient) -> None:
        """Do so."""


@pytest.fixture
def renews(cobo_simulator: CoboSimulator) -> Renews:
    """One renewal, then the replay."""

    def renews(client: httpx.Client | httpx2.Client) -> None:
        with cobo_simulator.expect(renewals=1):
            client.get("/wallets").raise_for_status()
        cobo_simulator.revoke_tokens()
        with cobo_simulator.expect(renewals=1, replays=1):
            assert len(client.get("/wallets").raise_for_status().json()["data"]) == 3
        with cobo_simulator.expect():
            client.post("/echo", json={"amount": "1"}).raise_for_status()

    return renews


@pytest.fixture
def arenews(cobo_simulator: CoboSimulator) -> AsyncRenews:
    """One renewal, then the replay."""

    async def renews(client: httpx.AsyncClient | httpx2.AsyncClient) -> None:
        with cobo_simulator.expect(renewals=1):
            (await client.get("/wallets")).raise_for_status()
        cobo_simulator.revoke_tokens()
        with cobo_simulator.expect(renewals=1, replays=1):
            answer = (await client.get("/wallets")).raise_for_status()
        assert len(answer.json()["data"]) == 3
        with cobo_simulator.expect():
            (await client.post("/echo", json={"amount": "1"})).raise_for_status()

    return renews


@pytest.fixture
def cobo_auth2(cobo_credentials: Credentials) -> CoboOAuth2:
    """The auth of the other family."""
    return CoboOAuth2(**cobo_credentials)


def is_elsewhere(request: httpx.Request | httpx2.Request) -> bool:
    """Say what a mock is to see while the simulator is on a socket."""
    return request.url.host != "127.0.0.1"


class TestRespx:
    """``respx_mock`` patches httpcore, beneath every transport of httpx."""

    @pytest.fixture(autouse=True)
    def rates(self, respx_mock: respx.MockRouter) -> None:
        """Something that is none of Cobo's, and is mocked as ever."""
        respx_mock.get(RATES).respond(json={"eur": "0.9"})

    @pytest.fixture(autouse=True)
    def rates_are_asked_for(self, rates: None) -> None:
        """Respx fails a test whose routes were not used."""
        del rates
        assert httpx.get(RATES).json() == {"eur": "0.9"}

    def test_as_transport(self, cobo_client: httpx.Client, renews: Renews) -> None:
        """Respx does not see it."""
        renews(cobo_client)

    async def test_as_async_transport(
        self, cobo_async_client: httpx.AsyncClient, arenews: AsyncRenews
    ) -> None:
        """Nor this."""
        await arenews(cobo_async_client)

    def test_handed_over(
        self,
        respx_mock: respx.MockRouter,
        cobo_auth: CoboOAuth,
        cobo_simulator: CoboSimulator,
        renews: Renews,
    ) -> None:
        """A route has the simulator as its side effect."""
        respx_mock.route(host="cobo.test").mock(side_effect=cobo_simulator.handle_request)
        with cobo_auth.client() as client:
            renews(client)
            with cobo_simulator.inject("api", "drop"), pytest.raises(httpx.ReadError):
                client.get("/wallets")

    async def test_handed_over_by_async_clients(
        self,
        respx_mock: respx.MockRouter,
        cobo_auth: CoboOAuth,
        cobo_simulator: CoboSimulator,
        arenews: AsyncRenews,
    ) -> None:
        """By the simulator's other method."""
        respx_mock.route(host="cobo.test").mock(side_effect=cobo_simulator.handle_async_request)
        async with cobo_auth.async_client() as client:
            await arenews(client)

    def test_on_a_socket(
        self,
        respx_mock: respx.MockRouter,
        cobo_environment: Environment,
        cobo_auth: CoboOAuth,
        renews: Renews,
    ) -> None:
        """Past respx."""
        respx_mock.route(host="127.0.0.1").pass_through()
        with cobo_auth.client() as client:
            assert str(client.base_url) == f"{cobo_environment.base_url}/"
            renews(client)


class TestPytestHttpx:
    """``httpx_mock`` patches the transports that httpx makes itself."""

    @pytest.fixture(autouse=True)
    def rates(self, httpx_mock: pytest_httpx.HTTPXMock) -> None:
        """Something that is none of Cobo's, and is mocked as ever."""
        httpx_mock.add_response(url=RATES, json={"eur": "0.9"})
        assert httpx.get(RATES).json() == {"eur": "0.9"}

    def test_as_transport(self, cobo_client: httpx.Client, renews: Renews) -> None:
        """The mock does not see it."""
        renews(cobo_client)

    async def test_as_async_transport(
        self, cobo_async_client: httpx.AsyncClient, arenews: AsyncRenews
    ) -> None:
        """Nor this."""
        await arenews(cobo_async_client)

    def test_handed_over(
        self,
        httpx_mock: pytest_httpx.HTTPXMock,
        cobo_auth: CoboOAuth,
        cobo_simulator: CoboSimulator,
        renews: Renews,
    ) -> None:
        """A callback that may be used more than once."""
        httpx_mock.add_callback(cobo_simulator.handle_request, url=COBO, is_reusable=True)
        with cobo_auth.client() as client:
            renews(client)
            with cobo_simulator.inject("api", "drop"), pytest.raises(httpx.ReadError):
                client.get("/wallets")

    async def test_handed_over_by_async_clients(
        self,
        httpx_mock: pytest_httpx.HTTPXMock,
        cobo_auth: CoboOAuth,
        cobo_simulator: CoboSimulator,
        arenews: AsyncRenews,
    ) -> None:
        """By the simulator's other method."""
        httpx_mock.add_callback(cobo_simulator.handle_async_request, url=COBO, is_reusable=True)
        async with cobo_auth.async_client() as client:
            await arenews(client)

    @pytest.mark.httpx_mock(should_mock=is_elsewhere)
    @pytest.mark.usefixtures("cobo_environment")
    def test_on_a_socket(self, cobo_auth: CoboOAuth, renews: Renews) -> None:
        """The marker lets it pass."""
        with cobo_auth.client() as client:
            renews(client)


class TestHttpx2Pytest:
    """``httpx2_mock`` of ``httpx2-pytest`` does to httpx2 what ``httpx_mock`` does to httpx."""

    @pytest.fixture
    def cobo_auth(self, cobo_auth2: CoboOAuth2) -> CoboOAuth2:
        """The clients of the fixtures are httpx2's."""
        return cobo_auth2

    @pytest.fixture(autouse=True)
    def rates(self, httpx2_mock: pytest_httpx2.HTTPXMock) -> None:
        """Something that is none of Cobo's, and is mocked as ever."""
        httpx2_mock.add_response(url=RATES, json={"eur": "0.9"})
        assert httpx2.get(RATES).json() == {"eur": "0.9"}

    def test_as_transport(self, cobo_client: httpx2.Client, renews: Renews) -> None:
        """The mock does not see it."""
        assert isinstance(cobo_client, httpx2.Client)
        renews(cobo_client)

    async def test_as_async_transport(
        self, cobo_async_client: httpx2.AsyncClient, arenews: AsyncRenews
    ) -> None:
        """Nor this."""
        assert isinstance(cobo_async_client, httpx2.AsyncClient)
        await arenews(cobo_async_client)

    def test_handed_over(
        self,
        httpx2_mock: pytest_httpx2.HTTPXMock,
        cobo_auth: CoboOAuth2,
        cobo_simulator: CoboSimulator,
        renews: Renews,
    ) -> None:
        """A callback that may be used more than once; errors are httpx2's own."""
        httpx2_mock.add_callback(cobo_simulator.handle_request, url=COBO, is_reusable=True)
        with cobo_auth.client() as client:
            renews(client)
            with cobo_simulator.inject("api", "drop"), pytest.raises(httpx2.ReadError):
                client.get("/wallets")

    async def test_handed_over_by_async_clients(
        self,
        httpx2_mock: pytest_httpx2.HTTPXMock,
        cobo_auth: CoboOAuth2,
        cobo_simulator: CoboSimulator,
        arenews: AsyncRenews,
    ) -> None:
        """By the simulator's other method."""
        httpx2_mock.add_callback(cobo_simulator.handle_async_request, url=COBO, is_reusable=True)
        async with cobo_auth.async_client() as client:
            await arenews(client)

    @pytest.mark.httpx2_mock(should_mock=is_elsewhere)
    @pytest.mark.usefixtures("cobo_environment")
    def test_on_a_socket(self, cobo_auth: CoboOAuth2, renews: Renews) -> None:
        """The marker lets it pass."""
        with cobo_auth.client() as client:
            renews(client)


def test_all_of_them_at_once(
    respx_mock: respx.MockRouter,
    httpx_mock: pytest_httpx.HTTPXMock,
    httpx2_mock: pytest_httpx2.HTTPXMock,
    cobo_client: httpx.Client,
    cobo_auth2: CoboOAuth2,
    cobo_simulator: CoboSimulator,
) -> None:
    """In one test, with a client of each family."""
    assert not respx_mock.calls
    httpx_mock.add_response(url=RATES, text="httpx")
    httpx2_mock.add_response(url=RATES, text="httpx2")
    assert (httpx.get(RATES).text, httpx2.get(RATES).text) == ("httpx", "httpx2")
    with cobo_simulator.expect(renewals=1):
        cobo_client.get("/wallets").raise_for_status()
    with cobo_simulator.expect(renewals=1), cobo_auth2.client(transport=cobo_simulator) as client2:
        client2.get("/wallets").raise_for_status()
