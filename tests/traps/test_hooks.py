"""Event hooks run inside of a flow: they see its exchanges, and may make requests of their own."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from httpx_cobo_auth import RenewalTimeoutError, Timeouts, TokenEndpointError
from tests.family import httpx
from tests.held import door_closed, renewing, writes

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.conftest import MakesAuth
    from tests.traps.conftest import MakesAsyncClient, MakesClient

LONGEST_S = 20


def raising(response: httpx.Response) -> None:
    """The hook that everybody writes."""
    response.raise_for_status()


async def araising(response: httpx.Response) -> None:
    """The same for an async client."""
    response.raise_for_status()


def for_token(message: httpx.Request | httpx.Response) -> bool:
    """Return whether it belongs to an exchange."""
    request = message if isinstance(message, httpx.Request) else message.request
    return request.url.path.endswith("/oauth/token")


class Audit:
    """A service that hooks report to. It is down when the first renewal is reported."""

    is_down = False

    def report(self, response: httpx.Response) -> None:
        if for_token(response) and response.request.method == "POST" and not self.is_down:
            self.is_down = True
            message = "audit.example: connection refused"
            raise httpx.ConnectError(message)

    async def areport(self, response: httpx.Response) -> None:
        self.report(response)


class TestSee:
    @pytest.mark.hazard(3)
    def test_hooks_see_the_exchange(
        self, simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
    ) -> None:
        """That is documented: they are the client's own."""
        seen: list[tuple[str, str]] = []

        def note(request: httpx.Request) -> None:
            seen.append((request.method, request.url.path))

        hooks: Any = {"request": [note]}
        with make_client(make_auth(simulator), transport=simulator, event_hooks=hooks) as client:
            client.post("/echo")
        assert seen == [("GET", "/v2/oauth/token"), ("POST", "/v2/echo")]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_hooks_may_read_answers(
        self,
        method: str,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """An answer that was read already is as good as one that was not."""
        simulator.expired_status = 401

        def read(response: httpx.Response) -> None:
            response.read()

        hooks: Any = {"response": [read]}
        with make_client(make_auth(simulator), transport=simulator, event_hooks=hooks) as client:
            client.get("/wallets").raise_for_status()
            clock.advance(simulator.token_lifetime)
            client.request(method, "/echo").raise_for_status()
            simulator.revoke_tokens()
            response = client.request(method, "/echo").raise_for_status()
        assert [one.status_code for one in response.history] == [401]
        assert simulator.counters.refreshes == 2

    @pytest.mark.anyio
    async def test_async_hooks_may_read_answers(
        self,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_async_client: MakesAsyncClient,
    ) -> None:
        """The same for tasks."""

        async def read(response: httpx.Response) -> None:
            await response.aread()

        auth, hooks = make_auth(simulator), {"response": [read]}
        async with make_async_client(auth, transport=simulator, event_hooks=hooks) as client:
            (await client.get("/wallets")).raise_for_status()
            clock.advance(simulator.token_lifetime)
            (await client.get("/wallets")).raise_for_status()
            simulator.revoke_tokens()
            (await client.get("/wallets")).raise_for_status()
        assert simulator.counters.refreshes == 2

    @pytest.mark.hazard(3)
    def test_our_own_log_shows_no_secret(
        self,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """At DEBUG, through renewals and failures."""
        ours = logging.getLogger("httpx_cobo_auth")
        monkeypatch.setattr(ours, "disabled", False)
        caplog.set_level(logging.DEBUG, "httpx_cobo_auth")
        auth = make_auth(simulator)
        secrets: set[str] = {simulator.app_secret}
        with make_client(auth, transport=simulator) as client:
            for trouble in ("none", "garbage", "drop", "tamper", "none"):
                clock.advance(simulator.token_lifetime)
                if trouble != "none":
                    simulator.inject("token", trouble, times=3)  # type: ignore[arg-type]
                try:
                    client.get("/wallets")
                except (TokenEndpointError, httpx.HTTPError, httpx.StreamError):
                    clock.advance(60)
                held = auth._session.account.known.held
                assert held is not None
                secrets |= {held.token.access_token, held.token.refresh_token or "-"}
        text = "\n".join(
            record.getMessage() for record in caplog.records if record.name.startswith(ours.name)
        )
        assert len(text.splitlines()) > 1
        assert not [secret for secret in secrets if secret in text]


class TestRaise:
    """A hook that raises on 4XX and 5XX hides refusals from the flow: documented, prominently."""

    @pytest.mark.hazard(3)
    def test_a_refusal_is_the_caller_s(
        self,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """The flow never learns of it, and renews when the deadline comes, not before."""
        auth = make_auth(simulator)
        hooks: Any = {"response": [raising]}
        with make_client(auth, transport=simulator, event_hooks=hooks) as client:
            client.get("/wallets")
            simulator.revoke_tokens()
            for method in ("GET", "POST"):
                with pytest.raises(httpx.HTTPStatusError, match="500"):
                    client.request(method, "/echo")
            assert simulator.counters.exchanges == 1
            assert not writes(auth)
            clock.advance(simulator.token_lifetime)
            client.post("/echo")
        assert simulator.counters.exchanges == 2

    def test_a_failed_exchange(
        self,
        way: str,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """A safe client raises our own error all the same; nothing is held, the next recovers."""
        auth = make_auth(simulator)
        hooks: Any = {"response": [raising]}
        with make_client(auth, transport=simulator, event_hooks=hooks) as client:
            client.get("/wallets")
            clock.advance(simulator.token_lifetime)
            expected = httpx.HTTPStatusError if way == "auth=" else TokenEndpointError
            with (
                simulator.inject("token", status=502, signed=False, times=None),
                pytest.raises(expected),
            ):
                client.get("/wallets")
            assert not renewing(auth)
            clock.advance(60)
            client.get("/wallets")
        assert simulator.counters.spent_refresh_reused == 0

    @pytest.mark.anyio
    async def test_for_tasks(
        self,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_async_client: MakesAsyncClient,
    ) -> None:
        """The same for tasks."""
        auth, hooks = make_auth(simulator), {"response": [araising]}
        async with make_async_client(auth, transport=simulator, event_hooks=hooks) as client:
            await client.get("/wallets")
            simulator.revoke_tokens()
            with pytest.raises(httpx.HTTPStatusError, match="500"):
                await client.post("/echo")
            assert not writes(auth)
            clock.advance(simulator.token_lifetime)
            await client.post("/echo")
        assert simulator.counters.exchanges == 2

    def test_a_hook_with_an_error_of_its_own(
        self, way: str, simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
    ) -> None:
        """What a hook raises in an exchange is one caller's only where it travels with a call."""
        auth = make_auth(simulator)

        def broken(response: httpx.Response) -> None:
            if for_token(response) and simulator.counters.exchanges == 1:
                message = "a mistake in the hook"
                raise LookupError(message)

        with make_client(auth, transport=simulator, event_hooks={"response": [broken]}) as client:
            if way == "auth=":
                with pytest.raises(LookupError):
                    client.get("/wallets")
            assert not renewing(auth)
            client.get("/wallets").raise_for_status()

    @pytest.mark.hazard(44)
    def test_a_hook_that_cannot_connect_says_nothing_of_the_exchange(
        self, simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
    ) -> None:
        """Its ``ConnectError`` does not mean that the refresh token has not been sent."""
        audit = Audit()
        hooks: Any = {"response": [audit.report]}
        with make_client(make_auth(simulator), transport=simulator, event_hooks=hooks) as client:
            client.get("/wallets").raise_for_status()
            simulator.revoke_tokens()
            with contextlib.suppress(httpx.ConnectError):
                client.get("/wallets")
            client.get("/wallets").raise_for_status()
        assert audit.is_down
        assert simulator.counters.refreshes == 1
        assert simulator.counters.spent_refresh_reused == 0

    @pytest.mark.hazard(44)
    @pytest.mark.anyio
    async def test_an_async_hook_that_cannot_connect_says_nothing_of_it_either(
        self, simulator: CoboSimulator, make_auth: MakesAuth, make_async_client: MakesAsyncClient
    ) -> None:
        """The same for tasks."""
        audit = Audit()
        auth, hooks = make_auth(simulator), {"response": [audit.areport]}
        async with make_async_client(auth, transport=simulator, event_hooks=hooks) as client:
            (await client.get("/wallets")).raise_for_status()
            simulator.revoke_tokens()
            with contextlib.suppress(httpx.ConnectError):
                await client.get("/wallets")
            (await client.get("/wallets")).raise_for_status()
        assert audit.is_down
        assert simulator.counters.refreshes == 1
        assert simulator.counters.spent_refresh_reused == 0


class TestAsk:
    """A request made inside of a hook never waits for its own parent."""

    @pytest.mark.parametrize("inner", ["GET", "POST"])
    @pytest.mark.parametrize("event", ["request", "response"])
    @pytest.mark.parametrize("trouble", ["none", "expired", "revoked"])
    def test_inside_of_a_write(
        self,
        inner: str,
        event: str,
        trouble: str,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """Not even where it has to renew, which would drain the write it is part of."""
        simulator.expired_status = 401
        simulator.token_lifetime = 40  # less than what a nonce may be old
        auth = make_auth(simulator)
        asked: list[int] = []

        def ask(message: httpx.Request | httpx.Response) -> None:
            if armed and not asked and not for_token(message):
                asked.append(0)
                if trouble == "expired":
                    clock.advance(simulator.token_lifetime)
                elif trouble == "revoked":
                    simulator.revoke_tokens()
                asked[0] = client.request(inner, "/echo").status_code

        armed = False
        with make_client(auth, transport=simulator, event_hooks={event: [ask]}) as client:
            client.get("/wallets")
            armed = True
            client.post("/echo").raise_for_status()
        assert asked == [200]
        assert not writes(auth)
        assert not renewing(auth)

    @pytest.mark.parametrize("inner", ["GET", "POST"])
    def test_inside_of_a_write_that_somebody_drains(
        self, inner: str, running: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
    ) -> None:
        """The door is closed, for the sake of the very write that it is part of."""
        auth = make_auth(running)
        renewal = threading.Thread(target=lambda: auth.renew(client))
        statuses: list[int] = []
        pause = threading.Event()

        def ask(response: httpx.Response) -> None:
            if response.request.method == "POST" and not renewal.ident:
                renewal.start()
                while not door_closed(auth):
                    pause.wait(0.001)
                statuses.append(client.request(inner, "/echo").status_code)

        with make_client(auth, transport=running, event_hooks={"response": [ask]}) as client:
            client.get("/wallets")
            client.post("/echo").raise_for_status()
            renewal.join(LONGEST_S)
        assert not renewal.is_alive()
        assert statuses == [200]
        assert running.counters.exchanges == 2
        assert running.counters.bounced_writes == 0

    @pytest.mark.hazard(85)
    @pytest.mark.anyio
    @pytest.mark.parametrize("inner", ["GET", "POST"])
    async def test_inside_of_a_write_of_a_task(
        self,
        inner: str,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_async_client: MakesAsyncClient,
    ) -> None:
        """The same for tasks, and for a task that the hook starts and waits for.

        Nobody can tell that the hook waits for that one: it drains the write for as long as may be.
        """
        auth = make_auth(simulator, timeouts=Timeouts(drain=0.1))
        asked: list[int] = []

        async def request() -> None:
            asked[0] = (await client.request(inner, "/echo")).status_code

        async def ask(response: httpx.Response) -> None:
            if response.request.method == "POST" and not asked:
                asked.append(0)
                clock.advance(simulator.token_lifetime)
                async with anyio.create_task_group() as group:
                    group.start_soon(request)

        hooks = {"response": [ask]}
        async with make_async_client(auth, transport=simulator, event_hooks=hooks) as client:
            await client.get("/wallets")
            with anyio.fail_after(LONGEST_S):
                (await client.post("/echo")).raise_for_status()
        assert asked == [200]

    @pytest.mark.parametrize("inner", ["GET", "POST"])
    @pytest.mark.parametrize("event", ["request", "response"])
    def test_inside_of_the_exchange(
        self,
        inner: str,
        event: str,
        simulator: CoboSimulator,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """Without a token it fails at once: it would have to wait for what waits for it."""
        auth = make_auth(simulator)
        caught: list[Exception] = []

        def ask(message: httpx.Request | httpx.Response) -> None:
            if for_token(message) and not caught:
                with pytest.raises(RenewalTimeoutError) as info:
                    client.request(inner, "/echo")
                caught.append(info.value)

        with make_client(auth, transport=simulator, event_hooks={event: [ask]}) as client:
            client.request(inner, "/echo").raise_for_status()
        assert len(caught) == 1
        assert simulator.counters.exchanges == 1

    @pytest.mark.parametrize("inner", ["GET", "POST"])
    def test_inside_of_an_early_exchange(
        self,
        inner: str,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """With a token that still works it goes on, without waiting for anything."""
        simulator.rotation_kills = False
        auth = make_auth(simulator)
        asked: list[int] = []

        def ask(request: httpx.Request) -> None:
            if for_token(request) and request.method == "POST" and not asked:
                asked.append(0)
                asked[0] = client.request(inner, "/echo").status_code

        with make_client(auth, transport=simulator, event_hooks={"request": [ask]}) as client:
            client.get("/wallets")
            clock.advance(simulator.token_lifetime - 60)
            client.get("/wallets").raise_for_status()
        assert asked == [200]
        assert simulator.counters.exchanges == 2

    def test_inside_of_another_organization_s(
        self, simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
    ) -> None:
        """Another's exchange, or write, is no parent: nothing of theirs is held for it."""
        ours, theirs = make_auth(simulator), make_auth(simulator)
        statuses: list[int] = []

        def ask(request: httpx.Request) -> None:
            if for_token(request):
                with theirs.client(transport=simulator) as other:
                    statuses.append(other.post("/echo").status_code)

        simulator.rotation_kills = False
        with make_client(ours, transport=simulator, event_hooks={"request": [ask]}) as client:
            client.post("/echo").raise_for_status()
        assert statuses == [200]
