"""What may happen to callers: cancelled, failed, out of time, overtaken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.effects import (
    Delegate,
    Enter,
    Exchange,
    ExchangeFault,
    Load,
    LockStore,
    Save,
)
from httpx_cobo_auth.errors import StoreUnavailableError, TokenEndpointError
from tests.exploration.desk import set_caller, set_process, spent_by
from tests.exploration.performing import Performing
from tests.exploration.players import Broken, Given
from tests.exploration.world import Caller, Doubt, Injected, Phase, Process, World

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Mishaps"]

_ENDPOINT = TokenEndpointError("the token endpoint could not be reached")
_UNSENT = ExchangeFault(_ENDPOINT, unsent=True)
_LOST = ExchangeFault(_ENDPOINT, unsent=False)
_STORE = StoreUnavailableError("the token store failed")

_FAULTS: dict[type[Any], tuple[str, ...]] = {
    Exchange: ("cannot connect", "lost on the way"),
    Load: ("store fails",),
    LockStore: ("store fails", "locked, but store fails"),
    Save: ("store fails", "saved, but store fails", "cancelled while saving"),
}


class Mishaps(Performing):
    """Moves that something else makes."""

    def _mishaps(self, world: World, caller: Caller, *, able: bool) -> Iterator[str]:
        if caller.phase in (Phase.CLOSED, Phase.SAVING):
            return
        if not able and world.waits and caller.seat != 2:
            yield "times out"
        if caller.seat == 1 and world.overdue:
            yield "overdue"
        if caller.lock == 1 and world.lapses:
            yield "lock lapses"
        if caller.spare and world.mishaps:
            yield "cancelled"
            effect = self._effect(caller)
            if caller.phase is Phase.READY:
                if self.scenario.late and isinstance(effect, Save) and world.late is None:
                    yield "saved later, but store fails"
                yield from _FAULTS.get(type(effect), ())
            elif isinstance(effect, Exchange):
                yield "answer lost"

    def _mishap(self, world: World, who: int, what: str) -> World:  # noqa: C901, PLR0911 - one for each
        caller = world.callers[who]
        if what == "times out":
            world = self._injected(world, who)
            return self._timed_out(world._replace(waits=world.waits - 1), who)
        if what == "overdue":
            return self._overdue(world, who)
        if what == "lock lapses":
            overtaken = tuple(each._replace(doubt=Doubt.OVERTAKEN) for each in world.processes)
            world = set_caller(world._replace(processes=overtaken), who, caller._replace(lock=2))
            return self._injected(world._replace(lapses=world.lapses - 1))
        effect = self._effect(caller)
        if isinstance(effect, Exchange) and what != "cannot connect":
            spend = spent_by(effect)
            if spend is not None:
                world = world._replace(cobo=world.cobo.exposed(spend))
        world = world._replace(mishaps=world.mishaps - 1)
        world = set_caller(world, who, caller._replace(spare=caller.spare - 1))
        how = Injected.CANCELLED if what.startswith("cancelled") else Injected.WORSE
        world = self._injected(world, who, how)
        match what:
            case "cancelled" | "cancelled while saving":
                return self._cancelled(world, who, saving=what != "cancelled")
            case "cannot connect" | "lost on the way" | "answer lost":
                caller = world.callers[who]._replace(exchanged=True, killing=False)
                fault = _UNSENT if what == "cannot connect" else _LOST
                return self._resume(set_caller(world, who, caller), who, fault)
            case "saved, but store fails":
                assert isinstance(effect, Save)
                return self._resume(self._saved(world, effect) or world, who, error=_STORE)
            case "saved later, but store fails":
                assert isinstance(effect, Save)
                return self._resume(self._saved_later(world, effect), who, error=_STORE)
            case "locked, but store fails":
                if self._lock_is_free(world, caller):
                    world = self._locked_by_nobody(world, caller.process)
                return self._resume(world, who, error=_STORE)
            case _:
                return self._resume(world, who, error=_STORE)

    def _crashed(self, world: World, number: int) -> World:
        """Let a process die between two steps, and start again, knowing nothing."""
        cobo, world = world.cobo, self._injected(world, how=Injected.CANCELLED)
        gone = [each for each in world.callers if each.process == number]
        for caller in gone:
            if caller.phase is Phase.READY:
                effect = self._effect(caller)
                if isinstance(effect, Exchange) and effect.spend is not None:
                    spend = spent_by(effect)
                    assert spend is not None
                    cobo = cobo.exposed(spend)
        locked = any(each.lock == 1 for each in gone)
        # Nobody in the new process knows what the old one killed, but from the record.
        killed = tuple((token, -1 if by == number else by) for token, by in cobo.killed)
        world = world._replace(
            callers=tuple(each for each in world.callers if each.process != number),
            cobo=cobo._replace(killed=killed),
            crashes=world.crashes - 1,
            leaked=tuple(leak for leak in world.leaked if leak[1] != number),
        )
        if locked:
            world = self._locked_by_nobody(world, number)
        world = set_process(world, number, Process(self.players.account_knowing(None, world.now)))
        for actor in self.scenario.restarted:
            world = self._begin(world, replace(actor, process=number), 0)
        return world

    def _overdue(self, world: World, who: int) -> World:
        """Let the time pass after which somebody else may take the seat; all look again."""
        number = world.callers[who].process
        process = world.processes[number]._replace(overdue=True, doubt=Doubt.OVERTAKEN)
        world = set_process(self._injected(world), number, process)
        for i, caller in enumerate(world.callers):
            if caller.process == number and self._at_gate(caller, Phase.WAITING):
                world = set_caller(world, i, caller._replace(phase=Phase.WOKEN))
        return world._replace(overdue=world.overdue - 1)

    def _cancelled(self, world: World, who: int, *, saving: bool) -> World:
        caller = world.callers[who]
        process = world.processes[caller.process]
        closed = Given(closed=True)
        _, account = self.players.resume(caller.local, process.account, world.now, "", closed)
        if account != process.account:
            message = f"{self._actor(caller).name} does something after it was cancelled"
            raise Broken(message)
        if caller.renewal:
            world = self._renewal_ended(world, who, None)
        if saving:
            caller = caller._replace(phase=Phase.SAVING)
        return self._close(set_caller(world, who, caller), who)

    def _injected(
        self, world: World, who: int | None = None, how: Injected = Injected.WORSE
    ) -> World:
        """Note that something was done; and what that may mean for writes."""
        world = world._replace(injected=max(world.injected, how))
        if who is None:
            return world
        caller = world.callers[who]
        process = world.processes[caller.process]
        effect = self._effect(caller)
        doubt = process.doubt
        if doubt is Doubt.NONE and caller.killing:
            doubt = Doubt.LOST
            ineffective = (
                how is Injected.WORSE and isinstance(effect, Exchange) and not effect.spend
            )
        else:
            ineffective = bool(caller.seat) or isinstance(effect, (Enter, Delegate))
        if doubt is Doubt.LOST and ineffective:
            doubt = Doubt.EXCUSED
        return set_process(world, caller.process, process._replace(doubt=doubt))
