"""Tokens in memory: for one process, gone with it."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from httpx_cobo_auth._forking import forget_on_fork
from httpx_cobo_auth.errors import StoreConflictError

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.stores.base import StoreLock

__all__ = ["MemoryStore"]


class MemoryStore:
    """Keeps tokens in this process's memory; the default.

    Every process that uses one of its own asks Cobo for a token of its own: for several
    processes take a ``FileStore``, for several hosts a ``RedisStore``. A forked child
    starts with an empty one, for a refresh token works only once.
    """

    shared = False
    blocking = False

    def __init__(self) -> None:
        """Start empty."""
        self._reset()
        forget_on_fork(self, MemoryStore._reset)

    def _reset(self) -> None:
        # Re-entrant: an abandoned flow gives its lock back when it is garbage, and garbage may
        # be collected right in here.
        self._mutex = threading.RLock()
        self._records: dict[StoreKey, Record] = {}
        self._locks: dict[StoreKey, _Lock] = {}

    def __repr__(self) -> str:
        """Say how many records there are, and none of them."""
        return f"<MemoryStore of {len(self._records)}>"

    def load(self, key: StoreKey) -> Record | None:
        """Give the record, if there is one."""
        return self._records.get(key)

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Replace the record of that version.

        Raises:
            StoreConflictError: the stored version is another.

        """
        with self._mutex:
            stored = self._records.get(key)
            if (stored.version if stored else (0, None)) != expected:
                message = "the record moved on since it was read"
                raise StoreConflictError(message)
            self._records[key] = record

    def try_lock(self, key: StoreKey, *, ttl: float) -> _Lock | None:
        """Take the right to renew if nobody has it.

        ``ttl`` does not matter: who dies here takes the whole store along.
        """
        del ttl
        lock = _Lock(self, key)
        return lock if self._locks.setdefault(key, lock) is lock else None

    def unlock(self, key: StoreKey, lock: StoreLock) -> None:
        """Give the right to renew back, if that lock has it; what its ``release`` does."""
        with self._mutex:
            if self._locks.get(key) is lock:
                del self._locks[key]


class _Lock:
    def __init__(self, store: MemoryStore, key: StoreKey) -> None:
        self._store = store
        self._key = key

    def remaining(self) -> float:
        return math.inf

    def release(self) -> None:
        self._store.unlock(self._key, self)
