"""What drives a flow lets nothing pass that it does not know, and nobody wait for what hangs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from httpx_cobo_auth import MemoryStore, StoreUnavailableError
from httpx_cobo_auth._protocol.asking import Effect
from httpx_cobo_auth._protocol.effects import Sleep
from httpx_cobo_auth._protocol.records import StoreKey
from httpx_cobo_auth._runtime import driving
from httpx_cobo_auth._runtime.driving import run_sync
from httpx_cobo_auth._runtime.store_access import StoreAccess
from tests.family import httpx
from tests.held import nothing_held, until

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.effects import Flow
    from httpx_cobo_auth.records import Record, Version
    from httpx_cobo_auth.stores.memory import _Lock
    from httpx_cobo_auth.testing import CoboSimulator
    from tests.conftest import MakesAuth

KEY = StoreKey("https://cobo.test/v2", "client", "org")


class Unknown(Effect[None]):
    """What nobody can perform."""

    __slots__ = ()


def test_an_effect_that_nobody_knows_is_a_defect_that_shows(
    simulator: CoboSimulator, make_auth: MakesAuth
) -> None:
    """It is never taken for done."""

    def flow() -> Flow[None]:
        yield from Unknown()

    with pytest.raises(AssertionError, match="Unknown"):
        run_sync(make_auth(simulator)._session, flow())


def test_an_effect_shows_what_is_asked_for() -> None:
    """With its fields, as a data class does."""
    assert repr(Sleep(1.5)) == "Sleep(seconds=1.5)"


def test_what_the_caller_throws_into_a_flow_reaches_the_caller(
    simulator: CoboSimulator, make_auth: MakesAuth
) -> None:
    """While an exchange is under way, too: it is no answer of the endpoint."""
    auth = make_auth(simulator, store=MemoryStore())
    flow = auth.sync_auth_flow(httpx.Request("GET", f"{auth.environment.base_url}/wallets"))
    assert "/oauth/token" in next(flow).url.path
    with pytest.raises(LookupError, match="of the caller's"):
        flow.throw(LookupError("of the caller's"))
    nothing_held(auth)


# ----------------------------------------------------------------------- the store, and its lock
class Hanging(MemoryStore):
    """A store that does not come back from a release, or from a save, until it is let."""

    blocking = True

    def __init__(self, *, save: bool = False) -> None:
        super().__init__()
        self.let = threading.Event()
        self._save_hangs = save
        self.saving = threading.Event()

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        if self._save_hangs:
            self.saving.set()
            self.let.wait(30)
        super().save(key, record, expected=expected)

    def try_lock(self, key: StoreKey, *, ttl: float) -> _Lock | None:
        lock = super().try_lock(key, ttl=ttl)
        if lock is not None and not self._save_hangs:
            release = lock.release

            def slowly() -> None:
                self.let.wait(30)
                release()

            lock.release = slowly  # type: ignore[method-assign]
        return lock


def test_a_release_that_hangs_holds_up_no_flow_that_is_closed(
    simulator: CoboSimulator, make_auth: MakesAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for within a bound, and goes on in its thread."""
    monkeypatch.setattr(driving, "_RELEASE_TIMEOUT_S", 0.01)
    store = Hanging()
    auth = make_auth(simulator, store=store)
    flow = auth.sync_auth_flow(httpx.Request("GET", f"{auth.environment.base_url}/wallets"))
    assert "/oauth/token" in next(flow).url.path
    flow.close()
    assert store._locks.value
    store.let.set()
    until(lambda: not store._locks.value)


@pytest.mark.anyio
async def test_a_task_that_is_cancelled_in_aforget_leaves_no_lock(
    simulator: CoboSimulator, make_auth: MakesAuth
) -> None:
    """The call to the store goes on in its thread, and the lock is released after it."""
    store = Hanging()
    store.let.set()
    auth = make_auth(simulator, store=store)
    async with auth.async_client(transport=simulator) as client:
        (await client.get("/wallets")).raise_for_status()
    store._save_hangs = True
    store.let.clear()

    async def forget() -> None:
        await auth.aforget()

    async with anyio.create_task_group() as group:
        group.start_soon(forget)
        while not store.saving.is_set():  # noqa: ASYNC110 - set in a thread
            await anyio.sleep(0.001)
        group.cancel_scope.cancel()
    store.let.set()
    while store._locks.value:  # noqa: ASYNC110 - a thread is about to release it
        await anyio.sleep(0.001)


def test_a_flow_that_has_ended_calls_no_store() -> None:
    """Such as one whose thread comes back from a long call after its end."""
    access = StoreAccess(MemoryStore(), KEY, 60.0)
    assert access.try_lock()
    assert access.close()
    with pytest.raises(StoreUnavailableError, match="the flow has ended"):
        access.load()


def test_the_lock_of_a_flow_that_is_garbage_is_released_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By whoever collects it: a store that blocks is better than one that stays locked."""

    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    store: Any = Hanging()
    store.let.set()
    access = StoreAccess(store, KEY, 60.0)
    assert access.try_lock()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    del access
    assert store._locks.value == {}
