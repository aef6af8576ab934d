"""Tokens in memory: for one process, gone with it."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING

from httpx_cobo_auth._cell import Cell
from httpx_cobo_auth.errors import StoreConflictError
from httpx_cobo_auth.stores._uncopied import Uncopied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version

__all__ = ["MemoryStore"]

_Records = dict["StoreKey", "Record"]
_Locks = dict["StoreKey", "weakref.ref[_Lock]"]


class MemoryStore(Uncopied):
    """Keeps tokens in this process's memory; the default.

    Every process that uses one of its own asks Cobo for a token of its own: for several
    processes take a ``FileStore``, for several hosts a ``RedisStore``. A forked child
    starts with an empty one, for a refresh token works only once.
    """

    shared = False
    blocking = False
    _why_uncopied = "its tokens are this process's own; take a FileStore for several"

    def __init__(self) -> None:
        self._records: Cell[Mapping[StoreKey, Record]] = Cell(_Records)
        # Weakly: a lock whose owner is garbage is free.
        self._locks: Cell[Mapping[StoreKey, weakref.ref[_Lock]]] = Cell(_Locks)

    def __repr__(self) -> str:
        """Show how many records there are, and none of them."""
        return f"<MemoryStore of {len(self._records.value)}>"

    def keys(self) -> list[StoreKey]:
        """Return whose records there are."""
        return list(self._records.value)

    def load(self, key: StoreKey) -> Record | None:
        """Return the record, if there is one."""
        return self._records.value.get(key)

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Replace the record of that version.

        Raises:
            StoreConflictError: the stored version is another.

        """

        def change(records: Mapping[StoreKey, Record]) -> tuple[Mapping[StoreKey, Record], bool]:
            stored = records.get(key)
            if (stored.version if stored else (0, None)) != expected:
                return records, False
            return {**records, key: record}, True

        if not self._records.update(change):
            message = "the record moved on since it was read"
            raise StoreConflictError(message)

    def try_lock(self, key: StoreKey, *, ttl: float) -> _Lock | None:
        """Take the right to renew if nobody has it.

        ``ttl`` does not matter: who dies here takes the whole store along.
        """
        del ttl
        lock = _Lock(self, self._locks, key)
        reference = weakref.ref(lock)

        def change(
            locks: Mapping[StoreKey, weakref.ref[_Lock]],
        ) -> tuple[Mapping[StoreKey, weakref.ref[_Lock]], bool]:
            held = locks.get(key)
            if held is not None and held() is not None:
                return locks, False
            return {**locks, key: reference}, True

        return lock if self._locks.update(change) else None

    def unlock(self, lock: _Lock) -> None:
        """Give the right to renew back, if that lock has it; what its ``release`` does."""

        def change(
            locks: Mapping[StoreKey, weakref.ref[_Lock]],
        ) -> tuple[Mapping[StoreKey, weakref.ref[_Lock]], None]:
            held = locks.get(lock.key)
            if held is None or held() is not lock:
                return locks, None
            return {key: other for key, other in locks.items() if key != lock.key}, None

        self._locks.update(change)


class _Lock:
    def __init__(
        self,
        store: MemoryStore,
        locks: Cell[Mapping[StoreKey, weakref.ref[_Lock]]],
        key: StoreKey,
    ) -> None:
        self._store = store
        self._locks = locks
        self.key = key

    def remaining(self) -> float:
        held = self._locks.value.get(self.key)
        return math.inf if held is not None and held() is self else 0.0

    def release(self) -> None:
        self._store.unlock(self)
