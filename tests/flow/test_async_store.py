"""A store that has to be awaited: for async clients, and for them only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from httpx_cobo_auth import AsyncTokenStore
from httpx_cobo_auth.errors import (
    AsyncStoreError,
    ConfigurationError,
    StoreConflictError,
    StoreUnavailableError,
)
from tests.family import CoboOAuth, httpx

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.stores.base import AsyncStoreLock
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock


@dataclass
class AwaitedStore:
    """Records behind something that takes its time, as a network does.

    Attributes:
        locks: taken, and not yet released.
        released: how often one was released.
        error: raised by ``load`` where set.
        stuck: whether ``load`` never comes back.

    """

    shared: bool = True
    records: dict[StoreKey, Record] = field(default_factory=dict["StoreKey", "Record"])
    locks: set[object] = field(default_factory=set[object])
    released: int = 0
    error: Exception | None = None
    stuck: bool = False

    async def load(self, key: StoreKey) -> Record | None:
        """Read."""
        await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        if self.stuck:
            await anyio.sleep_forever()
        return self.records.get(key)

    async def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Compare and set."""
        await anyio.lowlevel.checkpoint()
        stored = self.records.get(key)
        if (stored.version if stored else (0, None)) != expected:
            message = "moved on"
            raise StoreConflictError(message)
        self.records[key] = record

    async def try_lock(self, key: StoreKey, *, ttl: float) -> AsyncStoreLock | None:
        """Lock, where nobody has."""
        del key, ttl
        await anyio.lowlevel.checkpoint()
        if self.locks:
            return None
        lock = _Lock(self)
        self.locks.add(lock)
        return lock


class _Lock:
    def __init__(self, store: AwaitedStore) -> None:
        self._store = store

    def remaining(self) -> float:
        return math.inf

    async def release(self) -> None:
        await anyio.lowlevel.checkpoint()
        self._store.locks.discard(self)
        self._store.released += 1


@pytest.fixture
def store() -> AwaitedStore:
    """Return an empty one."""
    return AwaitedStore()


@pytest.fixture
def auth(simulator: CoboSimulator, clock: ManualClock, store: AwaitedStore) -> CoboOAuth:
    """Return an auth object with that store."""
    return CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        clock=clock,
        store=store,
    )


def test_it_is_one_by_the_protocol(store: AwaitedStore) -> None:
    """The protocol can be checked at run time, and this store keeps to it."""
    assert isinstance(store, AsyncTokenStore)


def test_a_sync_client_is_refused_by_a_typed_error(
    auth: CoboOAuth, simulator: CoboSimulator
) -> None:
    """Before anything is sent; its being a ``ConfigurationError`` says whose mistake it is."""
    base_url = simulator.environment.base_url
    with (
        auth.client(transport=simulator) as client,
        httpx.Client(auth=auth, base_url=base_url, transport=simulator) as plain,
    ):
        for call in (
            lambda: client.get("/wallets"),
            lambda: plain.get("/wallets"),
            lambda: auth.token(client),
            lambda: auth.renew(client),
            auth.forget,
        ):
            with pytest.raises(AsyncStoreError, match="sync client"):
                call()
    assert issubclass(AsyncStoreError, ConfigurationError)
    assert simulator.log == []


@pytest.mark.parametrize("plain", [False, True], ids=["auth.async_client()", "auth="])
async def test_an_async_client_is_served(
    auth: CoboOAuth,
    simulator: CoboSimulator,
    clock: ManualClock,
    store: AwaitedStore,
    plain: bool,  # noqa: FBT001
) -> None:
    """Three times 40 simultaneous requests: three exchanges, no refusal, and each lock released."""
    base_url = simulator.environment.base_url
    client = (
        httpx.AsyncClient(auth=auth, base_url=base_url, transport=simulator)
        if plain
        else auth.async_client(transport=simulator)
    )
    async with client:
        for _ in range(3):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(client.get, "/wallets")
                    group.start_soon(client.post, "/echo")
            clock.advance(43200)
        assert simulator.counters.exchanges == 3
        assert simulator.counters.rejected == 0
        await auth.aforget()
    (record,) = store.records.values()
    assert record.token is None
    assert not store.locks
    assert store.released == 4


async def test_its_lock_is_released_where_a_request_is_cancelled(
    auth: CoboOAuth, simulator: CoboSimulator, store: AwaitedStore
) -> None:
    """Ten times in mid-exchange, by plain ``auth=``; then ten requests, all of which succeed."""
    base_url = simulator.environment.base_url
    async with httpx.AsyncClient(auth=auth, base_url=base_url, transport=simulator) as client:
        for number in range(1, 11):
            with simulator.hold("token") as hold:
                async with anyio.create_task_group() as group:
                    group.start_soon(client.get, "/wallets")
                    await hold.await_arrived()
                    assert store.locks
                    group.cancel_scope.cancel()
            assert not store.locks
            assert store.released == number
        for _ in range(10):
            assert (await client.get("/wallets")).status_code == 200
    assert simulator.counters.exchanges == 11
    assert simulator.counters.spent_refresh_reused == 0


async def test_its_lock_is_released_where_a_task_is_cancelled_in_aforget(
    auth: CoboOAuth, store: AwaitedStore
) -> None:
    """While the store does not answer."""
    store.stuck = True
    async with anyio.create_task_group() as group:
        group.start_soon(auth.aforget)
        while not store.locks:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert not store.locks
    assert store.released == 1


@pytest.mark.hazard(47)
async def test_a_renewal_goes_on_and_releases_its_lock_where_a_request_is_cancelled(
    auth: CoboOAuth, simulator: CoboSimulator, store: AwaitedStore
) -> None:
    """By ``auth.async_client()`` the renewal is nobody's request: one exchange for all."""
    async with auth.async_client(transport=simulator) as client:
        with simulator.hold("token") as hold:
            for _ in range(10):
                async with anyio.create_task_group() as group:
                    group.start_soon(client.get, "/wallets")
                    await hold.await_arrived()
                    await anyio.wait_all_tasks_blocked()
                    group.cancel_scope.cancel()
                assert store.locks
        assert (await client.get("/wallets")).status_code == 200
    assert not store.locks
    assert simulator.counters.exchanges == 1


async def test_its_failures_are_typed(
    auth: CoboOAuth, simulator: CoboSimulator, store: AwaitedStore
) -> None:
    """Its ``OSError`` becomes ``StoreUnavailableError``, and the next request recovers."""
    async with auth.async_client(transport=simulator) as client:
        store.error = OSError("no route to host")
        with pytest.raises(StoreUnavailableError, match="no route to host"):
            await client.get("/wallets")
        store.error = None
        assert (await client.get("/wallets")).status_code == 200
    assert not store.locks


async def test_it_is_not_waited_for_for_ever(
    auth: CoboOAuth,
    simulator: CoboSimulator,
    store: AwaitedStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store that never answers ends in a typed error, holds no lock, and is used again later."""
    monkeypatch.setattr("httpx_cobo_auth._runtime.async_backend.STORE_TIMEOUT_S", 0.05)
    async with auth.async_client(transport=simulator) as client:
        store.stuck = True
        with pytest.raises(StoreUnavailableError, match="took longer than"):
            await client.get("/wallets")
        store.stuck = False
        assert (await client.get("/wallets")).status_code == 200
    assert not store.locks


async def test_a_lock_held_elsewhere_is_waited_for(
    auth: CoboOAuth, simulator: CoboSimulator, store: AwaitedStore
) -> None:
    """Nothing is exchanged while another process has the lock; once free, the request goes out."""
    theirs = object()
    store.locks.add(theirs)
    async with auth.async_client(transport=simulator) as client, anyio.create_task_group() as group:
        group.start_soon(client.get, "/wallets")
        await anyio.sleep(0.05)
        assert simulator.counters.exchanges == 0
        store.locks.discard(theirs)
    assert simulator.counters.requests == 1
