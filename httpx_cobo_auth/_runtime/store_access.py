"""The store, as one flow uses it: its calls, and its lock, released whatever becomes of the flow.

A cancelled flow cannot take back a call that runs in a thread. So the lock that such a call
brings in after the end is released there and then, and a lock that is held is not released under
the hands of a call that still needs it.
"""

from __future__ import annotations

import math
import os
import threading
from typing import TYPE_CHECKING, TypeVar

from httpx_cobo_auth.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.stores.base import (
        AsyncStoreLock,
        AsyncTokenStore,
        StoreLock,
        TokenStore,
    )

__all__ = ["AsyncStoreAccess", "StoreAccess"]

_T = TypeVar("_T")


class StoreAccess:
    """A store for one flow. Its methods may block; ``close`` does not."""

    def __init__(self, store: TokenStore, key: StoreKey, ttl: float) -> None:
        self._store = store
        self._key = key
        self._ttl = ttl
        # By the process that took it: a forked child inherits no lock, whatever the store says.
        self._held: dict[int, StoreLock] = {}
        self._busy = False
        self._closed = False

    def load(self) -> Record | None:
        """Return the record."""
        return self._call(lambda: self._store.load(self._key))

    def save(self, record: Record, expected: Version) -> None:
        """Replace the record of that version."""
        self._call(lambda: self._store.save(self._key, record, expected=expected))

    def try_lock(self) -> bool:
        """Take the lock, and return whether it was obtained."""
        return self._call(self._try_lock)

    def _try_lock(self) -> bool:
        lock = self._store.try_lock(self._key, ttl=self._ttl)
        if lock is not None:
            self._held[os.getpid()] = lock
        return lock is not None

    def remaining(self) -> float:
        """Return the seconds for which the lock is certainly still held."""
        lock = self._held.get(os.getpid())
        return lock.remaining() if lock is not None else -math.inf

    def release(self) -> None:
        """Release the lock, if it is held."""
        lock = self._held.pop(os.getpid(), None)
        if lock is not None:
            lock.release()

    def let_go(self) -> None:
        """Release the lock in place of a flow that gives no sign of life any more."""
        if not self._busy:
            self.release()

    def close(self) -> bool:
        """End the flow's part, and return whether a lock is left to be released now."""
        # Closed first, and looked afterwards; a call notes its end first, and looks afterwards.
        self._closed = True
        return os.getpid() in self._held and not self._busy

    def __del__(self) -> None:
        """Release the lock where nobody has closed this."""
        if not self.close():
            return
        if getattr(self._store, "blocking", True):
            # Nobody knows on which thread this runs; it may be an event loop's.
            try:
                threading.Thread(target=self.release, daemon=True).start()
            except RuntimeError:
                self.release()
        else:
            self.release()

    def _call(self, method: Callable[[], _T]) -> _T:
        if self._closed:
            message = "the flow has ended"
            raise StoreUnavailableError(message)
        self._busy = True
        try:
            return method()
        except StoreError:
            raise
        except Exception as error:
            raise _unavailable(error) from error
        finally:
            self._busy = False
            self._called()

    def _called(self) -> None:
        """Release the lock of a flow that ended during a call."""
        if self._closed:
            self.release()


class AsyncStoreAccess:
    """An async store for one flow. Where a flow is abandoned, its lock has to lapse."""

    def __init__(self, store: AsyncTokenStore, key: StoreKey, ttl: float) -> None:
        self._store = store
        self._key = key
        self._ttl = ttl
        self._lock: AsyncStoreLock | None = None

    async def load(self) -> Record | None:
        """Return the record."""
        return await _acall(self._store.load(self._key))

    async def save(self, record: Record, expected: Version) -> None:
        """Replace the record of that version."""
        await _acall(self._store.save(self._key, record, expected=expected))

    async def try_lock(self) -> bool:
        """Take the lock, and return whether it was obtained."""
        self._lock = await _acall(self._store.try_lock(self._key, ttl=self._ttl))
        return self._lock is not None

    def remaining(self) -> float:
        """Return the seconds for which the lock is certainly still held."""
        lock = self._lock
        return lock.remaining() if lock is not None else -math.inf

    async def release(self) -> None:
        """Release the lock, if it is held."""
        lock, self._lock = self._lock, None
        if lock is not None:  # pragma: no branch - nobody asks who does not hold it
            await lock.release()

    def close(self) -> bool:
        """Whether a lock is left to be released."""
        return self._lock is not None


async def _acall(awaitable: Awaitable[_T]) -> _T:
    try:
        return await awaitable
    except StoreError:
        raise
    except Exception as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"the token store failed: {type(error).__name__}: {error}")
