"""httpx keeps what a flow exchanged in ``history``, and gives the last answer to the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import TokenEndpointError
from tests.family import CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.conftest import MakesAuth
    from tests.traps.conftest import MakesAsyncClient, MakesClient

    Trouble = Callable[[CoboSimulator, ManualClock], object]


def _lose(simulator: CoboSimulator, clock: ManualClock) -> None:
    clock.advance(simulator.token_lifetime)
    simulator.inject("token", "garbage")


TROUBLES: dict[str, Trouble] = {
    "none": lambda simulator, _: simulator.counters,
    "expired": lambda simulator, clock: clock.advance(simulator.token_lifetime),
    "revoked": lambda simulator, _: simulator.revoke_tokens(),
    "stale": lambda simulator, clock: clock.advance(simulator.token_lifetime - 60),
    "refused twice": lambda simulator, _: simulator.inject(
        "api", status=401, error_code=2021, times=2
    ),
    "lost": _lose,
}


def everything(response: httpx.Response) -> Iterator[httpx.Response]:
    """The answer, and all that can be reached from it."""
    yield response
    for earlier in response.history:
        yield from everything(earlier)


def no_token_in(response: httpx.Response, auth: CoboOAuth, simulator: CoboSimulator) -> None:
    """No answer and no entry of the history is the token endpoint's, or holds a token."""
    held = auth._session.account.known.held
    assert held is not None
    secrets = [held.token.access_token, held.token.refresh_token or "-"]
    for one in everything(response):
        assert "/oauth/token" not in str(one.request.url)
        assert one.is_stream_consumed
        text = one.content.decode()
        assert "access_token" not in text
        assert not [secret for secret in secrets if secret in text]
    assert simulator.counters.exchanges > 0


@pytest.fixture(params=TROUBLES)
def trouble(request: pytest.FixtureRequest) -> Trouble:
    """What happens before a request that needs an exchange, or two, or none."""
    return TROUBLES[request.param]


@pytest.fixture(params=[500, 401])
def expired_status(request: pytest.FixtureRequest, simulator: CoboSimulator) -> int:
    """How the server refuses a dead token."""
    simulator.expired_status = request.param
    return simulator.expired_status


@pytest.mark.hazard(2, 40)
@pytest.mark.usefixtures("expired_status")
class TestHistory:
    """No exchange is in the history of any answer."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_of_threads(
        self,
        method: str,
        trouble: Trouble,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """Nor is the answer to a request that of an exchange, whatever came first."""
        auth = make_auth(simulator)
        with make_client(auth, transport=simulator) as client:
            no_token_in(client.request(method, "/echo"), auth, simulator)
            trouble(simulator, clock)
            no_token_in(client.request(method, "/echo"), auth, simulator)

    @pytest.mark.anyio
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_of_tasks(
        self,
        method: str,
        trouble: Trouble,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_async_client: MakesAsyncClient,
    ) -> None:
        """The same for tasks."""
        auth = make_auth(simulator)
        async with make_async_client(auth, transport=simulator) as client:
            no_token_in(await client.request(method, "/echo"), auth, simulator)
            trouble(simulator, clock)
            no_token_in(await client.request(method, "/echo"), auth, simulator)

    def test_of_a_stream(
        self,
        trouble: Trouble,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """The same where the caller reads by himself."""
        auth = make_auth(simulator)
        with make_client(auth, transport=simulator) as client:
            client.get("/wallets")
            trouble(simulator, clock)
            with client.stream("GET", "/wallets") as response:
                response.read()
            no_token_in(response, auth, simulator)

    def test_of_a_redirect_within_the_origin(
        self, simulator: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """The redirect stays in the history, the exchange before it does not."""
        auth, base_url = make_auth(simulator), simulator.environment.base_url
        url = f"{base_url}/wallets"
        with httpx.Client(auth=auth, base_url=base_url, transport=simulator) as client:
            simulator.inject("/v2/echo", "redirect", url=url)
            response = client.get("/echo", follow_redirects=True)
            no_token_in(response, auth, simulator)
            assert [earlier.status_code for earlier in response.history] == [307]


@pytest.mark.hazard(40)
class TestLastAnswer:
    """The answer to the last request of a flow is the caller's."""

    @pytest.mark.parametrize("held_off", [False, True])
    def test_a_refused_write_is_answered_by_its_refusal(
        self,
        *,
        held_off: bool,
        simulator: CoboSimulator,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """500/1000 is handed back, and nothing comes after it."""
        auth = make_auth(simulator)
        with make_client(auth, transport=simulator) as client:
            client.get("/wallets")
            simulator.revoke_tokens()
            if held_off:
                auth._session.account.did_not_help("GET /x", forced=True)
            exchanges = simulator.counters.exchanges
            response = client.post("/echo")
            assert (response.status_code, response.json()["error_code"]) == (500, 1000)
            assert response.history == []
            assert simulator.counters.exchanges == exchanges

    def test_a_renewal_that_fails_after_a_refusal_is_an_error(
        self, simulator: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """Where an exchange came last, there is no answer left to give."""
        simulator.expired_status = 401
        auth = make_auth(simulator)
        url = auth.environment.base_url
        with httpx.Client(base_url=url, auth=auth, transport=simulator) as client:
            client.get("/wallets")
            simulator.revoke_tokens()
            simulator.inject("token", status=503, times=None)
            with pytest.raises(TokenEndpointError):
                client.post("/echo")
