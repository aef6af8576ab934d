"""What one flow holds: the renewer's seat, a write in flight, the store's lock.

It is given back at the end, however that comes: ``close`` is called by the driver, and where
nobody resumes the driver any more, each of the three gives itself back when it is garbage.
"""

from __future__ import annotations

import contextvars
import math
import time
from typing import TYPE_CHECKING, Any, Protocol

from httpx_cobo_auth._protocol.effects import Entry
from httpx_cobo_auth._runtime.ops import CallStore, Pause
from httpx_cobo_auth._runtime.store_access import Custody
from httpx_cobo_auth.errors import RenewalTimeoutError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.records import Record, Version
    from httpx_cobo_auth._runtime.ops import Steps, Waiting
    from httpx_cobo_auth._runtime.permits import Home, Permit
    from httpx_cobo_auth._runtime.session import Session
    from httpx_cobo_auth._runtime.store_access import AsyncCustody
    from httpx_cobo_auth.errors import CoboAuthError

__all__ = ["Holdings", "MakesWaiters", "parents"]

_FIRST_POLL_S = 0.005
_SLOWEST_POLL_S = 0.025
_LOOK_AFTER_S = 1.0

parents: contextvars.ContextVar[tuple[int, ...]] = contextvars.ContextVar(
    "httpx_cobo_auth_parents", default=()
)
"""Inside of which tickets this code runs: a request made in another's event hook must not
wait for its own parent."""


class MakesWaiters(Protocol):
    """A driver, as far as this matters here."""

    def home(self) -> Home | None:
        """Give the asyncio event loop that runs, if it is one that runs."""
        ...

    def new_waiter(self) -> Waiting:
        """Make something to wait by."""
        ...


class Holdings:
    """Takes, and gives back, for one flow."""

    __slots__ = ("_custody", "_driver", "_session", "seat", "write")

    def __init__(self, session: Session, driver: MakesWaiters) -> None:
        """Hold nothing yet."""
        self._session = session
        self._driver = driver
        self._custody: Custody | AsyncCustody | None = None
        self.seat: Permit | None = None
        self.write: Permit | None = None

    # ----------------------------------------------------------------------------- the gate
    def enter(self, timeout: float) -> Steps[Entry]:
        """Take the renewer's seat, or wait until somebody leaves it."""
        gate, within, home = self._session.gate, parents.get(), self._driver.home()
        if within and any(gate.is_seat(number) for number in within):
            return Entry()
        deadline, ended = time.monotonic() + timeout, gate.ended
        while True:
            waiter = self._driver.new_waiter() if timeout > 0 else None
            self.seat = gate.enter(waiter, within, home)
            if self.seat is not None:
                return Entry(entered=True)
            if waiter is None or not (yield from self._wait(waiter, deadline)):
                return Entry()
            if gate.ended != ended:
                return Entry(ended=True, error=gate.error)

    def leave(self, error: CoboAuthError | None) -> Steps[None]:
        """Give the seat back, and the store's lock before it."""
        yield from self.unlock_store()
        self._release_seat(error)

    def _release_seat(self, error: CoboAuthError | None = None) -> None:
        seat, self.seat = self.seat, None
        if seat is not None:
            seat.release(error)

    def begin_write(self) -> bool:
        """Enter the write if the door is open."""
        self.write = self._session.gate.begin_write(None, parents.get(), self._driver.home())
        return self.write is not None

    def await_write(self) -> Steps[None]:
        """Enter the write when the door opens."""
        gate, within, home = self._session.gate, parents.get(), self._driver.home()
        deadline = time.monotonic() + self._session.settings.timeouts.wait
        while True:
            waiter = self._driver.new_waiter()
            self.write = gate.begin_write(waiter, within, home)
            if self.write is not None:
                return
            if not (yield from self._wait(waiter, deadline)):
                message = "waited in vain for a renewal to end before sending a write"
                raise RenewalTimeoutError(message)

    def end_write(self) -> None:
        """Take the write back, or have it answered."""
        write, self.write = self.write, None
        if write is not None:
            write.release()

    def drain(self, timeout: float) -> Steps[bool]:
        """Close the door; tell whether all writes in flight ended in that many seconds."""
        gate, seat = self._session.gate, self.seat
        assert seat is not None  # noqa: S101 - only a renewal drains
        deadline = time.monotonic() + timeout
        while True:
            waiter = self._driver.new_waiter()
            if gate.drain(seat.number, waiter):
                return True
            if not (yield from self._wait(waiter, deadline)):
                return False

    def _wait(self, waiter: Waiting, deadline: float) -> Steps[bool]:
        """Wait to be woken; tell whether there is time left to look again."""
        gate = self._session.gate
        try:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            # Not beyond the time at which the seat may be taken over; and from time to time to
            # see whether who has it is gone together with an event loop.
            yield Pause(min(left, gate.seat_left + 0.001, _LOOK_AFTER_S), waiter)
        finally:
            gate.unregister(waiter)
        return True

    # ---------------------------------------------------------------------------- the store
    @property
    def _store(self) -> Custody | AsyncCustody:
        if self._custody is None:
            self._custody = self._session.custody()
        return self._custody

    def load(self) -> Steps[Record | None]:
        """Read the record."""
        record: Record | None = yield from self._call_store(self._store.load)
        return record

    def save(self, record: Record, expected: Version) -> Steps[None]:
        """Replace the record of that version."""
        save = self._store.save
        yield from self._call_store(lambda: save(record, expected))

    def remaining(self) -> float:
        """Seconds for which the store's lock is certainly still held."""
        return self._store.remaining()

    def _call_store(self, method: Callable[[], Any]) -> Steps[Any]:
        try:
            return (yield CallStore(method, self._session.how))
        except TimeoutError:
            message = "the token store took too long"
            raise StoreUnavailableError(message) from None

    def lock_store(self, timeout: float) -> Steps[bool]:
        """Take the store's lock, trying for that many seconds."""
        deadline, pause = time.monotonic() + timeout, _FIRST_POLL_S
        shared, custody = self._session.shared, self._store
        # Whoever else of this process took it with the seat that we have now has lost both.
        left_behind = shared.locker if self.seat is not None else None
        while not (yield from self._call_store(custody.try_lock)):
            if left_behind is not None:
                yield from self._call_store(left_behind.let_go)
                left_behind = None
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            yield Pause(min(left, pause))
            pause = min(2 * pause, _SLOWEST_POLL_S)
        if self.seat is not None and isinstance(custody, Custody):
            shared.locker = custody
        return True

    def unlock_store(self) -> Steps[None]:
        """Release the store's lock, if it is held."""
        if self._custody is not None and self._custody.remaining() > -math.inf:
            yield from self._call_store(self._custody.release)

    # ------------------------------------------------------------------------------ the end
    def close(self) -> Callable[[], Any] | None:
        """Give back what is held; gives the release of the store's lock, if that is left."""
        self.end_write()
        self._release_seat()
        custody = self._custody
        return custody.release if custody is not None and custody.close() else None
