"""Flows that end before their time: whatever becomes of one, the others go on.

A renewal that was cut short may have spent the refresh token. It is never sent again: the
next one asks by ``org_implicit``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from httpx_cobo_auth import (
    FileStore,
    MemoryStore,
    RenewalTimeoutError,
    Timeouts,
    TokenEndpointError,
    TokenStore,
    TokenUnavailableError,
)
from httpx_cobo_auth._protocol.records import StoreKey
from httpx_cobo_auth._protocol.settings import Settings
from httpx_cobo_auth._runtime import promises
from httpx_cobo_auth._runtime.store_access import StoreAccess
from tests.family import CoboOAuth, httpx
from tests.held import door_closed, nothing_held, renewing, until, waiting, writes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from httpx_cobo_auth._protocol.records import Record
    from httpx_cobo_auth.stores.memory import _Lock
    from httpx_cobo_auth.testing import CoboSimulator, Hold, ManualClock
    from tests.concurrency.conftest import RunsThreads
    from tests.conftest import MakesAuth

AFTERWARDS = 10
_ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])
CLOSED = (httpx.HTTPError, RuntimeError, anyio.ClosedResourceError, TokenEndpointError)
_WAYS = pytest.mark.parametrize("way", ["auth=", "auth.client()"])


class ThreadedStore(MemoryStore):
    """Memory that async clients believe to be slow: they use it from worker threads."""

    blocking = True


class LapsingStore(MemoryStore):
    """Memory whose lock says that it lapses, as that of other hosts has to."""

    def try_lock(self, key: StoreKey, *, ttl: float) -> _Lock | None:
        lock = super().try_lock(key, ttl=ttl)
        if lock is not None:
            until = time.monotonic() + ttl
            lock.remaining = lambda: until - time.monotonic()  # type: ignore[method-assign]
        return lock


@pytest.fixture(params=["memory", "threaded", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> TokenStore:
    """Each kind of store that a task may be in the middle of."""
    kinds: dict[str, Callable[[], TokenStore]] = {
        "memory": MemoryStore,
        "threaded": ThreadedStore,
        "file": lambda: FileStore(tmp_path / "tokens"),
    }
    return kinds[request.param]()


def abandon(
    client: httpx.AsyncClient,
    method: str,
    hold: Hold,
    when: threading.Event | None = None,
) -> None:
    """Make a request, and close its event loop while the request is held."""

    async def until_held() -> None:
        task = asyncio.ensure_future(client.request(method, "/echo"))
        await hold.await_arrived()
        assert not task.done()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # "destroyed but pending"
    loop.run_until_complete(until_held())
    if when is not None:
        assert when.wait(30)
    loop.close()
    hold.release()


def sync_client(
    auth: CoboOAuth,
    way: str = "auth.client()",
    **options: Any,  # noqa: ANN401 - httpx\'s own
) -> httpx.Client:
    """Make a client of either way, which differ in who sends the exchange."""
    if way == "auth=":
        return httpx.Client(base_url=auth.environment.base_url, auth=auth, **options)
    return auth.client(**options)


def async_client(
    auth: CoboOAuth,
    way: str = "auth.client()",
    **options: Any,  # noqa: ANN401 - httpx\'s own
) -> httpx.AsyncClient:
    """The same for an async one."""
    if way == "auth=":
        return httpx.AsyncClient(base_url=auth.environment.base_url, auth=auth, **options)
    return auth.async_client(**options)


def all_well(
    auth: CoboOAuth,
    simulator: CoboSimulator,
    **options: Any,  # noqa: ANN401 - httpx's own
) -> None:
    """Ten requests succeed, no spent token is sent, and nothing is held."""
    with auth.client(**options) as client:
        for _ in range(AFTERWARDS):
            client.get("/wallets").raise_for_status()
    assert simulator.counters.spent_refresh_reused == 0
    nothing_held(auth)


async def aall_well(client: httpx.AsyncClient, auth: CoboOAuth, simulator: CoboSimulator) -> None:
    """The same by an async client, all at once."""

    async def ask() -> None:
        (await client.get("/wallets")).raise_for_status()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(AFTERWARDS):
                group.start_soon(ask)
    assert simulator.counters.spent_refresh_reused == 0
    nothing_held(auth)


@pytest.fixture
def expired_auth(running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth) -> CoboOAuth:
    """Has a token that has expired, and a refresh token that works."""
    auth = make_auth(running)
    with auth.client(transport=running) as client:
        client.get("/wallets").raise_for_status()
    ticking.advance(running.token_lifetime)
    return auth


@pytest.fixture
def hold(running: CoboSimulator, expired_auth: CoboOAuth) -> Hold:
    """Stops exchanges after they took effect: the refresh token is spent."""
    del expired_auth
    return running.hold("token")


@pytest.mark.hazard(15)
@pytest.mark.anyio
class TestOwner:
    """Whoever renews is cancelled while the exchange is under way."""

    @_WAYS
    async def test_by_a_scope(
        self, way: str, expired_auth: CoboOAuth, hold: Hold, running: CoboSimulator
    ) -> None:
        """Ten requests succeed afterwards, by one ``org_implicit``."""
        async with async_client(expired_auth, way, transport=running) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.get, "/wallets")
                await hold.await_arrived()
                group.cancel_scope.cancel()
            hold.release()
            await aall_well(client, expired_auth, running)
        assert running.counters.refreshes == 1
        assert running.counters.implicits == (2 if way == "auth=" else 1)

    @_WAYS
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_by_a_timeout(
        self, way: str, method: str, expired_auth: CoboOAuth, hold: Hold, running: CoboSimulator
    ) -> None:
        """The same where the caller's patience ends, over the same pool of connections."""
        with running.serve():
            auth = CoboOAuth(
                client_id=running.client_id,
                app_secret=running.app_secret,
                org_id=running.org_id,
                environment=running.environment,
                clock=running.clock,
            )
            async with async_client(auth, way) as client:
                with anyio.move_on_after(0.1) as scope:
                    await client.request(method, "/echo")
                assert scope.cancelled_caught
                hold.release()
                await aall_well(client, auth, running)
        nothing_held(expired_auth)

    @_ASYNCIO
    @_WAYS
    async def test_by_task_cancel(
        self, way: str, expired_auth: CoboOAuth, hold: Hold, running: CoboSimulator
    ) -> None:
        """asyncio's own way of cancelling, twice in a row."""
        async with async_client(expired_auth, way, transport=running) as client:
            for count in (1, 2):
                task = asyncio.ensure_future(client.get("/wallets"))
                await hold.await_arrived(count if way == "auth=" else 1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                if way == "auth=":
                    nothing_held(expired_auth)
            hold.release()
            await aall_well(client, expired_auth, running)
        assert running.counters.refreshes == 1

    @pytest.mark.hazard(10)
    @_WAYS
    async def test_while_others_wait(
        self, way: str, expired_auth: CoboOAuth, hold: Hold, running: CoboSimulator
    ) -> None:
        """The renewal goes on by itself, or by one of those who waited; all of them succeed."""
        async with async_client(expired_auth, way, transport=running) as client:
            async with anyio.create_task_group() as group:
                async with anyio.create_task_group() as owner:
                    owner.start_soon(client.get, "/wallets")
                    await hold.await_arrived()
                    for _ in range(5):
                        group.start_soon(client.get, "/wallets")
                    while waiting(expired_auth) < (5 if way == "auth=" else 6):
                        await anyio.lowlevel.checkpoint()
                    owner.cancel_scope.cancel()
                if way == "auth=":
                    await hold.await_arrived(2)
                hold.release()
            await aall_well(client, expired_auth, running)
        assert running.counters.exchanges == (3 if way == "auth=" else 2)

    @pytest.mark.hazard(47)
    async def test_a_renewal_asked_for(
        self, expired_auth: CoboOAuth, hold: Hold, running: CoboSimulator
    ) -> None:
        """``arenew`` and ``atoken`` hold nothing: the renewal goes on without them."""
        async with expired_auth.async_client(transport=running) as client:
            for get in (expired_auth.arenew, expired_auth.atoken):
                async with anyio.create_task_group() as group:
                    group.start_soon(get, client)
                    await hold.await_arrived()
                    group.cancel_scope.cancel()
            hold.release()
            await aall_well(client, expired_auth, running)


@pytest.mark.anyio
class TestWaiters:
    """Whoever waits for a renewal is cancelled."""

    @pytest.mark.hazard(15)
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_the_others_go_on(
        self, method: str, expired_auth: CoboOAuth, hold: Hold, running: CoboSimulator
    ) -> None:
        """They are forgotten at the gate; owner and other waiters succeed."""
        async with (
            expired_auth.async_client(transport=running) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(client.get, "/wallets")
            await hold.await_arrived()
            async with anyio.create_task_group() as impatient:
                for _ in range(3):
                    impatient.start_soon(client.request, method, "/echo")
                    group.start_soon(client.request, method, "/echo")
                while waiting(expired_auth) < 7:
                    await anyio.lowlevel.checkpoint()
                impatient.cancel_scope.cancel()
            assert waiting(expired_auth) == 4
            hold.release()
        assert running.counters.exchanges == 2
        assert running.counters.requests == 5
        nothing_held(expired_auth)

    async def test_a_renewer_that_waits_for_a_write(
        self, running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth
    ) -> None:
        """Cancelled while it drains, it opens the door again."""
        auth = make_auth(running)
        async with async_client(auth, "auth=", transport=running) as client:
            await client.get("/wallets")
            hold = running.hold("/v2/echo")
            async with anyio.create_task_group() as group:
                group.start_soon(client.post, "/echo")
                await hold.await_arrived()
                ticking.advance(running.token_lifetime - 60)
                async with anyio.create_task_group() as early:
                    early.start_soon(client.get, "/wallets")
                    while not door_closed(auth):
                        await anyio.lowlevel.checkpoint()
                    early.cancel_scope.cancel()
                assert not door_closed(auth)
                hold.release()
            await aall_well(client, auth, running)
        assert running.counters.exchanges == 2


def test_a_lock_is_not_taken_away_in_the_middle_of_a_call(in_threads: RunsThreads) -> None:
    """Whoever has been given up for dead may yet be saving: its lock stays until that is done."""
    entered, leave = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def load(self, key: StoreKey) -> Record | None:
            entered.set()
            assert leave.wait(30)
            return super().load(key)

    slow, key = Slow(), StoreKey("https://cobo.test/v2", "client", "org")
    custody = StoreAccess(slow, key, 60.0)
    assert custody.try_lock()
    with in_threads(custody.load):
        assert entered.wait(30)
        custody.let_go()
        assert slow.try_lock(key, ttl=60.0) is None
        leave.set()
    custody.let_go()
    assert slow.try_lock(key, ttl=60.0) is not None


class TestPatience:
    """Whoever waits for a renewal that does not end, fails in finite time, by a typed error."""

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Settings, "wait", 0.05)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_of_threads(
        self,
        method: str,
        running: CoboSimulator,
        make_auth: MakesAuth,
        in_threads: RunsThreads,
    ) -> None:
        """Others go on where they can; the renewal itself is not disturbed."""
        auth = make_auth(running)
        client = auth.client(transport=running)
        hold = running.hold("token")

        def renew() -> None:
            with pytest.raises(RenewalTimeoutError, match="gave up waiting"):
                auth.renew(client)

        with client, in_threads(renew):
            hold.wait_arrived()
            with pytest.raises(RenewalTimeoutError, match="gave up waiting"):
                client.request(method, "/echo")
            hold.release()
        nothing_held(auth)
        assert running.counters.exchanges == 1

    @pytest.mark.anyio
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_of_tasks(
        self, method: str, running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """The same for tasks."""
        auth = make_auth(running)
        hold = running.hold("token")

        async def renew() -> None:
            with pytest.raises(RenewalTimeoutError, match="gave up waiting"):
                await auth.arenew(client)

        async with (
            auth.async_client(transport=running) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(renew)
            await hold.await_arrived()
            with pytest.raises(RenewalTimeoutError, match="gave up waiting"):
                await client.request(method, "/echo")
            hold.release()
        nothing_held(auth)


@pytest.mark.hazard(15)
@pytest.mark.anyio
class TestEveryAwait:
    """Cancelled after one step, after two, and so on, to the very end."""

    @_WAYS
    @pytest.mark.parametrize("store", [MemoryStore, ThreadedStore])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("trouble", ["expired", "revoked"])
    async def test_the_others_succeed(
        self,
        way: str,
        method: str,
        trouble: str,
        store: type[MemoryStore],
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
    ) -> None:
        """Three at the same time do, and ten afterwards; nothing is left behind."""
        running.expired_status = 401
        finished = False
        steps = 0
        while not finished:
            auth = make_auth(running, store=store())
            async with async_client(auth, way, transport=running) as client:
                await client.get("/wallets")
                if trouble == "revoked":
                    running.revoke_tokens()
                else:
                    ticking.advance(running.token_lifetime)
                with anyio.fail_after(20):
                    finished = await self._cancelled_after(steps, client, method)
                    await _settled(auth)
                await aall_well(client, auth, running)
            steps += 1 + steps // 10  # a worker thread may take very many
        assert steps > 4

    async def _cancelled_after(self, steps: int, client: httpx.AsyncClient, method: str) -> bool:
        """Start four requests, cancel the first; tell whether it was through by then."""
        through = False

        async def first() -> None:
            nonlocal through
            await client.request(method, "/echo")
            through = True

        async def other() -> None:
            (await client.get("/wallets")).raise_for_status()

        async with anyio.create_task_group() as group, anyio.create_task_group() as doomed:
            doomed.start_soon(first)
            await anyio.lowlevel.checkpoint()
            for _ in range(3):
                group.start_soon(other)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            doomed.cancel_scope.cancel()
        return through


async def _settled(auth: CoboOAuth) -> None:
    """Wait until what goes on in worker threads has come to its end, too."""
    store = auth._session._store
    assert isinstance(store, MemoryStore)
    while store._locks.value:  # noqa: ASYNC110 - a thread is about to change it
        await anyio.sleep(0.001)
    nothing_held(auth)


class TestAbandoned:
    """Nobody resumes the flow any more."""

    def step(self, auth: CoboOAuth) -> Generator[httpx.Request, httpx.Response, None]:
        """Return a flow that has just asked for an exchange."""
        request = httpx.Request("GET", f"{auth.environment.base_url}/wallets")
        flow = auth.sync_auth_flow(request)
        assert next(flow).url.path == "/v2/oauth/token"
        return flow

    @pytest.mark.hazard(10)
    @pytest.mark.parametrize("end", ["close", "drop", "cycle"])
    @pytest.mark.parametrize("store", [MemoryStore, ThreadedStore])
    def test_a_generator(
        self, end: str, store: type[MemoryStore], running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """Closed or dropped, in a cycle or not, it gives back what it held."""
        auth = make_auth(running, store=store())
        flow = self.step(auth)
        assert renewing(auth)
        if end == "close":
            flow.close()
        elif end == "cycle":
            circle: list[Any] = [flow]
            circle.append(circle)
            del circle
        del flow
        gc.collect()
        all_well(auth, running, transport=running)

    @pytest.mark.hazard(10)
    def test_a_generator_closed_by_another_thread(
        self, running: CoboSimulator, make_auth: MakesAuth, in_threads: RunsThreads
    ) -> None:
        """Seat and lock belong to no thread."""
        auth = make_auth(running)
        with in_threads(self.step(auth).close):
            pass
        all_well(auth, running, transport=running)

    @pytest.mark.hazard(10)
    @pytest.mark.anyio
    @pytest.mark.parametrize("store", [MemoryStore, ThreadedStore])
    async def test_a_generator_closed_by_another_task(
        self, store: type[MemoryStore], running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """Nothing that a task owns is held across a ``yield``."""
        auth = make_auth(running, store=store())
        request = httpx.Request("POST", f"{auth.environment.base_url}/echo")
        flow = auth.async_auth_flow(request)

        async def begin() -> None:
            exchange = await anext(flow)
            assert exchange.url.path == "/v2/oauth/token"

        async def close() -> None:
            await flow.aclose()

        async with anyio.create_task_group() as group:
            group.start_soon(begin)
        assert renewing(auth)
        async with anyio.create_task_group() as group:
            group.start_soon(close)
        async with auth.async_client(transport=running) as client:
            await aall_well(client, auth, running)

    @pytest.mark.hazard(10)
    @pytest.mark.anyio
    async def test_a_write_closed_by_another_task(
        self, running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """A write is in flight until its flow ends, whoever ends it."""
        auth = make_auth(running)
        async with auth.async_client(transport=running) as client:
            await client.get("/wallets")
            request = httpx.Request("POST", f"{auth.environment.base_url}/echo")
            flow = auth.async_auth_flow(request)

            async def begin() -> None:
                await anext(flow)

            async with anyio.create_task_group() as group:
                group.start_soon(begin)
            assert writes(auth) == 1
            await flow.aclose()
            await aall_well(client, auth, running)

    @pytest.mark.hazard(10)
    @_WAYS
    def test_with_the_event_loop(
        self, way: str, running: CoboSimulator, make_auth: MakesAuth, store: TokenStore
    ) -> None:
        """A loop closed without ``shutdown_asyncgens`` runs no ``finally``.

        Nor is the task ever garbage, for anyio keeps what is inside of a cancel scope.
        """
        auth = make_auth(running, store=store)
        hold = running.hold("token")
        abandon(async_client(auth, way, transport=running), "GET", hold)
        assert renewing(auth)
        all_well(auth, running, transport=running)
        assert running.counters.exchanges == 2

    def test_with_the_event_loop_while_another_waits(
        self, running: CoboSimulator, make_auth: MakesAuth, in_threads: RunsThreads
    ) -> None:
        """Nobody is left to wake them; they look for themselves, from time to time."""
        auth = make_auth(running)
        hold = running.hold("token")
        client = auth.async_client(transport=running)
        somebody_waits = threading.Event()

        def leave() -> None:
            abandon(client, "GET", hold, somebody_waits)

        def ask() -> None:
            hold.wait_arrived()
            with auth.client(transport=running) as sync:
                sync.get("/wallets").raise_for_status()

        with in_threads(leave, ask):
            hold.wait_arrived()
            until(lambda: waiting(auth) > 1)
            somebody_waits.set()
        all_well(auth, running, transport=running)

    def test_a_write_with_the_event_loop(
        self, running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth
    ) -> None:
        """It is in flight no longer, and does not keep renewals from being early."""
        auth = make_auth(running)
        with auth.client(transport=running) as client:
            client.get("/wallets")
            hold = running.hold("/v2/echo")
            abandon(auth.async_client(transport=running, timeout=None), "POST", hold)
            assert writes(auth)
            ticking.advance(running.token_lifetime - 60)
            client.get("/wallets").raise_for_status()
        until(lambda: running.counters.refreshes == 1)
        all_well(auth, running, transport=running)

    @pytest.mark.hazard(10, 86)
    @pytest.mark.parametrize("resumed", [False, True])
    def test_with_an_event_loop_that_rests(
        self,
        *,
        resumed: bool,
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
        store: TokenStore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Neither closed nor garbage, it holds on to everything; the deadline lets others go on.

        When it is resumed, it finds that its time is over, and does no harm.
        """
        monkeypatch.setattr(promises, "_STANDS_STILL_AFTER_S", 0.05)
        auth = make_auth(running, store=store)
        auth._session.permits._monotonic = ticking.monotonic
        hold = running.hold("token")
        client = auth.async_client(transport=running)
        loop = asyncio.new_event_loop()
        task = loop.create_task(client.get("/wallets"))
        loop.run_until_complete(hold.await_arrived())
        hold.release()
        ticking.advance(Settings().lease)
        with auth.client(transport=running) as sync:
            for _ in range(AFTERWARDS):
                sync.get("/wallets").raise_for_status()
        if resumed:
            assert loop.run_until_complete(task).status_code == 200
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.run_until_complete(client.aclose())
        loop.close()
        all_well(auth, running, transport=running)
        assert running.counters.exchanges == 2

    @pytest.mark.parametrize(
        "timeouts",
        [
            Timeouts(exchange=1),
            Timeouts(exchange=0.1, early_exchange=0.1, drain=0, grace=0),
            Timeouts(exchange=60, early_exchange=0.1),
            Timeouts(),
        ],
    )
    def test_a_lock_that_lapses_outlives_any_exchange(
        self,
        timeouts: Timeouts,
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
    ) -> None:
        """However short the limits are: early, late and first renewals all get their turn."""
        auth = make_auth(running, timeouts=timeouts, store=LapsingStore())
        with auth.client(transport=running) as client:
            client.get("/wallets").raise_for_status()
            ticking.advance(running.token_lifetime - 60)
            client.get("/wallets").raise_for_status()
            until(lambda: running.counters.refreshes == 1)  # early, so it runs on its own
            ticking.advance(running.token_lifetime)
            client.get("/wallets").raise_for_status()
            assert running.counters.refreshes == 2

    @pytest.mark.hazard(49)
    @pytest.mark.parametrize("short_first", [True, False])
    def test_each_of_two_auth_objects_goes_by_its_own_limits(
        self, *, short_first: bool, running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """They share token and lock; the lock lasts for whoever takes it."""
        limits = [Timeouts(exchange=2, early_exchange=1, lock=3, drain=0.2, grace=0.1), Timeouts()]
        store = LapsingStore()
        auths = [
            make_auth(running, store=store, timeouts=timeouts)
            for timeouts in (limits if short_first else reversed(limits))
        ]
        for auth in (*auths, *auths):
            running.revoke_tokens()
            with auth.client(transport=running) as client:
                client.get("/wallets").raise_for_status()
        assert running.counters.spent_refresh_reused == 0


class TestInterrupted:
    """An exception that nobody expects, at each request of a flow."""

    @pytest.fixture(autouse=True)
    def hurried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have a client wait for its renewals but shortly when it is closed."""
        monkeypatch.setattr("httpx_cobo_auth._runtime.background._CLOSE_TIMEOUT_S", 0.05)

    @_WAYS
    @pytest.mark.parametrize("at", ["token", "api"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_by_the_keyboard(
        self, way: str, at: str, method: str, expired_auth: CoboOAuth, running: CoboSimulator
    ) -> None:
        """Ctrl-C in a thread's transport leaves nothing held.

        In the thread of a renewal of its own it is nobody's, and told as that one's failure.
        """
        own = at == "token" and way == "auth.client()"

        class Interrupted(httpx.BaseTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                response = running.handle_request(request)
                if (at == "token") == request.url.path.endswith("/oauth/token"):
                    raise KeyboardInterrupt
                return response

        with sync_client(expired_auth, way, transport=Interrupted()) as client:
            for _ in range(2):
                with pytest.raises(TokenUnavailableError if own else KeyboardInterrupt):
                    client.request(method, "/echo")
                nothing_held(expired_auth)
        all_well(expired_auth, running, transport=running)

    @_WAYS
    def test_by_a_client_that_is_closed(
        self,
        way: str,
        expired_auth: CoboOAuth,
        hold: Hold,
        running: CoboSimulator,
        make_auth: MakesAuth,
        in_threads: RunsThreads,
    ) -> None:
        """The call fails or not, as httpx has it; the next client goes on."""
        del expired_auth
        with running.serve():
            auth = make_auth(running)
            client = sync_client(auth, way)

            def ask() -> None:
                with contextlib.suppress(*CLOSED):
                    client.get("/wallets")

            with in_threads(ask):
                hold.wait_arrived()
                client.close()
                hold.release()
            all_well(auth, running)

    @pytest.mark.anyio
    @_WAYS
    async def test_by_an_async_client_that_is_closed(
        self,
        way: str,
        expired_auth: CoboOAuth,
        hold: Hold,
        running: CoboSimulator,
        make_auth: MakesAuth,
    ) -> None:
        """The same for tasks."""
        del expired_auth
        with running.serve():
            auth = make_auth(running)
            client = async_client(auth, way)

            async def ask() -> None:
                with contextlib.suppress(*CLOSED):
                    await client.get("/wallets")

            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await hold.await_arrived()
                await client.aclose()
                hold.release()
            async with auth.async_client() as other:
                await aall_well(other, auth, running)


class TestSlow:
    @pytest.mark.hazard(10)
    @pytest.mark.anyio
    async def test_a_slow_read_stands_in_nobody_s_way(
        self, running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth
    ) -> None:
        """Reads hold nothing: writes, and renewals, go on beside one."""
        auth = make_auth(running)
        async with (
            auth.async_client(transport=running, timeout=None) as client,
            anyio.create_task_group() as group,
        ):
            await client.get("/wallets")
            hold = running.hold("api", method="GET")
            group.start_soon(client.get, "/wallets")
            await hold.await_arrived()
            with anyio.fail_after(10):
                (await client.post("/echo")).raise_for_status()
                ticking.advance(running.token_lifetime)
                (await client.post("/echo")).raise_for_status()
                await auth.arenew(client)
            hold.release()
        assert running.counters.exchanges == 3

    @pytest.mark.hazard(10)
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_an_answer_that_nobody_reads_stands_in_nobody_s_way(
        self, method: str, running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth
    ) -> None:
        """A write is in flight until its headers are there, streamed or not."""
        with running.serve():
            auth = make_auth(running)
            with auth.client() as client, client.stream(method, "/echo"):
                nothing_held(auth)
                auth.renew(client)
                ticking.advance(running.token_lifetime)
                client.post("/echo").raise_for_status()


def test_a_handler_of_events_that_asks_again(running: CoboSimulator, make_auth: MakesAuth) -> None:
    """Events are told after everything was given back: a handler may make requests."""
    asked: list[int] = []

    def on_event(_event: object) -> None:
        if not asked:
            asked.append(0)
            asked[0] = client.post("/echo").status_code

    with make_auth(running, on_event=on_event).client(transport=running) as client:
        client.get("/wallets").raise_for_status()
    assert asked == [200]
