"""The real gate, put into any state, asked one thing, and read again."""

from __future__ import annotations

from typing import NamedTuple

from httpx_cobo_auth._runtime.permits import Gate, Permit

__all__ = ["GateState", "Passed", "Turnstile"]


class GateState(NamedTuple):
    """A gate, with its callers by number.

    Attributes:
        seat: who has the renewer's seat; -1 for nobody.
        writes: whose writes are in flight.
        waiting: who waits to be woken.
        door_closed: whether no write may begin.
        overdue: whether the seat may be taken over.

    """

    seat: int
    writes: tuple[int, ...]
    waiting: tuple[int, ...]
    door_closed: bool
    overdue: bool


class Passed(NamedTuple):
    """What came of it.

    Attributes:
        granted: whether the seat, the write, or that none is in flight.
        ended: whether a renewal has ended by that.

    """

    state: GateState
    granted: bool
    ended: bool


class _Waiter(NamedTuple):
    who: int

    def wake(self) -> None:
        """Be woken, which shows in not waiting any more."""


class Turnstile:
    """Asks the real gate; the same question about the same state only once."""

    def __init__(self) -> None:
        self._gate = Gate(seat_timeout=1.0, monotonic=lambda: 0.0)
        self._passed: dict[tuple[GateState, str, int], Passed] = {}

    def ask(self, state: GateState, what: str, who: int) -> Passed:
        """Have somebody enter, leave, begin or end a write, or drain."""
        question = state, what, who
        passed = self._passed.get(question)
        if passed is None:
            passed = self._passed[question] = self._ask(state, what, who)
        return passed

    def _ask(self, state: GateState, what: str, who: int) -> Passed:
        gate = self._gate
        self._set(state)
        ticket: Permit | None = None
        granted = True
        match what:
            case "enter":
                ticket = gate.enter(_Waiter(who))
            case "try to enter":
                ticket = gate.enter(None)
            case "begin write":
                ticket = gate.begin_write(_Waiter(who))
            case "drain":
                granted = gate.drain(_seat(who), _Waiter(who))
            case "end write":
                gate.release(_write(who))
            case "leave":
                gate.release(_seat(who))
            case _:
                raise ValueError(what)
        if what in ("enter", "try to enter", "begin write"):
            granted = ticket is not None
        after = self._get(ticket.number if ticket is not None else 0, who)
        if ticket is not None:
            ticket._gate = None  # The model gives it back, by who has it.
        return Passed(after, granted, gate.ended > 0)

    def _set(self, state: GateState) -> None:
        gate = self._gate
        gate._seat = _seat(state.seat) if state.seat >= 0 else 0
        gate._seat_until = 1.0 if state.seat >= 0 and not state.overdue else 0.0
        gate._writes = {_write(who) for who in state.writes}
        gate._waiters = [_Waiter(who) for who in state.waiting]
        gate._door_closed = state.door_closed
        gate.ended = 0

    def _get(self, new: int, who: int) -> GateState:
        gate = self._gate
        seat = gate._seat
        writes = (who if number == new else _whose(number) for number in gate._writes)
        return GateState(
            -1 if not seat else who if seat == new else _whose(seat),
            tuple(sorted(writes)),
            tuple(sorted(waiter.who for waiter in gate._waiters if isinstance(waiter, _Waiter))),
            gate._door_closed,
            bool(seat) and gate._seat_until <= 0.0,
        )


# Tickets that the model knows have numbers that the gate never gives.
def _seat(who: int) -> int:
    return -2 * who - 2


def _write(who: int) -> int:
    return -2 * who - 1


def _whose(number: int) -> int:
    return (-number - 1) // 2
