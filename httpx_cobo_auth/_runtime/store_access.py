"""The store in one flow's hands: its calls, and its lock, released whatever becomes of the flow.

A cancelled flow cannot take back a call that runs in a worker thread. So what such a call
brings in after the end is released there and then, and what it still needs is released after
it, not under its hands.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, TypeVar

from httpx_cobo_auth._forking import forget_on_fork
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

__all__ = ["AsyncCustody", "Custody"]

_T = TypeVar("_T")


class Custody:
    """A store for one flow. Its methods may block; ``close`` does not."""

    def __init__(self, store: TokenStore, key: StoreKey, ttl: float) -> None:
        """Hold nothing yet."""
        self._store = store
        self._key = key
        self._ttl = ttl
        self._forget()
        forget_on_fork(self, Custody._forget)

    def _forget(self) -> None:
        self._mutex = threading.Lock()
        self._lock: StoreLock | None = None
        self._busy = False
        self._closed = False

    def load(self) -> Record | None:
        """Read the record."""
        return self._call(lambda: self._store.load(self._key))

    def save(self, record: Record, expected: Version) -> None:
        """Replace the record of that version."""
        self._call(lambda: self._store.save(self._key, record, expected=expected))

    def try_lock(self) -> bool:
        """Take the lock; tell whether it was to be had."""
        return self._call(self._try_lock)

    def _try_lock(self) -> bool:
        self._lock = self._store.try_lock(self._key, ttl=self._ttl)
        return self._lock is not None

    def remaining(self) -> float:
        """Seconds for which the lock is certainly still held."""
        lock = self._lock
        return lock.remaining() if lock is not None else -math.inf

    def release(self) -> None:
        """Release the lock, if it is held."""
        with self._mutex:
            lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def let_go(self) -> None:
        """Release the lock in place of a flow that gives no sign of life any more."""
        if not self._busy:
            self.release()

    def close(self) -> bool:
        """End the flow's part; tell whether a lock is left to be released now."""
        with self._mutex:
            self._closed = True
            return self._lock is not None and not self._busy

    def __del__(self) -> None:
        """Release the lock where no driver is resumed to do it."""
        if not self.close():
            return
        if getattr(self._store, "blocking", True):
            # Nobody knows on which thread this runs; it may be an event loop's.
            threading.Thread(target=self.release, daemon=True).start()
        else:
            self.release()

    def _call(self, method: Callable[[], _T]) -> _T:
        self._begin()
        try:
            return method()
        except StoreError:
            raise
        except Exception as error:
            raise _unavailable(error) from error
        finally:
            if self._end():
                self.release()

    def _begin(self) -> None:
        with self._mutex:
            if self._closed:
                message = "the flow has ended"
                raise StoreUnavailableError(message)
            self._busy = True

    def _end(self) -> bool:
        """Tell whether the flow ended meanwhile, so that nobody else releases the lock."""
        with self._mutex:
            self._busy = False
            return self._closed


class AsyncCustody:
    """An async store for one flow. Where a flow is abandoned, its lock has to lapse."""

    def __init__(self, store: AsyncTokenStore, key: StoreKey, ttl: float) -> None:
        """Hold nothing yet."""
        self._store = store
        self._key = key
        self._ttl = ttl
        self._lock: AsyncStoreLock | None = None

    async def load(self) -> Record | None:
        """Read the record."""
        return await _acall(self._store.load(self._key))

    async def save(self, record: Record, expected: Version) -> None:
        """Replace the record of that version."""
        await _acall(self._store.save(self._key, record, expected=expected))

    async def try_lock(self) -> bool:
        """Take the lock; tell whether it was to be had."""
        self._lock = await _acall(self._store.try_lock(self._key, ttl=self._ttl))
        return self._lock is not None

    def remaining(self) -> float:
        """Seconds for which the lock is certainly still held."""
        lock = self._lock
        return lock.remaining() if lock is not None else -math.inf

    async def release(self) -> None:
        """Release the lock, if it is held."""
        lock, self._lock = self._lock, None
        if lock is not None:  # pragma: no branch - nobody asks who does not hold it
            await lock.release()

    def close(self) -> bool:
        """Tell whether a lock is left to be released."""
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
