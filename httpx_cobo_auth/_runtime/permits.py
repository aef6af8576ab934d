"""One renewal at a time in this process, and no write under way while it exchanges.

Nothing here ever waits: every method returns at once, and no mutex is taken. Who has to wait
registers a waiter, and asks again when woken; so threads, asyncio and trio, in any number of
event loops, wait for one another.

What is handed out, the permit to renew or a write in flight, is a ``Permit`` that belongs to no
task and no thread. It is given back once, from anywhere; and who has forgotten it has given it
back: it is known by a weak reference only. A flow abandoned with its event loop never runs its
``finally``, but its permit dies with it.
"""

from __future__ import annotations

import itertools
import time
import weakref
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from httpx_cobo_auth._cell import Cell
from httpx_cobo_auth._runtime.promises import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._runtime.promises import EventLoop, Waiter
    from httpx_cobo_auth.errors import CoboAuthError

__all__ = ["Permit", "Permits"]

# Of all accounts together: inside of one's permit, another's may be asked for.
_numbers = itertools.count(1)


class Permit:
    """The permit to renew, or a write in flight: something to be given back once.

    Attributes:
        number: unlike any other's.
        loop: the event loop that it is used in, if it is.

    """

    __slots__ = ("__weakref__", "_permits", "loop", "number")

    def __init__(self, permits: Permits, loop: EventLoop | None) -> None:
        self._permits: Permits | None = permits
        self.number: int = next(_numbers)
        self.loop = loop

    @property
    def is_released(self) -> bool:
        """Whether it was given back."""
        return self._permits is None

    def release(self, error: CoboAuthError | None = None) -> None:
        """Give it back; idempotent, from any thread, needs no event loop.

        ``error`` is what a renewal ended with, for all who waited for it.
        """
        permits = self._permits
        if permits is not None:
            try:
                permits.release(self.number, error)
            except BaseException:
                # A signal handler's. It may be kept, and with it whoever has this permit.
                permits.release(self.number, error)
                permits.wake()
                raise
            self._permits = None

    def __del__(self) -> None:
        """Give it back at the latest now."""
        self.release()


@dataclass(frozen=True, slots=True)
class _State:
    """Who has what. The two collections are changed in place, by single operations."""

    renewal: weakref.ref[Permit] | None = None
    number: int = 0
    until: float = 0.0
    door_closed: bool = False
    ended: int = 0
    error: CoboAuthError | None = None
    writes: dict[int, weakref.ref[Permit]] = field(default_factory=dict[int, weakref.ref[Permit]])
    waiters: Waiters = field(default_factory=Waiters)


class Permits:
    """Those of one organization's token in this process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start with nobody there.

        Args:
            monotonic: real time, because waiting happens in real time.

        """
        self._monotonic = monotonic
        self._cell: Cell[_State] = Cell(_State)

    @property
    def ended(self) -> int:
        """How many renewals have ended."""
        return self._cell.value.ended

    @property
    def error(self) -> CoboAuthError | None:
        """What the latest one ended with."""
        return self._cell.value.error

    @property
    def left(self) -> float:
        """Seconds until the permit, if somebody has it, may be taken over."""
        return max(0.0, self._cell.value.until - self._monotonic())

    def is_renewal(self, number: int) -> bool:
        """Whether that is the permit to renew, handed out just now."""
        return number == self._cell.value.number

    def runs_here(self) -> bool:
        """Whether the renewal is in an event loop that this very thread is in the middle of."""
        state = self._cell.value
        permit = state.renewal() if state.renewal is not None else None
        return permit is not None and permit.loop is not None and permit.loop.runs_here()

    def wait_for_change(self, waiter: Waiter) -> None:
        """Have somebody woken once a permit is given back. Look again afterwards."""
        self._cell.value.waiters.add(waiter)

    def unregister(self, waiter: Waiter) -> None:
        """Have somebody woken no longer."""
        self._cell.value.waiters.discard(waiter)

    # ------------------------------------------------------------------------------ renewals
    def enter(
        self, lease: float, parents: tuple[int, ...] = (), loop: EventLoop | None = None
    ) -> Permit | None:
        """Return the permit to renew, unless somebody has it.

        Args:
            lease: seconds after which another may take it over.
            parents: writes in flight inside of which this happens, in a hook, say. They
                are not waited for from now on, for they would have to wait for us.
            loop: the event loop that it happens in; where that is gone, it is over.

        """
        self.excuse(parents)
        permit = Permit(self, loop)  # Before it is entered: what is interrupted is given back.
        reference = weakref.ref(permit)
        until = self._monotonic() + lease

        def change(state: _State) -> tuple[_State, bool]:
            if self._is_renewing(state):
                return state, False
            new = replace(
                state, renewal=reference, number=permit.number, until=until, door_closed=False
            )
            return new, True

        try:
            return permit if self._cell.update(change) else None
        except BaseException:
            permit.release()  # Whoever keeps what a signal handler raised keeps this frame.
            raise

    def _is_renewing(self, state: _State) -> bool:
        if state.until <= self._monotonic():
            return False
        return state.renewal is not None and _is_held(state.renewal)

    # -------------------------------------------------------------------------------- writes
    def excuse(self, writes: tuple[int, ...]) -> None:
        """Wait no longer for these writes in flight: they wait for a renewal themselves."""
        for number in writes:
            if self._cell.value.writes.pop(number, None) is not None:
                self.wake()

    def begin_write(
        self, parents: tuple[int, ...] = (), loop: EventLoop | None = None
    ) -> Permit | None:
        """Return a write in flight, unless an exchange is under way.

        Inside of another write, or of the exchange itself, there is no waiting.
        """
        # Not even entered for a moment: to leave again would wake others who wait for the same.
        if not self._may_write(parents):
            return None
        permit = Permit(self, loop)
        try:
            # Entered first, and looked again afterwards; who drains closes first, and looks then.
            self._cell.value.writes[permit.number] = weakref.ref(permit)
            if self._may_write(parents):
                return permit
        except BaseException:
            permit.release()
            raise
        permit.release()
        return None

    def _may_write(self, parents: tuple[int, ...]) -> bool:
        state = self._cell.value
        if not state.door_closed or not self._is_renewing(state):
            return True
        return any(number == state.number or number in state.writes for number in parents)

    def drain(self, permit: Permit) -> bool:
        """Let no new write begin, and return whether none is in flight."""

        def change(state: _State) -> tuple[_State, None]:
            mine = state.number == permit.number and not state.door_closed
            return (replace(state, door_closed=True) if mine else state), None

        self._cell.update(change)
        writes = self._cell.value.writes
        for number, reference in list(writes.items()):
            if not _is_held(reference):
                writes.pop(number, None)
        return not writes

    # ---------------------------------------------------------------------------- given back
    def release(self, number: int, error: CoboAuthError | None = None) -> None:
        """Take a permit back."""
        state = self._cell.value
        if state.writes.pop(number, None) is not None:
            if state.door_closed and not state.writes:
                self.wake()
            return

        def change(state: _State) -> tuple[_State, bool]:
            if state.number != number:
                return state, False
            new = replace(
                state,
                renewal=None,
                number=0,
                until=0.0,
                door_closed=False,
                ended=state.ended + 1,
                error=error,
            )
            return new, True

        if self._cell.update(change):
            self.wake()

    def wake(self) -> None:
        """Have all look again who wait."""
        self._cell.value.waiters.wake()


def _is_held(reference: weakref.ref[Permit]) -> bool:
    permit = reference()
    return permit is not None and (permit.loop is None or permit.loop.is_alive())
