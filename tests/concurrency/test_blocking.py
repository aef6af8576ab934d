"""Nothing of ours blocks an event loop, and what blocks elsewhere starves nobody of ours."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from httpx_cobo_auth import Ed25519Signer, MemoryStore, SignerError, StoreUnavailableError
from httpx_cobo_auth._protocol.records import StoreKey
from httpx_cobo_auth._runtime.store_access import StoreAccess
from tests.family import httpx
from tests.held import renewing

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.records import Record, Version
    from httpx_cobo_auth.stores.memory import _Lock
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.conftest import MakesAuth

pytestmark = pytest.mark.anyio

LONGEST_S = 20


class SlowStore(MemoryStore):
    """Every method waits for a test's permission, and notes the thread that it waits in."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.permission = threading.Event()
        self.entered = threading.Event()
        self.threads: set[int] = set()
        self.released = threading.Event()

    def wait(self) -> None:
        self.threads.add(threading.get_ident())
        self.entered.set()
        assert self.permission.wait(LONGEST_S)

    def load(self, key: StoreKey) -> Record | None:
        self.wait()
        return super().load(key)

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        self.wait()
        super().save(key, record, expected=expected)

    def try_lock(self, key: StoreKey, *, ttl: float) -> _Lock | None:
        self.wait()
        return super().try_lock(key, ttl=ttl)

    def unlock(self, lock: _Lock) -> None:
        self.wait()
        super().unlock(lock)
        self.released.set()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to bring about."""
    with anyio.fail_after(LONGEST_S):
        while not condition():  # noqa: ASYNC110 - an anyio.Event belongs to one event loop
            await anyio.sleep(0.001)


class TestDetector:
    """The fixture that watches all tests, seen to watch."""

    class Blocking(Ed25519Signer):
        """A signer that sleeps: the one thing of the user's that runs on the loop."""

        __slots__ = ()

        def sign(self, digest: bytes) -> bytes:
            time.sleep(0.001)
            return super().sign(digest)

    async def test_it_sees_a_call_that_blocks(
        self, running: CoboSimulator, make_auth: MakesAuth, blocking_calls: list[str]
    ) -> None:
        """On asyncio and on trio; otherwise this whole module would show nothing."""
        auth = make_auth(running)
        wire: Any = auth._session.wire
        wire._signer = self.Blocking(running.app_secret)
        async with auth.async_client(transport=running) as client:
            with pytest.raises(SignerError):
                await client.get("/wallets")
        assert blocking_calls
        blocking_calls.clear()

    def test_it_lets_threads_block(self, running: CoboSimulator, make_auth: MakesAuth) -> None:
        """A sync client may wait."""
        auth = make_auth(running)
        wire: Any = auth._session.wire
        wire._signer = self.Blocking(running.app_secret)
        with auth.client(transport=running) as client:
            client.get("/wallets").raise_for_status()


class TestStores:
    async def test_a_store_that_blocks_is_called_in_worker_threads(
        self, running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """Meanwhile the event loop does other things, other organizations' requests too."""
        store = SlowStore()
        auth, other = make_auth(running, store=store), make_auth(running)
        async with (
            auth.async_client(transport=running) as client,
            other.async_client(transport=running) as free,
            anyio.create_task_group() as group,
        ):
            group.start_soon(client.get, "/wallets")
            await until(store.entered.is_set)
            with anyio.fail_after(LONGEST_S):
                (await free.get("/wallets")).raise_for_status()
            store.permission.set()
        assert threading.get_ident() not in store.threads
        assert store.released.is_set()
        assert running.counters.exchanges == 2

    async def test_a_store_of_one_s_own_is_taken_to_block(
        self, running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """Unless it says otherwise by ``blocking = False``."""

        class Plain:
            shared = False

            def __init__(self) -> None:
                self.inner = SlowStore()
                self.inner.permission.set()
                self.load, self.save = self.inner.load, self.inner.save
                self.try_lock = self.inner.try_lock

        store = Plain()
        async with make_auth(running, store=store).async_client(transport=running) as client:
            (await client.get("/wallets")).raise_for_status()
        assert store.inner.threads
        assert threading.get_ident() not in store.inner.threads

    async def test_a_cancelled_call_is_let_finish(
        self, running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """A lock that the thread brings in after the end is released there and then."""

        class SlowLock(SlowStore):
            load = MemoryStore.load

        store = SlowLock()
        auth = make_auth(running, store=store)
        url = auth.environment.base_url
        async with httpx.AsyncClient(base_url=url, auth=auth, transport=running) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.get, "/wallets")
                await until(store.entered.is_set)
                group.cancel_scope.cancel()
            assert not renewing(auth)
            store.permission.set()
            await until(store.released.is_set)
            assert store._locks.value == {}
            (await client.get("/wallets")).raise_for_status()
        assert running.counters.exchanges == 1

    async def test_a_lock_that_is_garbage_is_released_elsewhere(self) -> None:
        """Garbage may be collected on an event loop, which a store must not block."""
        store = SlowStore()
        store.permission.set()
        flows = [StoreAccess(store, StoreKey("https://cobo.test/v2", "client", "org"), 60.0)]
        assert await anyio.to_thread.run_sync(flows[0].try_lock)
        store.permission.clear()
        flows.clear()
        assert not store.released.is_set()
        store.permission.set()
        await until(store.released.is_set)
        assert threading.get_ident() not in store.threads

    async def test_a_call_that_does_not_end_is_given_up(
        self, running: CoboSimulator, make_auth: MakesAuth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A hung store is a typed error in finite time."""
        monkeypatch.setattr("httpx_cobo_auth._runtime.async_backend.STORE_TIMEOUT_S", 0.05)
        store = SlowStore()
        async with make_auth(running, store=store).async_client(transport=running) as client:
            with anyio.fail_after(LONGEST_S):
                with pytest.raises(StoreUnavailableError, match="took longer"):
                    await client.get("/wallets")
                store.permission.set()
                (await client.get("/wallets")).raise_for_status()


class TestThreads:
    @pytest.mark.hazard(17)
    async def test_blocked_handlers_do_not_starve_a_renewal(
        self, running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth
    ) -> None:
        """All default worker threads wait, for a renewal, say: it gets threads of its own."""
        store = SlowStore()
        store.permission.set()
        auth = make_auth(running, store=store)
        everywhere = int(anyio.to_thread.current_default_thread_limiter().total_tokens)
        started = threading.Semaphore(0)

        async with auth.async_client(transport=running) as client:
            await client.get("/wallets")
            ticking.advance(running.token_lifetime)
            renewed = threading.Event()

            def handler() -> None:
                started.release()
                assert renewed.wait(LONGEST_S)

            async with anyio.create_task_group() as group:
                for _ in range(everywhere):
                    group.start_soon(anyio.to_thread.run_sync, handler)
                for _ in range(everywhere):
                    await until(lambda: started.acquire(blocking=False))
                with anyio.fail_after(LONGEST_S):
                    (await client.get("/wallets")).raise_for_status()
                renewed.set()
        assert running.counters.exchanges == 2

    async def test_sync_handlers_and_tasks_wait_for_one_renewal(
        self, running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth
    ) -> None:
        """As in an app with handlers of both kinds, more of them than threads."""
        store = SlowStore()
        store.permission.set()
        auth = make_auth(running, store=store)
        sync = auth.client(transport=running)

        def handler() -> None:
            sync.get("/wallets").raise_for_status()

        async with auth.async_client(transport=running) as client:
            await client.get("/wallets")
            ticking.advance(running.token_lifetime)
            with anyio.fail_after(LONGEST_S):
                async with anyio.create_task_group() as group:
                    for _ in range(60):
                        group.start_soon(anyio.to_thread.run_sync, handler)
                        group.start_soon(client.get, "/wallets")
        sync.close()
        assert running.counters.exchanges == 2
        assert running.counters.rejected == 0
