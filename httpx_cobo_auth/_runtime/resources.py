"""What one flow has: the permit to renew, a write in flight, the store's lock.

All are given back at the end, however that comes: ``close`` is called by the client's loop, and
where nobody resumes that any more, each of the three gives itself back when it is garbage.
"""

from __future__ import annotations

import math
import time
import weakref
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.effects import Entry
from httpx_cobo_auth._runtime.backends import resolve
from httpx_cobo_auth._runtime.parents import parents
from httpx_cobo_auth._runtime.store_access import StoreAccess
from httpx_cobo_auth.errors import RenewalTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.records import Record, Version
    from httpx_cobo_auth._runtime.backends import Backend, Steps
    from httpx_cobo_auth._runtime.permits import Permit
    from httpx_cobo_auth._runtime.promises import Promise, Waiter
    from httpx_cobo_auth._runtime.session import Session
    from httpx_cobo_auth._runtime.store_access import AsyncStoreAccess
    from httpx_cobo_auth.errors import CoboAuthError

__all__ = ["Resources"]

_FIRST_POLL_S = 0.005
_SLOWEST_POLL_S = 0.025
_LOOK_AFTER_S = 0.5
_HOOK_S = 1.0


class Resources:
    """Takes, and gives back, for one flow."""

    __slots__ = ("_access", "_backend", "_session", "renewal", "write")

    def __init__(self, session: Session, backend: Backend) -> None:
        self._session = session
        self._backend = backend
        self._access: StoreAccess | AsyncStoreAccess | None = None
        self.renewal: Permit | None = None
        self.write: Permit | None = None

    # --------------------------------------------------------------------------- the permits
    def enter(self, timeout: float) -> Steps[Entry]:
        """Obtain the renewal permit, or wait until somebody gives it back."""
        permits, loop = self._session.permits, self._backend.loop()
        own = self._inside()
        deadline, ended = time.monotonic() + self._patience(timeout), permits.ended
        while True:
            waiter = self._backend.waiter()
            permits.wait_for_change(waiter)
            try:
                self.renewal = permits.enter(self._session.settings.lease, own, loop)
                if self.renewal is not None:
                    return Entry(entered=True)
                if permits.ended != ended:
                    return Entry(ended=True, error=permits.error)
                if not (yield from self._wait(waiter, deadline)):
                    return Entry()
            finally:
                permits.unregister(waiter)

    def _inside(self) -> tuple[int, ...]:
        """Return the requests of ours that this is inside of."""
        around = parents.get()
        if not around:
            return ()
        here = self._backend.identity()
        return tuple(parent.number for parent in around if parent.identity == here)

    def _patience(self, timeout: float) -> float:
        """Return for how long to wait for a renewal, which must not be waiting for us."""
        permits = self._session.permits
        for parent in parents.get():
            if permits.is_renewal(parent.number):
                if parent.identity == self._backend.identity():
                    return 0.0
                if parent.in_hook:
                    # A task that a hook of it has started; perhaps the hook waits for that.
                    return min(timeout, _HOOK_S)
        if self._backend.loop() is None and permits.runs_here():
            # A sync call in the very thread whose event loop renews: both would stand still.
            return 0.0
        return timeout

    def begin_write(self) -> bool:
        """Enter the write, unless an exchange is under way."""
        permits, loop = self._session.permits, self._backend.loop()
        self.write = permits.begin_write(self._inside(), loop)
        return self.write is not None

    def await_write(self) -> Steps[None]:
        """Enter the write once no exchange is under way."""
        permits, loop = self._session.permits, self._backend.loop()
        own = self._inside()
        deadline = time.monotonic() + self._patience(self._session.settings.wait)
        while True:
            waiter = self._backend.waiter()
            permits.wait_for_change(waiter)
            try:
                self.write = permits.begin_write(own, loop)
                if self.write is not None:
                    return
                if not (yield from self._wait(waiter, deadline)):
                    message = "gave up waiting for a renewal to end before sending a write"
                    raise RenewalTimeoutError(message)
            finally:
                permits.unregister(waiter)

    def end_write(self) -> None:
        """Take the write back, or note that it was answered."""
        if self.write is not None:
            self.write.release()  # First: where this is interrupted, ``close`` does it again.
            self.write = None

    def drain(self, timeout: float) -> Steps[bool]:
        """Let no write begin, and return whether all in flight ended in that many seconds."""
        permits, renewal = self._session.permits, self.renewal
        assert renewal is not None  # noqa: S101 - only a renewal drains
        deadline = time.monotonic() + timeout
        while True:
            waiter = self._backend.waiter()
            permits.wait_for_change(waiter)
            try:
                if permits.drain(renewal):
                    return True
                if not (yield from self._wait(waiter, deadline)):
                    return False
            finally:
                permits.unregister(waiter)

    def _wait(self, waiter: Waiter, deadline: float) -> Steps[bool]:
        """Wait to be woken, and return whether there is time left to look again."""
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        # Not beyond the time at which the permit may be taken over; and from time to time to
        # see whether who has it is gone together with an event loop.
        permits = self._session.permits
        yield from resolve(waiter.wait(min(left, permits.left + 0.001, _LOOK_AFTER_S)))
        return True

    # ------------------------------------------------------------ a renewal that runs elsewhere
    def await_renewal(
        self, promise: Promise[None], timeout: float, *, mine: bool, until_confirmed: bool
    ) -> Steps[Entry]:
        """Wait for a renewal that runs on its own."""
        if timeout:
            self._session.permits.excuse(self._inside())
        deadline = time.monotonic() + self._patience(timeout)
        while True:
            waiter = self._backend.waiter()
            promise.add(waiter)
            try:
                if promise.lost:
                    return Entry(ended=True)
                if promise.done:
                    return Entry(entered=mine, ended=True, error=promise.failure)
                if until_confirmed and promise.confirmed:
                    return Entry()
                if not (yield from self._wait(waiter, deadline)):
                    return Entry()
            finally:
                promise.discard(waiter)

    def release_renewal(self, error: CoboAuthError | None = None) -> None:
        """Give the renewal permit back."""
        if self.renewal is not None:
            self.renewal.release(error)  # First, as with a write.
            self.renewal = None

    # ---------------------------------------------------------------------------- the store
    @property
    def _store(self) -> StoreAccess | AsyncStoreAccess:
        if self._access is None:
            self._access = self._session.store_access()
        return self._access

    def load(self) -> Steps[Record | None]:
        """Return the record."""
        record: Record | None = yield from self._call(self._store.load)
        return record

    def save(self, record: Record, expected: Version) -> Steps[None]:
        """Replace the record of that version."""
        save = self._store.save
        yield from self._call(lambda: save(record, expected))

    def remaining(self) -> float:
        """Return the seconds for which the store's lock is certainly still held."""
        return self._store.remaining()

    def _call(self, method: Callable[[], Any]) -> Steps[Any]:
        blocking = self._session.blocking
        return (yield from resolve(self._backend.call(method, blocking=blocking)))

    def lock_store(self, timeout: float) -> Steps[bool]:
        """Take the store's lock, trying for that many seconds."""
        deadline, pause = time.monotonic() + timeout, _FIRST_POLL_S
        locker, access = self._session.shared.locker, self._store
        # Whoever else of this process took it with the permit that we have now has lost both.
        left_behind = locker.value() if self.renewal is not None else None
        while not (yield from self._call(access.try_lock)):
            if left_behind is not None:
                yield from self._call(left_behind.let_go)
                left_behind = None
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            yield from resolve(self._backend.sleep(min(left, pause)))
            pause = min(2 * pause, _SLOWEST_POLL_S)
        if self.renewal is not None and isinstance(access, StoreAccess):
            # Weakly: a flow that is garbage lets go of the lock by itself.
            locker.set(weakref.ref(access))
        return True

    def unlock_store(self) -> Steps[None]:
        """Release the store's lock, if it is held."""
        if self._access is not None and self._access.remaining() > -math.inf:
            yield from self._call(self._access.release)

    # ------------------------------------------------------------------------------ the end
    def close(self) -> Callable[[], Any] | None:
        """Give back what is held; returns the release of the store's lock, if that is left."""
        self.end_write()
        self.release_renewal()
        access = self._access
        return access.release if access is not None and access.close() else None
