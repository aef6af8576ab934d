"""How callers go on by themselves: effect after effect, performed."""

from __future__ import annotations

from httpx_cobo_auth._protocol.effects import (
    BeginWrite,
    Confirm,
    Delegate,
    Drain,
    EndWrite,
    Enter,
    Entry,
    Exchange,
    ExchangeReply,
    Leave,
    Load,
    LockStore,
    Outlives,
    Save,
    Send,
    UnlockStore,
)
from httpx_cobo_auth.errors import RedirectedError, RenewalTimeoutError, StoreConflictError
from tests.exploration.delegating import Delegating
from tests.exploration.desk import set_caller, set_process, spent_by, token_of
from tests.exploration.players import Broken
from tests.exploration.world import ACCEPTED, FAILED, Caller, Doubt, Phase, World, reply

__all__ = ["Performing"]

_REFUSED = ExchangeReply(400, b'{"error": "invalid_grant", "error_description": "no"}')
_CONFLICT = StoreConflictError("the record moved on since it was read")
_REDIRECTED = RedirectedError("a redirect was followed")
_WAITED = RenewalTimeoutError("waited in vain for a renewal to end before sending a write")


class Performing(Delegating):
    """Moves that nobody else has a part in."""

    def _can_go(self, world: World, caller: Caller) -> bool:
        if caller.phase is not Phase.READY:
            # Nobody wakes who drains without the seat: that ends by itself.
            return caller.phase is not Phase.WAITING or caller.seat == 2
        effect = self._effect(caller)
        waits = isinstance(effect, LockStore) and effect.timeout > 0
        return not waits or self._lock_is_free(world, caller)

    def _go(self, world: World, who: int) -> World:  # noqa: C901, PLR0911, PLR0912 - one line for each effect
        caller = world.callers[who]
        if caller.phase is Phase.CLOSED:
            return self._close(set_caller(world, who, caller._replace(lock=0)), who)
        effect = self._effect(caller)
        if caller.phase is Phase.SAVING:
            assert isinstance(effect, Save)
            world = self._saved(world, effect) or world
            return self._close(set_caller(world, who, caller._replace(lock=0)), who)
        match effect:
            case Send():
                return self._send(world, who, effect)
            case Exchange():
                return self._exchange(world, who, effect)
            case Confirm():
                return self._resume(self._confirm(world, who), who)
            case Enter():
                return self._enter(world, who, effect)
            case Leave():
                return self._leave(world, who, effect)
            case BeginWrite():
                world, begun = self._pass(world, who, "begin write")
                return self._resume(world, who) if begun else world
            case EndWrite():
                return self._resume(self._pass(world, who, "end write")[0], who)
            case Drain() if caller.phase is Phase.WAITING:
                return self._timed_out(world, who)
            case Drain():
                world, drained = self._pass(world, who, "drain")
                return self._resume(world, who, value=True) if drained else world
            case Load():
                return self._resume(world, who, self._records[world.record])
            case Save():
                saved = self._saved(world, effect)
                if saved is None:
                    return self._resume(world, who, error=_CONFLICT)
                return self._resume(saved, who)
            case LockStore():
                return self._lock(world, who)
            case Delegate():
                return self._delegate(world, who, effect)
            case UnlockStore():
                return self._resume(set_caller(world, who, caller._replace(lock=0)), who)
            case Outlives():
                return self._resume(world, who, caller.lock == 1)
            case _:
                return self._resume(world, who)

    def _send(self, world: World, who: int, effect: Send) -> World:
        caller = world.callers[who]
        if caller.phase is not Phase.READY:
            answer = self._answers[caller.answer]
            if caller.write:
                world = self._pass(world, who, "end write")[0]
                if answer is not ACCEPTED:
                    # The body of a refusal is read before the flow goes on.
                    caller = world.callers[who]._replace(phase=Phase.HEADERS)
                    return set_caller(world, who, caller)
            barred = answer is FAILED and self._actor(caller).write
            caller = world.callers[who]._replace(
                barred=barred, exchanged=False, status=answer.status
            )
            return self._resume(set_caller(world, who, caller), who, answer)
        actor = self._actor(caller)
        token = token_of(effect)
        if actor.leaks:
            leaked = tuple(sorted({*world.leaked, (token, caller.process)}))
            return self._resume(world._replace(leaked=leaked), who, error=_REDIRECTED)
        if token != world.cobo.live or not self.scenario.accepts:
            answer = self.scenario.refusal
            own = (token, caller.process) in world.cobo.killed
            if actor.write and own and not caller.excused:
                message = f"{actor.name} meets a token that an exchange of its process has killed"
                raise Broken(message)
        else:
            answer = FAILED if actor.bad else ACCEPTED
            if actor.write and caller.executed:
                message = f"{actor.name} runs twice"
                raise Broken(message)
            caller = caller._replace(executed=actor.write)
        number = self._answers.number(answer, answer)
        caller = caller._replace(phase=Phase.ARRIVED, answer=number, excused=False)
        return set_caller(world, who, caller)

    def _exchange(self, world: World, who: int, effect: Exchange) -> World:
        caller = world.callers[who]
        if caller.phase is not Phase.READY:
            answer = self._answers[caller.answer]
            process = world.processes[caller.process]
            if answer is not _REFUSED and process.doubt is not Doubt.OVERTAKEN:
                process = process._replace(doubt=Doubt.NONE)
                world = set_process(world, caller.process, process)
            caller = caller._replace(exchanged=True, killing=False)
            return self._resume(set_caller(world, who, caller), who, answer)
        spend = spent_by(effect)
        refuses = self.scenario.refuses or (spend is not None and not self.scenario.grants)
        before = world.cobo
        cobo = before.exchanged(spend, caller.process, refuses=refuses)
        granted = cobo.live != before.live
        answer = reply(cobo.live) if granted else _REFUSED
        killing = granted and before.live > 0
        if killing and caller.undrained:
            world = self._excuse(world, caller.process, before.live)
        number = self._answers.number(answer, answer)
        caller = world.callers[who]._replace(phase=Phase.ARRIVED, answer=number, killing=killing)
        return set_caller(world._replace(cobo=cobo), who, caller)

    def _excuse(self, world: World, process: int, token: int) -> World:
        """Excuse the writes that were not waited for: they are on their way with that token."""
        for who, caller in enumerate(world.callers):
            if caller.process == process and caller.write and caller.phase is Phase.READY:
                effect = self._effect(caller)
                if isinstance(effect, Send) and token_of(effect) == token:
                    world = set_caller(world, who, caller._replace(excused=True))
        return world

    def _enter(self, world: World, who: int, effect: Enter) -> World:
        caller = world.callers[who]
        if caller.phase is Phase.WOKEN and caller.ended:
            error = self._errors[world.processes[caller.process].error]
            return self._resume(world, who, Entry(ended=True, error=error))
        world, entered = self._pass(world, who, "enter" if effect.timeout > 0 else "try to enter")
        if entered:
            return self._resume(world, who, Entry(entered=True))
        return world if effect.timeout > 0 else self._resume(world, who, Entry())

    def _leave(self, world: World, who: int, effect: Leave) -> World:
        caller = world.callers[who]
        if caller.lock:
            caller = caller._replace(lock=0)
            if self.scenario.shared:
                return set_caller(world, who, caller._replace(phase=Phase.UNLOCKED))
            world = set_caller(world, who, caller)
        world = self._pass(world, who, "leave", self._number_error(effect.error))[0]
        caller = world.callers[who]._replace(undrained=False)
        return self._resume(set_caller(world, who, caller), who)

    def _lock(self, world: World, who: int) -> World:
        free = self._lock_is_free(world, world.callers[who])
        if free:
            world = self._locked(world, who)
        return self._resume(world, who, free)

    def _timed_out(self, world: World, who: int) -> World:
        caller = world.callers[who]
        match self._effect(caller):
            case Enter() | Delegate():
                caller = caller._replace(impatient=True)
                return self._resume(set_caller(world, who, caller), who, Entry())
            case BeginWrite():
                return self._resume(world, who, error=_WAITED)
            case Drain():
                caller = caller._replace(undrained=True)
                return self._resume(set_caller(world, who, caller), who, value=False)
            case _:
                return self._resume(world, who, value=False)
