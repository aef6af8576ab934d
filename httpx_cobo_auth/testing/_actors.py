"""What the contract of stores does with a store, in whatever thread or process."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio.from_thread import start_blocking_portal

from httpx_cobo_auth._protocol.records import Record
from httpx_cobo_auth._protocol.tokens import Token
from httpx_cobo_auth.stores.base import AsyncTokenStore, TokenStore

if TYPE_CHECKING:
    from collections.abc import Generator

    from anyio.from_thread import BlockingPortal

    from httpx_cobo_auth._protocol.records import StoreKey, Version
    from httpx_cobo_auth.stores.base import AsyncStoreLock, StoreLock

__all__ = [
    "SECRET",
    "Awaited",
    "MakesStore",
    "count_up",
    "expect",
    "failure_of",
    "opening",
    "record_of",
    "take",
]

MakesStore = Callable[[], TokenStore | AsyncTokenStore]
SECRET = "5ec2e7"  # noqa: S105 - begins every token here, to be searched for

_PATIENCE_S = 30.0
_POLL_S = 0.002


def expect(condition: bool, what: str) -> None:  # noqa: FBT001 - a condition is what it takes
    """Fail where the condition does not hold. No ``assert``, which ``-O`` takes away."""
    if not condition:
        message = f"the contract says: {what}"
        raise AssertionError(message)


def failure_of(call: Callable[[], object]) -> Exception | None:
    """Return what the call raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - what it is, is to be looked at
        return error
    return None


def record_of(generation: int) -> Record:
    """Return a record like no other generation's."""
    token = Token(
        access_token=f"{SECRET}-access-{generation}",
        refresh_token=f"{SECRET}-refresh-{generation}",
        expires_at=1_800_043_199.5 + generation,
        obtained_at=1_800_000_000.25 + generation,
    )
    return Record(generation, token)


def take(store: TokenStore, key: StoreKey, ttl: float) -> StoreLock:
    """Take the lock, as soon as it is to be had."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        lock = store.try_lock(key, ttl=ttl)
        if lock is not None:
            return lock
        time.sleep(_POLL_S)
    message = f"the contract says: the lock gets free; it did not within {_PATIENCE_S:g} s"
    raise AssertionError(message)


def count_up(store: TokenStore, key: StoreKey, times: int) -> None:
    """Save the next generation so many times, each under the lock."""
    for _ in range(times):
        lock = take(store, key, _PATIENCE_S)
        try:
            stored = store.load(key)
            generation, version = (stored.generation, stored.version) if stored else (0, (0, None))
            store.save(key, record_of(generation + 1), expected=version)
        finally:
            lock.release()


@contextlib.contextmanager
def opening(make_store: MakesStore) -> Generator[TokenStore]:
    """Open a store; an async one is made to look like a sync one.

    It is closed at the end, if it has a method ``close``.
    """
    with contextlib.ExitStack() as stack:
        store: Any = make_store()
        if inspect.iscoroutinefunction(store.load):
            store = Awaited(store, stack.enter_context(start_blocking_portal()))
        close = getattr(store, "close", None)
        if close is not None:
            stack.callback(close)
        yield store


class Awaited:
    """An async store, as a sync one; the tests are written once."""

    def __init__(self, wrapped: AsyncTokenStore, portal: BlockingPortal) -> None:
        self.wrapped = wrapped
        self.shared = wrapped.shared
        self.identity = getattr(wrapped, "identity", None)
        self._portal = portal
        keys = getattr(wrapped, "keys", None)
        if keys is not None:
            self.keys = partial(portal.call, keys)

    def __repr__(self) -> str:
        return repr(self.wrapped)

    def load(self, key: StoreKey) -> Record | None:
        """As ``TokenStore.load``."""
        return self._portal.call(self.wrapped.load, key)

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """As ``TokenStore.save``."""
        self._portal.call(partial(self.wrapped.save, key, record, expected=expected))

    def try_lock(self, key: StoreKey, *, ttl: float) -> StoreLock | None:
        """As ``TokenStore.try_lock``."""
        lock = self._portal.call(partial(self.wrapped.try_lock, key, ttl=ttl))
        return _AwaitedLock(lock, self._portal) if lock is not None else None

    def close(self) -> None:
        """Close it."""
        close = getattr(self.wrapped, "aclose", None)
        if close is not None:
            self._portal.call(close)


class _AwaitedLock:
    def __init__(self, wrapped: AsyncStoreLock, portal: BlockingPortal) -> None:
        self._wrapped = wrapped
        self._portal = portal

    def remaining(self) -> float:
        return self._wrapped.remaining()

    def release(self) -> None:
        self._portal.call(self._wrapped.release)
