"""A request made inside of a flow has no timeout of its own, so it is given one."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth import Timeouts, TokenEndpointError
from tests.family import httpx
from tests.held import renewing

if TYPE_CHECKING:
    from collections.abc import Generator

    from httpx_cobo_auth import CoboOAuth
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.conftest import MakesAuth
    from tests.traps.conftest import MakesAsyncClient, MakesClient, Relay

pytestmark = pytest.mark.hazard(1)

REQUEST_S = 0.5  # other tests run beside these, and a good answer must be in time all the same
EXCHANGE_S = 1.2
LIMITS = Timeouts(request=REQUEST_S, exchange=EXCHANGE_S, early_exchange=EXCHANGE_S)
_FRESH: dict[str, Any] = {
    "limits": httpx.Limits(max_keepalive_connections=0),
    "timeout": None,  # the client's own patience is endless
}


@contextmanager
def within(seconds: float) -> Generator[None]:
    """Check that it takes no longer."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@pytest.fixture
def auth(running: CoboSimulator, make_auth: MakesAuth, relay: Relay) -> CoboOAuth:
    """Its token has expired when the endpoint turns hostile."""
    del relay
    return make_auth(running, timeouts=LIMITS)


@pytest.fixture
def expired(auth: CoboOAuth, running: CoboSimulator, ticking: ManualClock) -> CoboOAuth:
    with auth.client(**_FRESH) as client:
        client.get("/wallets").raise_for_status()
    ticking.advance(running.token_lifetime)
    return auth


class TestSilence:
    """A socket that accepts, and never answers."""

    def test_a_safe_client_says_what_happened(
        self, expired: CoboOAuth, running: CoboSimulator, relay: Relay
    ) -> None:
        """A typed error within the limit; the refresh token is not sent again."""
        relay.hostility = "silent"
        with expired.client(**_FRESH) as client:
            with within(EXCHANGE_S + 1), pytest.raises(TokenEndpointError, match="no answer"):
                client.get("/wallets")
            assert relay.met >= 2
            relay.hostility = None
            client.get("/wallets").raise_for_status()
        assert running.counters.refreshes == 0
        assert running.counters.implicits == 2

    @pytest.mark.anyio
    async def test_a_safe_async_client_says_what_happened(
        self, expired: CoboOAuth, running: CoboSimulator, relay: Relay
    ) -> None:
        """The same for tasks."""
        relay.hostility = "silent"
        async with expired.async_client(**_FRESH) as client:
            with within(EXCHANGE_S + 1), pytest.raises(TokenEndpointError, match="no answer"):
                await client.get("/wallets")
            relay.hostility = None
            (await client.get("/wallets")).raise_for_status()
        assert running.counters.refreshes == 0
        assert running.counters.implicits == 2

    def test_with_a_client_of_one_s_own_it_is_httpx_that_says_so(
        self, expired: CoboOAuth, running: CoboSimulator, relay: Relay
    ) -> None:
        """A flow never learns of a transport error; the next call recovers."""
        relay.hostility = "silent"
        url = expired.environment.base_url
        with httpx.Client(base_url=url, auth=expired, **_FRESH) as client:
            with within(REQUEST_S + 1), pytest.raises(httpx.ReadTimeout):
                client.get("/wallets")
            assert relay.met == 1
            relay.hostility = None
            client.get("/wallets").raise_for_status()
        assert running.counters.refreshes == 0
        assert running.counters.implicits == 2

    @pytest.mark.anyio
    async def test_with_an_async_client_of_one_s_own_too(
        self, expired: CoboOAuth, running: CoboSimulator, relay: Relay
    ) -> None:
        """The same for tasks."""
        relay.hostility = "silent"
        url = expired.environment.base_url
        async with httpx.AsyncClient(base_url=url, auth=expired, **_FRESH) as client:
            with within(REQUEST_S + 1), pytest.raises(httpx.ReadTimeout):
                await client.get("/wallets")
            relay.hostility = None
            (await client.get("/wallets")).raise_for_status()
        assert running.counters.refreshes == 0
        assert running.counters.implicits == 2

    @pytest.mark.hazard(28)
    def test_a_stale_token_goes_on_meanwhile(
        self, auth: CoboOAuth, running: CoboSimulator, ticking: ManualClock, relay: Relay
    ) -> None:
        """The renewal could have come later: its failure is nobody's."""
        with auth.client(**_FRESH) as client:
            client.get("/wallets").raise_for_status()
            ticking.advance(running.token_lifetime - 60)
            relay.hostility = "silent"
            with within(EXCHANGE_S + 1):
                client.get("/wallets").raise_for_status()
            with within(REQUEST_S):
                client.get("/wallets").raise_for_status()


class TestTrickle:
    """A socket that sends a byte now and then, so that no single read takes long."""

    def test_a_body(self, expired: CoboOAuth, relay: Relay, make_client: MakesClient) -> None:
        """The whole exchange is bounded, not only each read of it."""
        relay.hostility = "body"
        with make_client(expired, **_FRESH) as client:
            with within(EXCHANGE_S + 1), pytest.raises(TokenEndpointError, match="no answer"):
                client.get("/wallets")
            relay.hostility = None
            client.get("/wallets").raise_for_status()

    @pytest.mark.anyio
    async def test_a_body_for_tasks(
        self, expired: CoboOAuth, relay: Relay, make_async_client: MakesAsyncClient
    ) -> None:
        """The same for tasks."""
        relay.hostility = "body"
        async with make_async_client(expired, **_FRESH) as client:
            with within(EXCHANGE_S + 1), pytest.raises(TokenEndpointError, match="no answer"):
                await client.get("/wallets")
            relay.hostility = None
            (await client.get("/wallets")).raise_for_status()

    @pytest.mark.anyio
    async def test_a_head(self, expired: CoboOAuth, relay: Relay) -> None:
        """For tasks of a safe client this is bounded, too; threads cannot be interrupted."""
        relay.hostility = "head"
        async with expired.async_client(**_FRESH) as client:
            with within(EXCHANGE_S + 1), pytest.raises(TokenEndpointError, match="no answer"):
                await client.get("/wallets")
            relay.hostility = None
            (await client.get("/wallets")).raise_for_status()


@pytest.mark.hazard(24)
@pytest.mark.parametrize("in_memory", [True, False])
class TestLost:
    """The refresh token is spent, and its answer does not arrive."""

    @pytest.fixture
    def reachable(self, running: CoboSimulator, *, in_memory: bool) -> Generator[dict[str, Any]]:
        if in_memory:
            yield {"transport": running}
        else:
            with running.serve():
                yield {}

    def test_with_a_safe_client_nobody_notices(
        self,
        reachable: dict[str, Any],
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
    ) -> None:
        """``org_implicit`` follows within the same call."""
        with make_auth(running).client(**reachable) as client:
            client.get("/wallets").raise_for_status()
            ticking.advance(running.token_lifetime)
            running.inject("token", "drop")
            client.get("/wallets").raise_for_status()
        assert running.counters.refreshes == 1
        assert running.counters.implicits == 2
        assert running.counters.spent_refresh_reused == 0

    def test_with_a_client_of_one_s_own_one_call_fails(
        self,
        reachable: dict[str, Any],
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
    ) -> None:
        """With httpx's own error, and nothing of the call was sent; the next one recovers."""
        auth = make_auth(running)
        url = auth.environment.base_url
        with httpx.Client(base_url=url, auth=auth, **reachable) as client:
            client.get("/wallets").raise_for_status()
            ticking.advance(running.token_lifetime)
            running.inject("token", "drop")
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                client.post("/echo")
            assert running.counters.executed_writes == 0
            client.post("/echo").raise_for_status()
        assert running.counters.refreshes == 1
        assert running.counters.implicits == 2
        assert running.counters.spent_refresh_reused == 0


class TestRateLimit:
    def test_it_passes(
        self,
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """A 429 was not processed: the same refresh token is sent again, after a pause."""
        with make_client(make_auth(running), transport=running) as client:
            client.get("/wallets").raise_for_status()
            ticking.advance(running.token_lifetime)
            running.inject("token", status=429)
            client.get("/wallets").raise_for_status()
        assert running.counters.refreshes == 2
        assert running.counters.implicits == 1
        assert running.counters.spent_refresh_reused == 0

    def test_it_says_when_to_come_back(
        self,
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """A longer ``Retry-After`` is not waited for, but raised, with nothing held."""
        auth = make_auth(running)
        with make_client(auth, transport=running) as client:
            client.get("/wallets").raise_for_status()
            ticking.advance(running.token_lifetime)
            running.inject("token", status=429, retry_after=60)
            for _ in range(3):
                with within(1), pytest.raises(TokenEndpointError) as caught:
                    client.get("/wallets")
                assert caught.value.retry_after == pytest.approx(60, abs=2)
            assert running.counters.refreshes == 1
            assert not renewing(auth)
            ticking.advance(61)
            client.get("/wallets").raise_for_status()
        assert running.counters.refreshes == 2
        assert running.counters.implicits == 1


def test_the_client_s_own_timeout_is_not_the_exchange_s(
    running: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """An exchange has its limit in its timeout extension, whatever the client has."""
    seen: dict[str, Any] = {}

    class Watching(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen[request.url.path] = request.extensions.get("timeout")
            return running.handle_request(request)

    auth = make_auth(running, timeouts=Timeouts(request=7))
    with make_client(auth, transport=Watching(), timeout=None) as client:
        client.get("/wallets", timeout=3)
    seconds = {"connect", "read", "write", "pool"}
    assert seen == {
        "/v2/oauth/token": dict.fromkeys(seconds, 7),
        "/v2/wallets": dict.fromkeys(seconds, 3),
    }
