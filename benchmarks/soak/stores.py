"""The stores of the soak, which fail when they are told to: before they did anything, or after."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth import FileStore, RedisStore, SqlStore, StoreUnavailableError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Hashable

    from httpx_cobo_auth import TokenStore
    from httpx_cobo_auth.stores import Record, StoreKey, StoreLock, Version

__all__ = ["KINDS", "FailingStore", "Failure", "make"]


def _sql(path: str) -> TokenStore:
    return SqlStore(f"sqlite:///{path}", auto_create=True)


_MAKERS: dict[str, Callable[[str], TokenStore]] = {
    "file": FileStore,
    "redis": RedisStore,
    "sql": _sql,
}
KINDS = tuple(_MAKERS)


class Failure:
    """Whether the stores of a process fail just now; all of them at once.

    Args:
        chance: says whether a save that fails has been made all the same.

    """

    def __init__(self, chance: random.Random) -> None:
        self._until = 0.0
        self._chance = chance

    def last(self, seconds: float) -> None:
        """Fail for some seconds from now."""
        self._until = time.monotonic() + seconds

    @property
    def now(self) -> bool:
        """Whether it does."""
        return time.monotonic() < self._until

    def happen(self) -> None:
        """Raise, if it does."""
        if self.now:
            message = "the soak's store is down"
            raise StoreUnavailableError(message)

    def after_the_fact(self) -> bool:
        """Whether what fails now has an effect first."""
        return self.now and self._chance.random() < 0.5  # noqa: PLR2004


class FailingStore:
    """A store that works, but for a failure."""

    def __init__(self, store: TokenStore, failure: Failure) -> None:
        self._store = store
        self._failure = failure
        self.shared = store.shared
        self.identity: Hashable = getattr(store, "identity", None)

    def load(self, key: StoreKey) -> Record | None:
        """Read, or fail."""
        self._failure.happen()
        return self._store.load(key)

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Save, or fail, or both."""
        if not self._failure.after_the_fact():
            self._failure.happen()
        self._store.save(key, record, expected=expected)
        self._failure.happen()

    def try_lock(self, key: StoreKey, *, ttl: float) -> StoreLock | None:
        """Take the lock, or fail."""
        self._failure.happen()
        return self._store.try_lock(key, ttl=ttl)


def make(task: dict[str, Any], failure: Failure) -> FailingStore:
    """Make a store as the task says."""
    return FailingStore(_MAKERS[task["store"]](task["store_path"]), failure)
