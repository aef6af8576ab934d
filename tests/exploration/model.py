"""A model of Cobo, store and gates that performs the effects of real flows, move by move.

A *move* is the smallest thing after which somebody else may come first: one effect performed
and its flow resumed. Requests take two, the arrival at Cobo and the return of the answer;
waiting takes one to begin and one after being woken. Further moves cancel a caller, make
something of it fail, let its waiting time out, let time pass, or revoke the token.

While it moves, the model checks what must hold; ``Broken`` says what does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.records import PendingExchange, Record
from httpx_cobo_auth._protocol.tokens import Token
from tests.exploration.alone import Alone
from tests.exploration.desk import set_process
from tests.exploration.freezing import OWNER
from tests.exploration.players import Broken
from tests.exploration.world import (
    GO,
    LIFETIME_S,
    Cobo,
    Injected,
    Move,
    Phase,
    Process,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["GO", "Model", "Move"]

NOON = 1_800_000_000.0


class Model(Alone):
    """The moves that are possible in a world, and where they lead."""

    # -------------------------------------------------------------------------- the beginning
    def start(self) -> World:
        """Return the world in which the scenario begins."""
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
            pending = PendingExchange(f"{OWNER}gone", NOON) if scenario.noted else None
            record = Record(1, token, pending)
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
            scenario.crashes,
        )
        for number in scenario.anew:
            nothing = Process(self.players.account_knowing(None, NOON))
            world = set_process(world, number, nothing)
        if scenario.noted:
            world = world._replace(cobo=world.cobo.exposed(1))
        for actor in scenario.actors:
            world = self._begin(world, actor, scenario.spare)
        return world

    # ----------------------------------------------------------------------- possible moves
    def moves(self, world: World) -> Iterator[Move]:  # noqa: C901 - a list of them
        """Return every move; those by which callers go on by themselves come first.

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
            if world.crashes:
                for number in sorted({caller.process for caller in callers}):
                    yield Move(-1 - number, "crash")
        if world.late is not None:
            yield Move(-1, "what came late is saved")

    # ------------------------------------------------------------------------------ a move
    def apply(self, world: World, move: Move) -> World:
        """Return the world after a move.

        Raises:
            Broken: something that must hold does not.

        """
        who, what = move
        if what == GO:
            world = self._go(world, who)
        elif what == "crash":
            world = self._crashed(world, -1 - who)
        elif what == "what came late is saved":
            world = self._late_comes(world)
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
            return f"process {-1 - move.who}: crash" if move.what == "crash" else move.what
        caller = world.callers[move.who]
        if caller.phase in (Phase.CLOSED, Phase.SAVING):
            return f"a cancelled one: {caller.phase.name}"
        effect = type(self._effect(caller)).__name__
        what = "" if move.what == GO else f" is {move.what}"
        actor = self.players.locals[caller.local].actor
        name = actor.name if actor.process == 0 else f"{actor.name} of process {actor.process}"
        return f"{name}: {effect} {caller.phase.name}{what}"

    # ------------------------------------------------------------------------------- the end
    def check_end(self, world: World) -> None:
        """Check what must hold once all callers are gone.

        Raises:
            Broken: it does not.

        """
        end = world._replace(
            mishaps=0, waits=0, jumps=0, overdue=0, lapses=0, revocations=0, crashes=0
        )
        if end in self._good_ends:
            return
        if world.injected is Injected.NOTHING:
            self._check_spacing(world)
        for state in world.processes:
            if state.door_closed or state.overdue:
                message = "the gate is left closed"
                raise Broken(message)
        self.check_alone(end)
        self._good_ends[end] = None

    def _check_spacing(self, world: World) -> None:
        """Check that a renewal in vain counts once, however many it was in vain for."""
        for number, process in enumerate(world.processes):
            throttle = self.players.account(number, process.account, world.now).known.throttle
            in_vain = max((backoff.failures for _, backoff in throttle.ineffective), default=0)
            issued = world.cobo.issued - (self.scenario.left is not None)
            if in_vain > issued:
                message = f"{in_vain} renewals in vain, of {issued}"
                raise Broken(message)
