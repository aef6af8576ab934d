"""What somebody meets who comes when all others are gone: right afterwards, or much later.

And by an auth object made anew, as each run of a cron job is, which knows nothing but the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.exploration.mishaps import Mishaps
from tests.exploration.players import Broken
from tests.exploration.setting import request
from tests.exploration.world import Injected, Process, World, number_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.exploration.players import Actor
    from tests.exploration.world import Move

__all__ = ["Alone"]

LATER_S = 700.0
"""Longer than anything is spaced or held off."""
_MOST_MOVES = 1000


class Alone(Mishaps):
    """Checks how it goes on from the end of a run."""

    def moves(self, world: World) -> Iterator[Move]:
        """Return every move."""
        raise NotImplementedError

    def apply(self, world: World, move: Move) -> World:
        """Return the world after a move."""
        raise NotImplementedError

    def describe(self, world: World, move: Move) -> str:
        """Say in words what a move does."""
        raise NotImplementedError

    def check_alone(self, end: World) -> None:
        """Check that requests get through, whichever process they come from, now and later.

        Raises:
            Broken: they do not.

        """
        strict = end.injected < Injected.WORSE
        later = end._replace(now=end.now + LATER_S)
        for process in range(len(end.processes)):
            self._check(end, process, "right afterwards", (False, True), strict=strict)
            self._check(later, process, "later", (False, True))
            # Writes only: one may be refused with a token that died unnoticed, but not the next.
            # Another process may have killed it: who holds a FRESH token does not ask the store.
            dead = not strict or self.scenario.shared or end.processes[process].doubt
            bounces = self._dies or bool(dead)
            self._check(later, process, "later", (True, True, True), bounces=bounces)
        nothing = self.players.account_knowing(None, end.now)
        anew = end._replace(
            processes=(Process(nothing),) * len(end.processes),
            # Whoever killed a token knew of it; this one knows what the record says.
            cobo=end.cobo._replace(killed=()),
        )
        later = anew._replace(now=end.now + LATER_S)
        self._check(anew, 0, "anew", (True, True), strict=False)
        self._check(later, 0, "anew, later", (True, True, True), bounces=self._dies or not strict)

    @property
    def _dies(self) -> bool:
        """Whether the token dies by itself, so that a write may meet a dead one."""
        scenario = self.scenario
        return scenario.revoked or scenario.revocations > 0 or not scenario.accepts

    def _check(
        self,
        world: World,
        process: int,
        when: str,
        writes: tuple[bool, ...],
        *,
        strict: bool = True,
        bounces: bool = False,
    ) -> None:
        anew, nothing = when.startswith("anew"), world.processes[process].account
        self.alone = []
        world = world._replace(injected=Injected.WORSE)
        own = any(actor.delegates for actor in self.scenario.actors)
        for number, write in enumerate(writes):
            actor = request(write=write, process=process, delegates=own)
            if anew and number:
                processes = list(world.processes)
                processes[process] = Process(nothing)
                world = world._replace(processes=tuple(processes))
            world = self._run(world, actor)
            good: frozenset[object] = actor.good
            if bounces and not number:
                good |= {self.scenario.refusal.status}
            if self.scenario.refuses or not self.scenario.accepts:
                good = frozenset({"TokenRefusedError", self.scenario.refusal.status})
            if strict and self.outcome not in good and not self._held_off(world, process):
                message = f"{actor.name}, alone and {when}, ends with {self.outcome}"
                raise Broken(message)

    def _run(self, world: World, actor: Actor) -> World:
        """Have somebody do something to the end."""
        world = self._begin(world, actor, 0)
        moves = 0
        while world.callers:
            moves += 1
            if moves > _MOST_MOVES:
                message = "a caller who is alone comes to no end"
                raise Broken(message)
            move = next(iter(self.moves(world)))
            self.alone.append(self.describe(world, move))
            world = self.apply(world, move)
        return world

    def _held_off(self, world: World, number: int) -> bool:
        """Whether renewals were in vain, because another process killed what they got."""
        process = world.processes[number]
        account = self.players.account(number, process.account, world.now)
        held = account.known.held
        kinds = [kind for kind, _ in account.known.throttle.ineffective] or [""]
        if held is None or not any(account.forced_wait(kind) for kind in kinds):
            return False
        killers = dict(world.cobo.killed)
        return killers.get(number_of(held.token.access_token), number) != number
