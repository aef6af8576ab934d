"""The desk at which a model's callers stand: it resumes their flows, and keeps what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.effects import Delegate, Enter, Exchange, Send
from httpx_cobo_auth._protocol.records import Record
from httpx_cobo_auth.errors import CoboAuthError
from tests.exploration.freezing import OWNER, Numbered, frozen
from tests.exploration.players import Actor, Broken, Given, Players
from tests.exploration.turnstile import GateState, Turnstile
from tests.exploration.world import (
    Caller,
    Doubt,
    Injected,
    Phase,
    Process,
    World,
    number_of,
)

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.effects import Effect
    from tests.exploration.setting import Scenario

__all__ = ["Desk", "set_caller", "set_process", "spent_by", "token_of"]


class Desk:
    """What all moves are made of."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._turnstile = Turnstile()
        processes = 1 + max(actor.process for actor in scenario.actors)
        self.players = Players(processes, shared=scenario.shared)
        self._records = Numbered[Record | None]()
        self._answers = Numbered[Any]()
        self._errors = Numbered[CoboAuthError | None]()
        self._number_error(None)
        self._owners: dict[int, frozenset[str]] = {}
        self.outcome: object = None
        self.alone: list[str] = []
        self._good_ends: dict[object, None] = {}

    def _begin(self, world: World, actor: Actor, spare: int) -> World:
        process = world.processes[actor.process]
        local, account = self.players.begin(actor, process.account, world.now)
        world = set_process(world, actor.process, process._replace(account=account))
        callers = (*world.callers, Caller(actor.process, local, spare=spare))
        return self._settled(world._replace(callers=callers))

    def _settled(self, world: World) -> World:
        """Put what is equal into the same form."""
        awaited = {caller.process for caller in world.callers if caller.ended}
        for number, process in enumerate(world.processes):
            if process.error and number not in awaited:
                world = set_process(world, number, process._replace(error=0))
        callers = tuple(sorted(world.callers))
        return world if callers == world.callers else world._replace(callers=callers)

    def _effect(self, caller: Caller) -> Effect[Any]:
        effect = self.players.locals[caller.local].effect
        assert effect is not None
        return effect

    def _resume(
        self,
        world: World,
        who: int,
        value: object = None,
        error: CoboAuthError | None = None,
    ) -> World:
        """Return a flow what it asked for, and have it go on to what it asks for next."""
        caller = world.callers[who]
        process = world.processes[caller.process]
        number, account = self.players.resume(
            caller.local,
            process.account,
            world.now,
            self._unused_owner(world),
            Given(value, error),
        )
        world = set_process(world, caller.process, process._replace(account=account))
        excused = caller.impatient or process.doubt >= Doubt.EXCUSED or self._spaced(world, caller)
        caller = caller._replace(
            local=number,
            phase=Phase.READY,
            ended=False,
            error=0,
            mine=False,
            excused=excused,
            answer=0,
        )
        world = set_caller(world, who, caller)
        local = self.players.locals[number]
        if local.effect is None:
            return self._ended(world, who, local.actor, local.outcome)
        if isinstance(local.effect, Send) and not local.effect.sent:
            self._check_sending(world, caller, local.effect)
        return world

    def _check_sending(self, world: World, caller: Caller, effect: Send) -> None:
        name = self._actor(caller).name
        if caller.barred:
            message = f"{name} is replayed, though it may have run"
            raise Broken(message)
        leaked = (token_of(effect), caller.process) in world.leaked
        if leaked and world.injected is Injected.NOTHING:
            message = f"{name} is about to use a token that others know"
            raise Broken(message)

    def _spaced(self, world: World, caller: Caller) -> bool:
        """Whether a token in doubt is used because the next attempt has to wait."""
        process = world.processes[caller.process]
        if process.doubt is Doubt.NONE or self.scenario.strict_doubt:
            return False
        account = self.players.account(caller.process, process.account, world.now)
        return not account.attempt_allowed()

    def _unused_owner(self, world: World) -> str:
        used = self._owners_of_record(world)
        used = used.union(*(self.players.locals[each.local].owners for each in world.callers))
        used = used.union(*(self.players.accounts[each.account].owners for each in world.processes))
        number = 0
        while f"{OWNER}{number}" in used:
            number += 1
        return f"{OWNER}{number}"

    def _owners_of_record(self, world: World) -> frozenset[str]:
        """Return the names in the store, and in what may yet come there."""
        numbers = (world.record, world.late[0]) if world.late else (world.record,)
        owners = frozenset[str]()
        for number in numbers:
            known = self._owners.get(number)
            if known is None:
                found: set[str] = set()
                frozen(self._records[number], found)
                known = self._owners[number] = frozenset(found)
            owners |= known
        if world.late:
            revision = world.late[1][1]
            owners |= {revision} if revision else frozenset()
        return owners

    def _ended(self, world: World, who: int, actor: Actor, error: CoboAuthError | None) -> World:
        caller = world.callers[who]
        outcome = type(error).__name__ if error else caller.status or None
        if caller.renewal:
            world = self._renewal_ended(world, who, error)
        else:
            self.outcome = outcome
        if error is None:
            if actor.sends and (caller.exchanged or not caller.status):
                message = f"{actor.name} is given the token endpoint's answer"
                raise Broken(message)
            if caller.seat or caller.write or caller.lock:
                message = f"{actor.name} ends with something held"
                raise Broken(message)
        if world.injected is Injected.NOTHING:
            if outcome not in actor.good:
                message = f"nothing went wrong, and {actor.name} ends with {outcome}"
                raise Broken(message)
            if world.cobo.issued - (self.scenario.left is not None) > self.scenario.exchanges:
                message = f"nothing went wrong, and {world.cobo.issued} tokens were issued"
                raise Broken(message)
        return self._close(world, who)

    def _renewal_ended(self, world: World, who: int, error: CoboAuthError | None) -> World:
        """Tell all who wait for a renewal that ran on its own what it has ended with."""
        number = self._number_error(error)
        for i, each in enumerate(world.callers):
            waits = each.phase in (Phase.WAITING, Phase.WOKEN)
            same = each.process == world.callers[who].process
            if same and waits and not each.ended and isinstance(self._effect(each), Delegate):
                told = each._replace(phase=Phase.WOKEN, ended=True, error=number)
                world = set_caller(world, i, told)
        return world

    def _close(self, world: World, who: int) -> World:
        """Give back what a flow held at its end, as its performer does."""
        if world.callers[who].write:
            world = self._pass(world, who, "end write")[0]
        if world.callers[who].seat:
            world = self._pass(world, who, "leave")[0]
        caller = world.callers[who]
        if caller.lock == 1:
            phase = Phase.CLOSED if caller.phase is not Phase.SAVING else caller.phase
            gone = Caller(caller.process, caller.local if phase is Phase.SAVING else 0, phase)
            return set_caller(world, who, gone._replace(lock=1))
        return world._replace(callers=world.callers[:who] + world.callers[who + 1 :])

    # ----------------------------------------------------------------- gates, store, numbers
    def _pass(self, world: World, who: int, what: str, error: int = 0) -> tuple[World, bool]:
        """Ask the real gate; give the world with whoever was let in, or woken."""
        number = world.callers[who].process
        process = world.processes[number]
        mine = [(i, each) for i, each in enumerate(world.callers) if each.process == number]
        before = GateState(
            next((i for i, each in mine if each.seat == 1), -1),
            tuple(i for i, each in mine if each.write),
            tuple(i for i, each in mine if self._at_gate(each, Phase.WAITING)),
            process.door_closed,
            process.overdue,
        )
        after, granted, ended = self._turnstile.ask(before, what, who)
        for i, old in mine:
            seat, phase = old.seat, old.phase
            if i == after.seat:
                seat = 1
            elif seat:
                # Given back; or taken over by somebody else.
                seat = 0 if i == who and what == "leave" else 2
            if i in after.waiting:
                phase = Phase.WAITING
            elif self._at_gate(old, Phase.WAITING):
                phase = Phase.WOKEN
            at_gate = phase in (Phase.WAITING, Phase.WOKEN)
            awaits = ended and at_gate and isinstance(self._effect(old), Enter)
            new = old._replace(
                seat=seat, write=i in after.writes, phase=phase, ended=old.ended or awaits
            )
            if new != old:
                world = set_caller(world, i, new)
        process = process._replace(
            door_closed=after.door_closed,
            overdue=after.overdue,
            error=error if ended else process.error,
        )
        return set_process(world, number, process), granted

    def _at_gate(self, caller: Caller, phase: Phase) -> bool:
        """Whether somebody waits for a permit, and not for a renewal that runs on its own."""
        return caller.phase is phase and not isinstance(self._effect(caller), Delegate)

    def _number_record(self, record: Record | None) -> int:
        return self._records.number(record, record)

    def _number_error(self, error: CoboAuthError | None) -> int:
        return self._errors.number(frozen(error), error)

    def _actor(self, caller: Caller) -> Actor:
        return self.players.locals[caller.local].actor


def token_of(effect: Send) -> int:
    assert effect.held is not None
    return number_of(effect.held.token.access_token)


def spent_by(effect: Exchange) -> int | None:
    if effect.spend is None:
        return None
    assert effect.spend.refresh_token is not None
    return number_of(effect.spend.refresh_token)


def set_caller(world: World, who: int, caller: Caller) -> World:
    callers = world.callers
    return World((*callers[:who], caller, *callers[who + 1 :]), *world[1:])


def set_process(world: World, number: int, process: Process) -> World:
    processes = world.processes
    if processes[number] == process:
        return world
    return world._replace(processes=(*processes[:number], process, *processes[number + 1 :]))
