"""The fixtures, as a test of one's own app finds them: nothing is imported, nothing configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from httpx_cobo_auth import CoboOAuth
from httpx_cobo_auth.httpx2 import CoboOAuth as CoboOAuth2
from httpx_cobo_auth.testing import CoboSimulator, ManualClock

if TYPE_CHECKING:
    import httpx

    from httpx_cobo_auth import Environment
    from httpx_cobo_auth.testing import Credentials


def test_the_clock_is_everybodys_and_stands_still(
    cobo_clock: ManualClock, cobo_simulator: CoboSimulator, cobo_credentials: Credentials
) -> None:
    """So what a test computes of it is exact."""
    assert cobo_simulator.clock is cobo_credentials["clock"] is cobo_clock
    now = cobo_clock.time()
    cobo_clock.advance(60)
    assert cobo_clock.time() == now + 60


def test_a_test_has_a_simulator_of_its_own(cobo_simulator: CoboSimulator) -> None:
    """With one organization, and nothing has happened yet."""
    assert cobo_simulator.log == []
    assert cobo_simulator.environment.base_url == "https://cobo.test/v2"


def test_the_credentials_are_the_simulators(
    cobo_simulator: CoboSimulator, cobo_credentials: Credentials
) -> None:
    """Everything that a ``CoboOAuth`` needs, and its clock."""
    assert cobo_credentials == {
        "client_id": cobo_simulator.client_id,
        "app_secret": cobo_simulator.app_secret,
        "org_id": cobo_simulator.org_id,
        "environment": cobo_simulator.environment,
        "clock": cobo_simulator.clock,
    }


def test_the_client_goes_through_the_auth_to_the_simulator(
    cobo_auth: CoboOAuth, cobo_client: httpx.Client, cobo_simulator: CoboSimulator
) -> None:
    """What is made of the same fixture shares its token."""
    with cobo_simulator.expect(renewals=1):
        assert len(cobo_client.get("/wallets").json()["data"]) == 3
    with cobo_simulator.expect(requests=0):
        assert cobo_auth.token(cobo_client).expires_at == cobo_simulator.clock.time() + 43_199


async def test_the_async_client_goes_there_as_well(
    cobo_async_client: httpx.AsyncClient, cobo_simulator: CoboSimulator
) -> None:
    """On asyncio and trio."""
    await cobo_async_client.get("/wallets")
    cobo_simulator.revoke_tokens()
    with cobo_simulator.expect(renewals=1, replays=1):
        assert (await cobo_async_client.get("/wallets")).status_code == 200


class TestServed:
    """The simulator on a socket, for what makes its own client or is another process."""

    def test_credentials_lead_to_the_socket(
        self,
        cobo_credentials: Credentials,
        cobo_environment: Environment,
        cobo_simulator: CoboSimulator,
    ) -> None:
        """Whichever of the two is asked for first."""
        assert cobo_environment.base_url.startswith("http://127.0.0.1:")
        assert cobo_credentials["environment"] is cobo_environment
        with CoboOAuth(**cobo_credentials).client() as client:
            client.get("/wallets").raise_for_status()
            cobo_simulator.revoke_tokens()
            with cobo_simulator.expect(renewals=1, replays=1):
                client.get("/wallets").raise_for_status()

    @pytest.mark.usefixtures("cobo_environment")
    def test_asking_by_a_marker_will_do(self, cobo_auth: CoboOAuth) -> None:
        """The auth is made of those credentials."""
        with cobo_auth.client() as client:
            client.get("/wallets").raise_for_status()

    def test_the_client_of_the_fixture_stays_in_memory(
        self,
        cobo_client: httpx.Client,
        cobo_environment: Environment,
        cobo_simulator: CoboSimulator,
    ) -> None:
        """Its transport is the simulator; both ways lead to the same tokens."""
        assert str(cobo_client.base_url) == f"{cobo_environment.base_url}/"
        cobo_client.get("/wallets").raise_for_status()
        assert cobo_simulator.counters.requests == 1

    async def test_httpx2_has_the_same(
        self,
        cobo_credentials: Credentials,
        cobo_environment: Environment,
        cobo_simulator: CoboSimulator,
    ) -> None:
        """The credentials are of no family."""
        auth = CoboOAuth2(**cobo_credentials)
        assert auth.environment is cobo_environment
        async with auth.async_client() as client:
            assert (await client.get("/wallets")).status_code == 200
            cobo_simulator.revoke_tokens()
            with cobo_simulator.expect(renewals=1, replays=1):
                assert (await client.get("/wallets")).status_code == 200


class TestSettings:
    """What is to be different about the simulator is said by a fixture of the same name."""

    @pytest.fixture
    def cobo_settings(self) -> dict[str, Any]:
        """Another organization, tokens that die by 401."""
        return {"org_id": "mine", "expired_status": 401}

    def test_they_are_the_simulators(
        self, cobo_client: httpx.Client, cobo_simulator: CoboSimulator
    ) -> None:
        """And the client's, where it has to know."""
        cobo_client.get("/wallets")
        assert cobo_simulator.log[-1].org_id == "mine"
        cobo_simulator.revoke_tokens()
        with cobo_simulator.expect(renewals=1, replays=1):
            cobo_client.get("/wallets")
        assert cobo_simulator.log[-3].status == 401


class TestClock:
    """So is the clock."""

    @pytest.fixture
    def cobo_clock(self) -> ManualClock:
        """One that runs, in another year."""
        return ManualClock(2_000_000_000, running=True)

    def test_it_is_everybodys(
        self, cobo_clock: ManualClock, cobo_client: httpx.Client, cobo_simulator: CoboSimulator
    ) -> None:
        """A client whose clock were another would be corrected first."""
        with cobo_simulator.expect(renewals=1):
            cobo_client.get("/wallets").raise_for_status()
        assert cobo_simulator.log[-1].at >= 2_000_000_000
        assert cobo_simulator.clock is cobo_clock


class TestHttpx2:
    """The clients are of the family that the auth is of."""

    @pytest.fixture
    def cobo_auth(self, cobo_credentials: Credentials) -> CoboOAuth2:
        """The same credentials, the other family."""
        return CoboOAuth2(**cobo_credentials)

    def test_the_client(self, cobo_client: httpx2.Client, cobo_simulator: CoboSimulator) -> None:
        """With the same simulator as transport."""
        assert isinstance(cobo_client, httpx2.Client)
        assert isinstance(cobo_client.get("/wallets"), httpx2.Response)
        cobo_simulator.revoke_tokens()
        with cobo_simulator.expect(renewals=1, replays=1):
            cobo_client.get("/wallets").raise_for_status()

    async def test_the_async_client(
        self, cobo_async_client: httpx2.AsyncClient, cobo_simulator: CoboSimulator
    ) -> None:
        """On asyncio and trio."""
        assert isinstance(cobo_async_client, httpx2.AsyncClient)
        await cobo_async_client.get("/wallets")
        cobo_simulator.revoke_tokens()
        with cobo_simulator.expect(renewals=1, replays=1):
            (await cobo_async_client.get("/wallets")).raise_for_status()
