"""Callers in odd places: the thread of the loop that renews, tasks of hooks, no threads left."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import blockbuster.blockbuster
import pytest

from httpx_cobo_auth import CoboAuthError, FileStore, MemoryStore
from httpx_cobo_auth._runtime import resources
from tests.family import CoboOAuth, httpx
from tests.held import nothing_held, until, waiting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from httpx_cobo_auth.records import StoreKey
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.conftest import MakesAuth

WAYS = pytest.mark.parametrize("way", ["auth=", "auth.client()"])


def fail() -> None:
    raise RuntimeError


def async_client(auth: CoboOAuth, way: str, **options: Any) -> httpx.AsyncClient:  # noqa: ANN401
    if way == "auth=":
        return httpx.AsyncClient(base_url=auth.environment.base_url, auth=auth, **options)
    return auth.async_client(**options)


@pytest.fixture
def auth(running: CoboSimulator, make_auth: MakesAuth) -> CoboOAuth:
    return make_auth(running, store=MemoryStore())


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "POST"])
@WAYS
async def test_a_sync_call_on_the_thread_of_the_loop_that_renews_is_told_so(
    way: str,
    method: str,
    running: CoboSimulator,
    auth: CoboOAuth,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To wait would be in vain: the task that renews goes on only after the call has returned."""
    # It blocks the loop, which is what it is about: nobody watches here.
    monkeypatch.setattr(blockbuster.blockbuster, "asyncio", SimpleNamespace(get_running_loop=fail))
    hold = running.hold("token")
    with auth.client(transport=running) as blocking:
        async with async_client(auth, way, transport=running) as client:
            statuses: list[int] = []

            async def ask() -> None:
                statuses.append((await client.get("/wallets")).status_code)

            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await hold.await_arrived()
                with pytest.raises(CoboAuthError):
                    blocking.request(method, "/echo")
                hold.release()
    assert statuses == [200]
    assert running.counters.exchanges == 1
    nothing_held(auth)


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_task_that_a_hook_of_the_exchange_starts_waits_like_anybody_else(
    method: str, running: CoboSimulator, make_auth: MakesAuth
) -> None:
    """While the exchange is on its way, no hook of it can be waiting for that task."""
    statuses: list[int] = []
    with running.serve():
        auth = make_auth(running, store=MemoryStore())
        hold = running.hold("token")
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                await hold.await_arrived()
                async with anyio.create_task_group() as both:
                    both.start_soon(answer)
                    while not waiting(auth):
                        await anyio.lowlevel.checkpoint()
                    hold.release()

            async def answer() -> None:
                statuses.append((await client.request(method, "/echo")).status_code)

            async def hook(request: httpx.Request) -> None:
                if request.url.path.endswith("/oauth/token"):
                    group.start_soon(ask)

            hooks = {"request": [hook]}
            async with httpx.AsyncClient(
                base_url=running.environment.base_url, auth=auth, event_hooks=hooks
            ) as client:
                assert (await client.get("/wallets")).status_code == 200
                while not statuses:  # noqa: ASYNC110 - seen from outside
                    await anyio.sleep(0.001)
    assert statuses == [200]
    assert running.counters.exchanges == 1
    nothing_held(auth)


@pytest.mark.anyio
async def test_a_task_that_a_hook_waits_for_does_not_hold_its_own_request_up(
    running: CoboSimulator, auth: CoboOAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell that the hook waits for it: it gives up in good time."""
    monkeypatch.setattr(resources, "_HOOK_S", 0.05)
    outcomes: list[object] = []

    async def ask() -> None:
        try:
            outcomes.append((await client.get("/wallets")).status_code)
        except CoboAuthError as error:
            outcomes.append(type(error))

    async def hook(request: httpx.Request) -> None:
        if request.url.path.endswith("/oauth/token"):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)

    async with httpx.AsyncClient(
        base_url=running.environment.base_url,
        auth=auth,
        transport=running,
        event_hooks={"request": [hook]},
    ) as client:
        with anyio.fail_after(10):
            assert (await client.get("/wallets")).status_code == 200
    assert outcomes
    nothing_held(auth)


# -------------------------------------------------------------------------- without threads
@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no thread any more, as in a container at its limit, or at an interpreter's end."""

    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(threading.Thread, "start", refuse)


class Slow(MemoryStore):
    """Memory that async clients believe to be slow: they use it from threads, where they can."""

    blocking = True


@pytest.fixture(params=["file", "memory"])
def slow_auth(
    request: pytest.FixtureRequest,
    running: CoboSimulator,
    ticking: ManualClock,
    make_auth: MakesAuth,
    tmp_path: Path,
) -> CoboOAuth:
    """Has a token that has expired."""
    store = FileStore(tmp_path / "tokens") if request.param == "file" else Slow()
    auth = make_auth(running, store=store)
    with auth.client(transport=running) as client:
        client.get("/wallets").raise_for_status()
    ticking.advance(running.token_lifetime)
    return auth


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("way", ["auth=", "auth.client()"])
def test_where_no_thread_can_be_started_the_caller_renews_and_calls_the_store(
    way: str, slow_auth: CoboOAuth, running: CoboSimulator
) -> None:
    """In the caller's own."""
    base_url = running.environment.base_url
    client = (
        httpx.Client(base_url=base_url, auth=slow_auth, transport=running)
        if way == "auth="
        else slow_auth.client(transport=running)
    )
    with client:
        assert client.get("/wallets").status_code == 200
        assert client.post("/echo").status_code == 200
    slow_auth.forget()
    assert running.counters.refreshes == 1
    nothing_held(slow_auth)


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["auth=", "auth.client()"])
async def test_without_threads_a_task_calls_the_store_itself(
    way: str, running: CoboSimulator, make_auth: MakesAuth, no_threads: None
) -> None:
    """It blocks the loop for a moment, which is better than no answer."""
    del no_threads
    auth = make_auth(running, store=Slow())
    transport = _async(running)
    async with async_client(auth, way, transport=transport) as client:
        assert (await client.get("/wallets")).status_code == 200
    assert running.counters.exchanges == 1
    nothing_held(auth)


@pytest.mark.anyio
async def test_without_threads_a_flow_that_is_cancelled_releases_the_lock_all_the_same(
    running: CoboSimulator, make_auth: MakesAuth, no_threads: None
) -> None:
    """In the loop's own thread, if there is no other."""
    del no_threads
    auth = make_auth(running, store=Slow())
    async with async_client(auth, "auth=", transport=_async(running, hang=True)) as client:
        with anyio.move_on_after(0.05):
            await client.get("/wallets")
    nothing_held(auth)


def _async(simulator: CoboSimulator, *, hang: bool = False) -> httpx.MockTransport:
    """Answer in tasks without a thread, or, at the token endpoint, not at all."""

    async def answer(request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        if hang and request.url.path.endswith("/oauth/token"):
            await anyio.sleep_forever()
        return simulator.handle_request(request)

    return httpx.MockTransport(answer)


# ------------------------------------------------------------------ interrupted, or a defect
def test_an_interrupt_at_the_start_of_a_renewals_thread_leaves_nobody_waiting(
    running: CoboSimulator, auth: CoboOAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches the caller; the next call begins another renewal."""

    def interrupt(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    with auth.client(transport=running) as client:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupt)
            with pytest.raises(KeyboardInterrupt):
                client.get("/wallets")
        assert client.get("/wallets").status_code == 200
    assert running.counters.exchanges == 1
    nothing_held(auth)


class Broken(MemoryStore):
    """Breaks its contract."""

    def load(self, key: StoreKey) -> Any:  # noqa: ANN401 - that is what is wrong
        super().load(key)
        return 5


@pytest.mark.anyio
async def test_a_store_that_breaks_its_contract_is_a_typed_error(
    running: CoboSimulator, make_auth: MakesAuth
) -> None:
    """In threads and in tasks; what it raised is named by its type, for its text may be secret."""
    auth = make_auth(running, store=Broken())

    def ask() -> None:
        with auth.client(transport=running) as client:
            client.get("/wallets")

    async def aask() -> None:
        async with auth.async_client(transport=running) as client:
            await client.get("/wallets")

    asks: list[Callable[[], Awaitable[None]]] = [lambda: anyio.to_thread.run_sync(ask), aask]
    for one in asks:
        with pytest.raises(CoboAuthError):
            await one()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_lock_of_a_renewal_that_ends_with_its_loop_is_released(
    backend: str, running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth
) -> None:
    """Nobody has closed the client; the exchange is cut short, and counts as lost."""
    auth = make_auth(running, store=Slow())
    with auth.client(transport=running) as client:
        client.get("/wallets").raise_for_status()

    async def ask() -> None:
        client = auth.async_client(transport=_async(running, hang=True))
        assert (await client.get("/wallets")).status_code == 200
        while not auth._session.permits._cell.value.door_closed:  # noqa: ASYNC110
            await anyio.sleep(0.001)

    ticking.advance(running.token_lifetime - 60)
    anyio.run(ask, backend=backend)
    store = auth._session._store
    assert isinstance(store, Slow)
    until(lambda: not store._locks.value)
    nothing_held(auth)
