"""The real permits, put into any state, asked one thing, and read again."""

from __future__ import annotations

import weakref
from typing import NamedTuple

from httpx_cobo_auth._runtime.permits import Permit, Permits, _State
from httpx_cobo_auth._runtime.promises import Waiters

__all__ = ["GateState", "Passed", "Turnstile"]

_LEASE_S = 1.0


class GateState(NamedTuple):
    """Who of one process has what, by number.

    Attributes:
        seat: who has the permit to renew; -1 for nobody.
        writes: whose writes are in flight.
        waiting: who waits to be woken.
        door_closed: whether no write may begin.
        overdue: whether the permit to renew may be taken over.

    """

    seat: int
    writes: tuple[int, ...]
    waiting: tuple[int, ...]
    door_closed: bool
    overdue: bool


class Passed(NamedTuple):
    """What came of it.

    Attributes:
        granted: whether the permit, the write, or that none is in flight.
        ended: whether a renewal has ended by that.

    """

    state: GateState
    granted: bool
    ended: bool


class _Waiter(NamedTuple):
    who: int

    def wake(self) -> None:
        """Be woken, which shows in not waiting any more."""

    def wait(self, seconds: float) -> None:
        """Never called: here, waiting is a state of the caller's."""
        raise AssertionError(seconds)


class Turnstile:
    """Asks the real permits; the same question about the same state only once."""

    def __init__(self, *, lenient: bool = True) -> None:
        """Ask permits of its own.

        Args:
            lenient: whether to overlook that a write which may not begin wakes those who wait,
                itself included, for nothing: no run would come to an end.

        """
        self._lenient = lenient
        self._permits = Permits(monotonic=lambda: 0.0)
        self._known: dict[int, Permit] = {}
        self._passed: dict[tuple[GateState, str, int], Passed] = {}

    def ask(self, state: GateState, what: str, who: int) -> Passed:
        """Have somebody enter, leave, begin or end a write, or drain."""
        question = state, what, who
        passed = self._passed.get(question)
        if passed is None:
            passed = self._passed[question] = self._ask(state, what, who)
        return passed

    def _ask(self, state: GateState, what: str, who: int) -> Passed:
        permits, waiter = self._permits, _Waiter(who)
        self._set(state)
        permit: Permit | None = None
        granted = True
        # Who waits registers first and looks afterwards, as ``Resources`` does.
        if what in ("enter", "begin write", "drain"):
            permits.wait_for_change(waiter)
        match what:
            case "enter" | "try to enter":
                permit = permits.enter(_LEASE_S)
                granted = permit is not None
            case "begin write" | "try to write":
                permit = permits.begin_write()
                granted = permit is not None
            case "drain":
                granted = permits.drain(self._permit(_seat(who)))
            case "end write":
                permits.release(_write(who))
            case "leave":
                permits.release(_seat(who))
            case _:
                raise ValueError(what)
        if granted:
            permits.unregister(waiter)
        after = self._get(permit.number if permit is not None else 0, who)
        if self._lenient and what == "begin write" and not granted:
            after = after._replace(waiting=tuple(sorted({*state.waiting, who})))
        if permit is not None:
            permit._permits = None  # The model gives it back, by who has it.
        return Passed(after, granted, permits.ended > 0)

    def _set(self, state: GateState) -> None:
        has_seat = state.seat >= 0
        waiters = Waiters()
        for who in state.waiting:
            waiters.add(_Waiter(who))
        self._permits._cell.set(
            _State(
                renewal=weakref.ref(self._permit(_seat(state.seat))) if has_seat else None,
                number=_seat(state.seat) if has_seat else 0,
                until=_LEASE_S if has_seat and not state.overdue else 0.0,
                door_closed=state.door_closed,
                writes={
                    _write(who): weakref.ref(self._permit(_write(who))) for who in state.writes
                },
                waiters=waiters,
            )
        )

    def _permit(self, number: int) -> Permit:
        """Return a permit that the model knows, and that is not given back when it is garbage."""
        permit = self._known.get(number)
        if permit is None:
            permit = self._known[number] = Permit(self._permits, None)
            permit._permits = None
            permit.number = number
        return permit

    def _get(self, new: int, who: int) -> GateState:
        state = self._permits._cell.value
        seat = state.number
        writes = (who if number == new else _whose(number) for number in state.writes)
        waiting = state.waiters._waiting.values()
        return GateState(
            -1 if not seat else who if seat == new else _whose(seat),
            tuple(sorted(writes)),
            tuple(sorted({each.who for each in waiting if isinstance(each, _Waiter)})),
            state.door_closed,
            bool(seat) and state.until <= 0.0,
        )


# Permits that the model knows have numbers that the real ones never have.
def _seat(who: int) -> int:
    return -2 * who - 2


def _write(who: int) -> int:
    return -2 * who - 1


def _whose(number: int) -> int:
    return (-number - 1) // 2
