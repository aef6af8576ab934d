"""The store: compare-and-set, a lock, and answers that come late or not for sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.records import Record, Trust
from tests.exploration.desk import Desk, set_caller
from tests.exploration.players import Broken
from tests.exploration.world import Caller, Phase, World

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.effects import Save
    from httpx_cobo_auth._protocol.records import Version

__all__ = ["Storing"]

_GRAVITY = {Trust.TRUSTED: 0, Trust.REFUSED: 1, Trust.EXPOSED: 2}


class Storing(Desk):
    """What the store does."""

    def _saved(self, world: World, effect: Save) -> World | None:
        """Save if the stored version is the expected one."""
        return self._replaced(world, effect.record, effect.expected)

    def _saved_later(self, world: World, effect: Save) -> World:
        """Go on saving, though its caller knows nothing of it any more."""
        return world._replace(late=(self._number_record(effect.record), effect.expected))

    def _late_comes(self, world: World) -> World:
        """Let what was to be saved reach the store."""
        assert world.late is not None
        number, expected = world.late
        record = self._records[number]
        assert record is not None
        world = world._replace(late=None)
        return self._replaced(world, record, expected) or world

    def _replaced(self, world: World, new: Record, expected: Version) -> World | None:
        stored = self._records[world.record] or Record()
        if stored.version != expected:
            return None
        self._check_successor(stored, new)
        return world._replace(record=self._number_record(new))

    def _check_successor(self, stored: Record, new: Record) -> None:
        """Check that nothing newer is overwritten, and nothing that speaks against a token."""
        if new.generation < stored.generation:
            message = "an older record overwrites a newer one"
            raise Broken(message)
        if new.generation > stored.generation:
            return
        if new.token != stored.token:
            message = "two tokens have the same generation"
            raise Broken(message)
        if not self.scenario.strict_trust:
            return
        if _GRAVITY[new.trust.level] < _GRAVITY[stored.trust.level]:
            message = f"the store forgets that a token was {stored.trust.level.value}"
            raise Broken(message)

    # ------------------------------------------------------------------------------- its lock
    def _lock_is_free(self, world: World, caller: Caller) -> bool:
        return all(each.lock != 1 or self._lets_go(each, caller) for each in world.callers)

    def _lets_go(self, holder: Caller, caller: Caller) -> bool:
        """Whether the lock is taken from one whose permit to renew has been taken over."""
        idle = holder.seat == 2 and holder.phase is Phase.READY
        return idle and holder.process == caller.process and caller.seat == 1

    def _locked(self, world: World, who: int) -> World:
        """Return the lock to somebody."""
        for i, each in enumerate(world.callers):
            if each.lock == 1:
                world = set_caller(world, i, each._replace(lock=2))
        return set_caller(world, who, world.callers[who]._replace(lock=1))

    def _locked_by_nobody(self, world: World, process: int) -> World:
        """Lock it for somebody who does not know, until that lapses."""
        ghost = Caller(process, 0, Phase.CLOSED, lock=1)
        return world._replace(callers=(*world.callers, ghost))
