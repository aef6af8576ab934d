"""A model of Cobo, store and gates that performs the effects of real flows, move by move.

A *move* is the smallest thing after which somebody else may come first: one effect performed
and its flow resumed. Requests take two, the arrival at Cobo and the return of the answer;
waiting takes one to begin and one after being woken. Further moves cancel a caller, make
something of it fail, let its waiting time out, let time pass, or revoke the token.

While it moves, the model checks what must hold; ``Broken`` says what does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from httpx_cobo_auth.effects import (
    BeginWrite,
    Drain,
    EndWrite,
    Enter,
    Entry,
    Exchange,
    ExchangeAnswer,
    ExchangeFault,
    Leave,
    Load,
    LockStore,
    Outlives,
    Save,
    Send,
    UnlockStore,
)
from httpx_cobo_auth.errors import (
    CoboAuthError,
    RenewalTimeoutError,
    StoreConflictError,
    StoreUnavailableError,
    TokenEndpointError,
)
from httpx_cobo_auth.records import Note, Record
from httpx_cobo_auth.tokens import Token
from tests.exploration.freezing import OWNER, Numbered, frozen
from tests.exploration.players import Actor, Broken, Given, Players
from tests.exploration.turnstile import GateState, Turnstile
from tests.exploration.world import (
    ACCEPTED,
    FAILED,
    LIFETIME_S,
    Caller,
    Cobo,
    Doubt,
    Injected,
    Phase,
    Process,
    Scenario,
    World,
    number_of,
    reply,
    request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx_cobo_auth.effects import Effect
    from httpx_cobo_auth.records import Version

__all__ = ["GO", "LATER_S", "NOON", "Model", "Move"]

NOON = 1_800_000_000.0
LATER_S = 700.0
GO = "go"

_REFUSED = ExchangeAnswer(400, b'{"error": "invalid_grant", "error_description": "no"}')
_ENDPOINT = TokenEndpointError("the token endpoint could not be reached")
_UNSENT = ExchangeFault(_ENDPOINT, unsent=True)
_LOST = ExchangeFault(_ENDPOINT, unsent=False)
_STORE = StoreUnavailableError("the token store failed")
_CONFLICT = StoreConflictError("the record moved on since it was read")
_WAITED = RenewalTimeoutError("waited in vain for a renewal to end before sending a write")

_FAULTS: dict[type[Any], tuple[str, ...]] = {
    Exchange: ("cannot connect", "lost on the way"),
    Load: ("store fails",),
    LockStore: ("store fails",),
    Save: ("store fails", "saved, but store fails", "cancelled while saving"),
}


class Move(NamedTuple):
    """One thing that can happen.

    Attributes:
        who: the caller's place; -1 for nobody.
        what: ``GO``, or what is done to it.

    """

    who: int
    what: str


class Model:
    """The moves that are possible in a world, and where they lead."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._turnstile = Turnstile()
        processes = 1 + max(actor.process for actor in scenario.actors)
        self.players = Players(processes, shared=scenario.shared)
        self._records = Numbered[Record | None]()
        self._answers = Numbered[Any]()
        self._errors = Numbered[CoboAuthError | None]()
        self._number_error(None)
        self.outcome: object = None
        self.alone: list[str] = []
        self._good_ends: dict[object, None] = {}

    # -------------------------------------------------------------------------- the beginning
    def start(self) -> World:
        """Give the world in which the scenario begins."""
        scenario = self.scenario
        record = None
        if scenario.left is not None:
            expires_at = NOON + scenario.left
            token = Token(
                access_token="a1",
                refresh_token="r1",
                expires_at=expires_at,
                obtained_at=expires_at - LIFETIME_S,
            )
            note = Note(f"{OWNER}gone", NOON) if scenario.noted else None
            record = Record(1, token, note)
        held = None if record is None or scenario.stored or scenario.noted else record
        account = self.players.account_knowing(held, NOON)
        processes = 1 + max(actor.process for actor in scenario.actors)
        world = World(
            (),
            (Process(account),) * processes,
            self._number_record(record),
            Cobo() if record is None else Cobo(int(not scenario.revoked), 1, 1),
            NOON,
            scenario.mishaps,
            scenario.waits,
            int(scenario.jump > 0.0),
            scenario.overdue,
            scenario.lapses,
            scenario.revocations,
        )
        if scenario.noted:
            world = world._replace(cobo=world.cobo.exposed(1))
        for actor in scenario.actors:
            world = self._begin(world, actor, scenario.spare)
        return world

    def _begin(self, world: World, actor: Actor, spare: int) -> World:
        process = world.processes[actor.process]
        local, account = self.players.begin(actor, process.account, world.now)
        world = _set_process(world, actor.process, process._replace(account=account))
        callers = (*world.callers, Caller(actor.process, local, spare=spare))
        return self._settled(world._replace(callers=callers))

    # ----------------------------------------------------------------------- possible moves
    def moves(self, world: World) -> Iterator[Move]:
        """Give every move; those by which callers go on by themselves come first.

        Raises:
            Broken: nobody can go on.

        """
        callers = world.callers
        # Of two callers in the same state, it does not matter which one moves.
        who = [i for i, caller in enumerate(callers) if not i or caller != callers[i - 1]]
        ready = [i for i in who if self._can_go(world, callers[i])]
        if callers and not ready:
            message = "nobody can go on"
            raise Broken(message)
        for i in ready:
            yield Move(i, GO)
        for i in who:
            for what in self._mishaps(world, callers[i], able=i in ready):
                yield Move(i, what)
        if callers:
            if world.jumps:
                yield Move(-1, "time passes")
            if world.revocations and world.cobo.live:
                yield Move(-1, "Cobo revokes the token")

    def _can_go(self, world: World, caller: Caller) -> bool:
        if caller.phase is not Phase.READY:
            return caller.phase is not Phase.WAITING
        effect = self._effect(caller)
        waits = isinstance(effect, LockStore) and effect.timeout > 0
        return not waits or self._lock_is_free(world)

    def _mishaps(self, world: World, caller: Caller, *, able: bool) -> Iterator[str]:
        if caller.phase in (Phase.CLOSED, Phase.SAVING):
            return
        if not able and world.waits:
            yield "times out"
        if caller.seat == 1 and world.overdue:
            yield "overdue"
        if caller.lock == 1 and world.lapses:
            yield "lock lapses"
        if caller.spare and world.mishaps:
            yield "cancelled"
            effect = self._effect(caller)
            if caller.phase is Phase.READY:
                yield from _FAULTS.get(type(effect), ())
            elif isinstance(effect, Exchange):
                yield "answer lost"

    # ------------------------------------------------------------------------------ a move
    def apply(self, world: World, move: Move) -> World:
        """Give the world after a move.

        Raises:
            Broken: something that must hold does not.

        """
        who, what = move
        if what == GO:
            world = self._go(world, who)
        elif who < 0:
            world = self._injected(world)
            if what == "time passes":
                world = world._replace(now=world.now + self.scenario.jump, jumps=0)
            else:
                cobo = world.cobo._replace(live=0)
                world = world._replace(cobo=cobo, revocations=world.revocations - 1)
        else:
            world = self._mishap(world, who, what)
        return self._settled(world)

    def describe(self, world: World, move: Move) -> str:
        """Say in words what a move does."""
        if move.who < 0:
            return move.what
        caller = world.callers[move.who]
        if caller.phase in (Phase.CLOSED, Phase.SAVING):
            return f"a cancelled one: {caller.phase.name}"
        effect = type(self._effect(caller)).__name__
        what = "" if move.what == GO else f" is {move.what}"
        actor = self.players.locals[caller.local].actor
        name = actor.name if actor.process == 0 else f"{actor.name} of process {actor.process}"
        return f"{name}: {effect} {caller.phase.name}{what}"

    def _settled(self, world: World) -> World:
        """Put what is equal into the same form."""
        awaited = {caller.process for caller in world.callers if caller.ended}
        for number, process in enumerate(world.processes):
            if process.error and number not in awaited:
                world = _set_process(world, number, process._replace(error=0))
        return world._replace(callers=tuple(sorted(world.callers)))

    def _effect(self, caller: Caller) -> Effect:
        effect = self.players.locals[caller.local].effect
        assert effect is not None
        return effect

    def _resume(self, world: World, who: int, value: Any = None, **given: Any) -> World:
        caller = world.callers[who]
        process = world.processes[caller.process]
        number, account = self.players.resume(
            caller.local,
            process.account,
            world.now,
            self._unused_owner(world),
            Given(value, **given),
        )
        world = _set_process(world, caller.process, process._replace(account=account))
        caller = caller._replace(local=number, phase=Phase.READY, ended=False, answer=0)
        world = _set_caller(world, who, caller)
        local = self.players.locals[number]
        if local.effect is None:
            return self._ended(world, who, local.actor, local.outcome)
        if caller.barred and isinstance(local.effect, Send):
            message = f"{local.actor.name} is replayed, though it may have run"
            raise Broken(message)
        return world

    def _unused_owner(self, world: World) -> str:
        used = self._owners_of_record(world)
        used = used.union(*(self.players.locals[each.local].owners for each in world.callers))
        used = used.union(*(self.players.accounts[each.account].owners for each in world.processes))
        number = 0
        while f"{OWNER}{number}" in used:
            number += 1
        return f"{OWNER}{number}"

    def _owners_of_record(self, world: World) -> frozenset[str]:
        record = self._records[world.record]
        return frozenset({record.note.owner}) if record and record.note else frozenset()

    def _ended(
        self, world: World, who: int, actor: Actor, error: CoboAuthError | None
    ) -> World:
        caller = world.callers[who]
        self.outcome = type(error).__name__ if error else caller.status or None
        if error is None:
            if caller.exchanged and caller.status:
                message = f"{actor.name} is given the token endpoint's answer"
                raise Broken(message)
            if caller.seat or caller.write or caller.lock:
                message = f"{actor.name} ends with something held"
                raise Broken(message)
        if world.injected is Injected.NOTHING:
            if self.outcome not in actor.good:
                message = f"nothing went wrong, and {actor.name} ends with {self.outcome}"
                raise Broken(message)
            if world.cobo.issued - (self.scenario.left is not None) > self.scenario.exchanges:
                message = f"nothing went wrong, and {world.cobo.issued} tokens were issued"
                raise Broken(message)
        return self._close(world, who)

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
            return _set_caller(world, who, gone._replace(lock=1))
        return world._replace(callers=world.callers[:who] + world.callers[who + 1 :])

    # ------------------------------------------------------------------- going on by oneself
    def _go(self, world: World, who: int) -> World:  # noqa: C901, PLR0911 - one line for each effect
        caller = world.callers[who]
        if caller.phase is Phase.CLOSED:
            return self._close(_set_caller(world, who, caller._replace(lock=0)), who)
        effect = self._effect(caller)
        if caller.phase is Phase.SAVING:
            assert isinstance(effect, Save)
            world = self._saved(world, effect) or world
            return self._close(_set_caller(world, who, caller._replace(lock=0)), who)
        match effect:
            case Send():
                return self._send(world, who, effect)
            case Exchange():
                return self._exchange(world, who, effect)
            case Enter():
                return self._enter(world, who, effect)
            case Leave():
                return self._leave(world, who, effect)
            case BeginWrite():
                world, begun = self._pass(world, who, "begin write")
                return self._resume(world, who) if begun else world
            case EndWrite():
                return self._resume(self._pass(world, who, "end write")[0], who)
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
            case UnlockStore():
                return self._resume(_set_caller(world, who, caller._replace(lock=0)), who)
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
                    return _set_caller(world, who, caller)
            barred = answer is FAILED and self._actor(caller).write
            caller = world.callers[who]._replace(
                barred=barred, exchanged=False, status=answer.status
            )
            return self._resume(_set_caller(world, who, caller), who, answer)
        actor = self._actor(caller)
        assert effect.held is not None
        token = number_of(effect.held.token.access_token)
        if token != world.cobo.live or not self.scenario.accepts:
            answer = self.scenario.refusal
            own = (token, caller.process) in world.cobo.killed
            excused = caller.excused or world.processes[caller.process].doubt >= Doubt.EXCUSED
            if actor.write and own and not excused:
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
        return _set_caller(world, who, caller)

    def _exchange(self, world: World, who: int, effect: Exchange) -> World:
        caller = world.callers[who]
        if caller.phase is not Phase.READY:
            answer = self._answers[caller.answer]
            process = world.processes[caller.process]
            if answer is not _REFUSED and process.doubt is not Doubt.OVERTAKEN:
                process = process._replace(doubt=Doubt.NONE)
                world = _set_process(world, caller.process, process)
            caller = caller._replace(exchanged=True, killing=False)
            return self._resume(_set_caller(world, who, caller), who, answer)
        spend = _spent_by(effect)
        refuses = self.scenario.refuses or (spend is not None and not self.scenario.grants)
        before = world.cobo
        cobo = before.exchanged(spend, caller.process, refuses=refuses)
        granted = cobo.live != before.live
        answer = reply(cobo.live) if granted else _REFUSED
        killing = granted and before.live > 0
        if killing and caller.undrained:
            world = self._excuse(world, caller.process, before.live)
        number = self._answers.number(answer, answer)
        caller = world.callers[who]._replace(
            phase=Phase.ARRIVED, answer=number, killing=killing
        )
        return _set_caller(world._replace(cobo=cobo), who, caller)

    def _excuse(self, world: World, process: int, token: int) -> World:
        """Excuse the writes that were not waited for: they are on their way with that token."""
        for who, caller in enumerate(world.callers):
            if caller.process == process and caller.write and caller.phase is Phase.READY:
                effect = self._effect(caller)
                if isinstance(effect, Send) and effect.held is not None:
                    excused = number_of(effect.held.token.access_token) == token
                    world = _set_caller(world, who, caller._replace(excused=excused))
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
                return _set_caller(world, who, caller._replace(phase=Phase.UNLOCKED))
            world = _set_caller(world, who, caller)
        world = self._pass(world, who, "leave", self._number_error(effect.error))[0]
        caller = world.callers[who]._replace(undrained=False)
        return self._resume(_set_caller(world, who, caller), who)

    def _lock(self, world: World, who: int) -> World:
        free = self._lock_is_free(world)
        if free:
            world = _set_caller(world, who, world.callers[who]._replace(lock=1))
        return self._resume(world, who, free)

    # ---------------------------------------------------------------------------- what fails
    def _mishap(self, world: World, who: int, what: str) -> World:  # noqa: PLR0911 - one for each
        caller = world.callers[who]
        if what == "times out":
            return self._timed_out(self._injected(world, who), who)
        if what == "overdue":
            return self._overdue(world, who)
        if what == "lock lapses":
            world = _set_caller(world, who, caller._replace(lock=2))
            return self._injected(world._replace(lapses=world.lapses - 1))
        effect = self._effect(caller)
        if isinstance(effect, Exchange) and what != "cannot connect":
            spend = _spent_by(effect)
            if spend is not None:
                world = world._replace(cobo=world.cobo.exposed(spend))
        world = world._replace(mishaps=world.mishaps - 1)
        world = _set_caller(world, who, caller._replace(spare=caller.spare - 1))
        how = Injected.CANCELLED if what.startswith("cancelled") else Injected.WORSE
        world = self._injected(world, who, how)
        match what:
            case "cancelled" | "cancelled while saving":
                return self._cancelled(world, who, saving=what != "cancelled")
            case "cannot connect" | "lost on the way" | "answer lost":
                caller = world.callers[who]._replace(exchanged=True, killing=False)
                fault = _UNSENT if what == "cannot connect" else _LOST
                return self._resume(_set_caller(world, who, caller), who, fault)
            case "saved, but store fails":
                assert isinstance(effect, Save)
                return self._resume(self._saved(world, effect) or world, who, error=_STORE)
            case _:
                return self._resume(world, who, error=_STORE)

    def _timed_out(self, world: World, who: int) -> World:
        world = world._replace(waits=world.waits - 1)
        caller = world.callers[who]
        match self._effect(caller):
            case Enter():
                return self._resume(world, who, Entry())
            case BeginWrite():
                return self._resume(world, who, error=_WAITED)
            case Drain():
                caller = caller._replace(undrained=True)
                return self._resume(_set_caller(world, who, caller), who, value=False)
            case _:
                return self._resume(world, who, value=False)

    def _overdue(self, world: World, who: int) -> World:
        """Let the time pass after which somebody else may take the seat; all look again."""
        number = world.callers[who].process
        process = world.processes[number]._replace(overdue=True, doubt=Doubt.OVERTAKEN)
        world = _set_process(self._injected(world), number, process)
        for i, caller in enumerate(world.callers):
            if caller.process == number and caller.phase is Phase.WAITING:
                world = _set_caller(world, i, caller._replace(phase=Phase.WOKEN))
        return world._replace(overdue=world.overdue - 1)

    def _cancelled(self, world: World, who: int, *, saving: bool) -> World:
        caller = world.callers[who]
        process = world.processes[caller.process]
        closed = Given(closed=True)
        _, account = self.players.resume(caller.local, process.account, world.now, "", closed)
        if account != process.account:
            message = f"{self._actor(caller).name} does something after it was cancelled"
            raise Broken(message)
        if saving:
            caller = caller._replace(phase=Phase.SAVING)
        return self._close(_set_caller(world, who, caller), who)

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
            in_vain = how is Injected.WORSE and isinstance(effect, Exchange) and not effect.spend
        else:
            in_vain = bool(caller.seat) or isinstance(effect, Enter)
        if doubt is Doubt.LOST and in_vain:
            doubt = Doubt.EXCUSED
        return _set_process(world, caller.process, process._replace(doubt=doubt))

    # ----------------------------------------------------------------- gates, store, numbers
    def _pass(self, world: World, who: int, what: str, error: int = 0) -> tuple[World, bool]:
        """Ask the real gate; give the world with whoever was let in, or woken."""
        number = world.callers[who].process
        process = world.processes[number]
        mine = [(i, each) for i, each in enumerate(world.callers) if each.process == number]
        before = GateState(
            next((i for i, each in mine if each.seat == 1), -1),
            tuple(i for i, each in mine if each.write),
            tuple(i for i, each in mine if each.phase is Phase.WAITING),
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
            elif phase is Phase.WAITING:
                phase = Phase.WOKEN
            at_gate = phase in (Phase.WAITING, Phase.WOKEN)
            awaits = ended and at_gate and isinstance(self._effect(old), Enter)
            new = old._replace(
                seat=seat, write=i in after.writes, phase=phase, ended=old.ended or awaits
            )
            if new != old:
                world = _set_caller(world, i, new)
        process = process._replace(
            door_closed=after.door_closed,
            overdue=after.overdue,
            error=error if ended else process.error,
        )
        return _set_process(world, number, process), granted

    def _lock_is_free(self, world: World) -> bool:
        return all(caller.lock != 1 for caller in world.callers)

    def _saved(self, world: World, effect: Save) -> World | None:
        """Save if the stored version is the expected one."""
        stored = self._records[world.record]
        version: Version = stored.version if stored else (0, None)
        if version != effect.expected:
            return None
        return world._replace(record=self._number_record(effect.record))

    def _number_record(self, record: Record | None) -> int:
        return self._records.number(record, record)

    def _number_error(self, error: CoboAuthError | None) -> int:
        return self._errors.number(frozen(error), error)

    def _actor(self, caller: Caller) -> Actor:
        return self.players.locals[caller.local].actor

    # ------------------------------------------------------------------------------- the end
    def check_end(self, world: World) -> None:
        """Check what must hold once all callers are gone.

        Raises:
            Broken: it does not.

        """
        end = world._replace(mishaps=0, waits=0, jumps=0, overdue=0, lapses=0, revocations=0)
        if end in self._good_ends:
            return
        if world.injected is Injected.NOTHING:
            self._check_spacing(world)
        for process, state in enumerate(world.processes):
            if state.door_closed or state.overdue:
                message = "the gate is left closed"
                raise Broken(message)
            for seconds in (0.0, LATER_S):
                self._check_alone(end._replace(now=end.now + seconds), process, late=seconds > 0)
        self._good_ends[end] = None

    def _check_alone(self, world: World, process: int, *, late: bool) -> None:
        """Check that a read, and then a write, gets through when nobody else is there."""
        strict = late or world.injected < Injected.WORSE
        self.alone = []
        world = world._replace(injected=Injected.WORSE)
        for actor in (request(process=process), request(write=True, process=process)):
            world = self._begin(world, actor, 0)
            moves = 0
            while world.callers:
                moves += 1
                if moves > 1000:
                    message = "a caller who is alone comes to no end"
                    raise Broken(message)
                (move,) = self.moves(world)
                self.alone.append(self.describe(world, move))
                world = self.apply(world, move)
            good = actor.good
            if self.scenario.refuses or not self.scenario.accepts:
                good = frozenset({"TokenRefusedError", self.scenario.refusal.status})
            if strict and self.outcome not in good and not self._held_off(world, process):
                when = f"{LATER_S:.0f} s later" if late else "right afterwards"
                message = f"{actor.name}, alone and {when}, ends with {self.outcome}"
                raise Broken(message)


    def _check_spacing(self, world: World) -> None:
        """Check that a renewal in vain counts once, however many it was in vain for."""
        for number, process in enumerate(world.processes):
            spacing = self.players.account(number, process.account).spacing
            if spacing.vain_count > world.cobo.issued - (self.scenario.left is not None):
                message = f"{spacing.vain_count} renewals in vain, of {world.cobo.issued - 1}"
                raise Broken(message)

    def _held_off(self, world: World, number: int) -> bool:
        """Tell whether renewals were in vain, because another process killed what they got."""
        process = world.processes[number]
        account = self.players.account(number, process.account)
        held = account.held
        if held is None or account.forced_wait() <= 0.0:
            return False
        killers = dict(world.cobo.killed)
        return killers.get(number_of(held.token.access_token), number) != number


def _spent_by(effect: Exchange) -> int | None:
    if effect.spend is None:
        return None
    assert effect.spend.refresh_token is not None
    return number_of(effect.spend.refresh_token)


def _set_caller(world: World, who: int, caller: Caller) -> World:
    callers = world.callers
    return world._replace(callers=(*callers[:who], caller, *callers[who + 1 :]))


def _set_process(world: World, number: int, process: Process) -> World:
    processes = world.processes
    if processes[number] == process:
        return world
    return world._replace(processes=(*processes[:number], process, *processes[number + 1 :]))

