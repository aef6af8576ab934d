"""Renewals that run on their own: one at a time in a process, for all who have a client for it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.effects import Delegate, Entry
from httpx_cobo_auth._protocol.renew import renew
from tests.exploration.desk import set_caller
from tests.exploration.players import Actor
from tests.exploration.storing import Storing
from tests.exploration.world import Caller, Phase, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.effects import Flow
    from httpx_cobo_auth._protocol.flow import CoboFlow
    from httpx_cobo_auth._protocol.renewal_request import RenewalRequest

__all__ = ["Delegating"]


class Delegating(Storing):
    """Moves by which callers have somebody else renew."""

    def _delegate(self, world: World, who: int, effect: Delegate) -> World:
        """Join the renewal under way, or start one; and wait for as much of it as is wanted."""
        caller = world.callers[who]
        if not self._actor(caller).delegates:
            return self._resume(world, who, None)
        if caller.phase is Phase.WOKEN:
            entry = Entry()
            if caller.ended:
                error = self._errors[caller.error]
                entry = Entry(entered=caller.mine, ended=True, error=error)
            return self._resume(world, who, entry)
        running = next((each for each in world.callers if self._renews(each, caller)), None)
        mine = running is None
        if running is None:
            world, running = self._start(world, caller.process, effect.request)
            if running is None:
                return self._resume(world, who, Entry(entered=True, ended=True))
        if not effect.timeout or (effect.until_confirmed and running.confirmed):
            return self._resume(world, who, Entry())
        return set_caller(world, who, caller._replace(phase=Phase.WAITING, mine=mine))

    def _renews(self, other: Caller, caller: Caller) -> bool:
        alive = other.phase not in (Phase.CLOSED, Phase.SAVING)
        return other.process == caller.process and other.renewal and alive

    def _start(
        self, world: World, number: int, request: RenewalRequest
    ) -> tuple[World, Caller | None]:
        """Start a renewal; there is none to wait for where it ends at once."""
        good = frozenset[object]().union(*(actor.good for actor in self.scenario.actors), {None})
        actor = Actor("renewal", _renewing(request), process=number, good=good)
        local, _ = self.players.begin(actor, world.processes[number].account, world.now)
        if self.players.locals[local].effect is None:
            return world, None
        renewal = Caller(number, local, spare=self.scenario.spare, renewal=True)
        return world._replace(callers=(*world.callers, renewal)), renewal

    def _confirm(self, world: World, who: int) -> World:
        """Wake those who waited only to learn whether another process has renewed."""
        caller = world.callers[who]
        if not caller.renewal:
            return world
        world = set_caller(world, who, caller._replace(confirmed=True))
        for i, each in enumerate(world.callers):
            if each.process == caller.process and each.phase is Phase.WAITING:
                effect = self._effect(each)
                if isinstance(effect, Delegate) and effect.until_confirmed:
                    world = set_caller(world, i, each._replace(phase=Phase.WOKEN))
        return world


@cache
def _renewing(request: RenewalRequest) -> Callable[[CoboFlow], Flow[Any]]:
    return lambda flow: renew(flow._account, flow._settings, request)
