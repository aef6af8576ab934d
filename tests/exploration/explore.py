"""The search: every state that can be reached, breadth first."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.exploration.model import Model, Move
from tests.exploration.players import Broken

if TYPE_CHECKING:
    from tests.exploration.world import Scenario, World

__all__ = ["Explored", "explore", "run"]


@dataclass(frozen=True)
class Explored:
    """What an exploration came to.

    Attributes:
        states: how many differ.
        moves: how many lead from one to another.
        ends: how many states there are with nobody left.
        seconds: it took.

    """

    states: int
    moves: int
    ends: int
    seconds: float


class Violation(AssertionError):
    """A property is broken; says by which moves."""


def explore(scenario: Scenario, limit: int = 10**9) -> Explored:
    """Go through all states.

    Raises:
        Violation: a property is broken; with a shortest way there.

    """
    began = time.perf_counter()
    model = Model(scenario)
    first = model.start()
    reached: dict[World, tuple[World, Move] | None] = {first: None}
    level, moves, ends = [first], 0, 0
    while level:
        deeper: list[World] = []
        for world in level:
            if not world.callers:
                ends += 1
            move: Move | None = None
            try:
                if not world.callers:
                    model.check_end(world)
                for move in model.moves(world):
                    moves += 1
                    after = model.apply(world, move)
                    if after not in reached:
                        reached[after] = world, move
                        deeper.append(after)
            except (Broken, AssertionError) as broken:
                raise Violation(_story(model, reached, world, move, broken)) from broken
        level = deeper
        if len(reached) > limit:
            break
    return Explored(len(reached), moves, ends, time.perf_counter() - began)


def _story(
    model: Model,
    reached: dict[World, tuple[World, Move] | None],
    world: World,
    last: Move | None,
    broken: Exception,
) -> str:
    steps: list[str] = []
    end = world
    if last is not None:
        steps.append(model.describe(world, last))
    before = reached[world]
    while before is not None:
        world, move = before
        steps.append(model.describe(world, move))
        before = reached[world]
    lines = [f"{model.scenario.name}: {broken}"]
    lines += [f"  {number:3} {step}" for number, step in enumerate(reversed(steps), 1)]
    lines += [
        str(end),
        str([model.players.accounts[p.account] for p in end.processes]),
        str(model._records[end.record]),
    ]
    if last is None:
        lines += [f"    alone: {step}" for step in model.alone]
    return "\n".join(lines)


def run() -> None:
    import sys
    from tests.exploration.scenarios import SCENARIOS

    total = 0
    for s in SCENARIOS:
        if len(sys.argv) > 2 and not any(a in s.name for a in sys.argv[2:]):
            continue
        if len(sys.argv) > 1 and sys.argv[1] != "-":
            s = replace(s, mishaps=int(sys.argv[1]))
        try:
            e = explore(s, 1000000)
            print(
                f"{s.name:50} {e.states:8} states {e.moves:9} moves {e.ends:6} ends {e.seconds:6.1f} s",
                flush=True,
            )
            total += e.states
        except Violation as v:
            print(v, flush=True)
    print(total)
