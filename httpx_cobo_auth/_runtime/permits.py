"""One renewer at a time in this process, and no write under way while it exchanges.

The gate never waits: every method returns at once, under a mutex held for moments. Who has
to wait registers a *waiter* with ``wake()``, callable from any thread, and asks again when
woken; so threads, asyncio and trio, in any number of event loops, wait at one gate.

What is handed out, a seat or a write in flight, is a ``Permit`` that belongs to no task and
no thread. It is released once, from anywhere, and at the latest when it is garbage: a flow
abandoned with its event loop never runs its ``finally``, but what it held still dies. So the
gate knows tickets by number only, lest it keep them alive; and since garbage may be collected
inside the gate's own critical section, releases are queued, never waited for.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from httpx_cobo_auth._forking import forget_on_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.errors import CoboAuthError

__all__ = ["Gate", "Home", "Permit", "Waiter"]

# Of all gates together: inside of one gate's ticket, another's may be asked for.
_numbers = itertools.count(1)


class Waiter(Protocol):
    """Somebody who waits, in a thread or in a task."""

    def wake(self) -> None:
        """End the waiting; from any thread, and harmless where nobody waits any more."""
        ...


class Home(Protocol):
    """An asyncio event loop; trio ends whatever runs in it before it ends itself."""

    def is_closed(self) -> bool:
        """Tell whether nothing can run there any more."""
        ...


class Permit:
    """Something to be given back once: the renewer's seat, or a write in flight."""

    __slots__ = ("_gate", "number")

    def __init__(self, gate: Gate, number: int) -> None:
        """Stand for that number at that gate."""
        self._gate: Gate | None = gate
        self.number: int = number

    def release(self, error: CoboAuthError | None = None) -> None:
        """Give it back; idempotent, from any thread, needs no event loop.

        ``error`` is what a renewal ended with, for all who waited for it.
        """
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.release(self.number, error)

    def __del__(self) -> None:
        """Give it back at the latest now."""
        self.release()


class Gate:
    """The gate of one organization's token in this process.

    Attributes:
        ended: how many renewals have ended.
        error: what the latest one ended with.

    """

    def __init__(
        self, seat_timeout: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with nobody there.

        Args:
            seat_timeout: seconds after which the next one takes the seat of a renewer that
                gives no sign of life.
            monotonic: real time, because waiting happens in real time.

        """
        self._seat_timeout = seat_timeout
        self._monotonic = monotonic
        self._reset()
        forget_on_fork(self, Gate._reset)

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._seat = 0
        self._seat_until = 0.0
        self._door_closed = False
        self._writes: set[int] = set()
        self._homes: dict[int, Home] = {}
        self._waiters: list[Waiter] = []
        self._releases: deque[tuple[int, CoboAuthError | None]] = deque()
        self.ended: int = 0
        self.error: CoboAuthError | None = None

    @property
    def seat_left(self) -> float:
        """Seconds until the seat, if taken, may be taken over."""
        return max(0.0, self._seat_until - self._monotonic())

    def is_seat(self, number: int) -> bool:
        """Tell whether that ticket is the seat taken now."""
        return number == self._seat

    def enter(
        self, waiter: Waiter | None, parents: tuple[int, ...] = (), home: Home | None = None
    ) -> Permit | None:
        """Take the seat, or register to be woken when it is given back.

        Args:
            waiter: who is woken; ``None`` for nobody.
            parents: writes in flight inside of which this happens, in a hook, say. They
                are not waited for from now on, for they would have to wait for us.
            home: the event loop that it happens in; where that is closed, it is over.

        """
        with self._mutex:
            if parents and not self._writes.isdisjoint(parents):
                self._writes.difference_update(parents)
                self._wake()
            if self._seat and self._is_alive():
                if waiter is not None:
                    self._waiters.append(waiter)
                ticket = None
            else:
                self._homes.pop(self._seat, None)
                self._seat = number = self._number(home)
                self._seat_until = self._monotonic() + self._seat_timeout
                self._door_closed = False
                ticket = Permit(self, number)
        self._settle()
        return ticket

    def begin_write(
        self, waiter: Waiter | None, parents: tuple[int, ...] = (), home: Home | None = None
    ) -> Permit | None:
        """Enter a write as in flight, or register to be woken when the door opens again.

        Inside of another write, or of the exchange itself, there is no waiting.
        """
        with self._mutex:
            if (
                self._door_closed
                and self._is_alive()
                and not any(parent == self._seat or parent in self._writes for parent in parents)
            ):
                if waiter is not None:
                    self._waiters.append(waiter)
                ticket = None
            else:
                number = self._number(home)
                self._writes.add(number)
                ticket = Permit(self, number)
        if self._releases:
            self._settle()
        return ticket

    def drain(self, seat: int, waiter: Waiter) -> bool:
        """Close the door; tell whether no write is in flight, or register to be woken."""
        with self._mutex:
            if seat == self._seat:
                self._door_closed = True
            for number in [number for number in self._writes if self._is_deserted(number)]:
                self._give_back(number, None)
            drained = not self._writes
            if not drained:
                self._waiters.append(waiter)
        self._settle()
        return drained

    def unregister(self, waiter: Waiter) -> None:
        """Stop waiting."""
        with self._mutex:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        self._settle()

    def release(self, number: int, error: CoboAuthError | None = None) -> None:
        """Give a ticket back."""
        if not self._mutex.acquire(blocking=False):
            self._releases.append((number, error))
            self._settle()
            return
        try:
            self._give_back(number, error)
        finally:
            self._mutex.release()
        if self._releases:
            self._settle()

    def _number(self, home: Home | None) -> int:
        number = next(_numbers)
        if home is not None:
            self._homes[number] = home
        return number

    def _is_alive(self) -> bool:
        """Tell whether somebody has the seat, as far as can be known."""
        return self._seat_until > self._monotonic() and not self._is_deserted(self._seat)

    def _is_deserted(self, number: int) -> bool:
        # A task abandoned with its asyncio loop may never become garbage: where it was inside
        # of a cancel scope, anyio keeps it.
        home = self._homes.get(number)
        return home is not None and home.is_closed()

    def _settle(self) -> None:
        # Whoever holds the mutex comes by here after letting go of it, and finds what was
        # queued meanwhile; so nobody has to wait for it, not even the garbage collector.
        while self._releases and self._mutex.acquire(blocking=False):
            try:
                while self._releases:
                    self._give_back(*self._releases.popleft())
            finally:
                self._mutex.release()

    def _give_back(self, number: int, error: CoboAuthError | None) -> None:
        self._homes.pop(number, None)
        if number in self._writes:
            self._writes.remove(number)
            if self._door_closed and not self._writes:
                self._wake()
        elif number == self._seat:
            self._seat = 0
            self._seat_until = 0.0
            self._door_closed = False
            self.ended += 1
            self.error = error
            self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()
