"""The search: every state that can be reached, breadth first, so that what is found is short."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.exploration.model import Model
from tests.exploration.players import Broken
from tests.exploration.scenarios import BY_NAME

if TYPE_CHECKING:
    from tests.exploration.setting import Scenario
    from tests.exploration.world import Move, World

__all__ = ["Explored", "PropertyBrokenError", "explore", "explore_named"]


@dataclass(frozen=True)
class Explored:
    """What an exploration came to.

    Attributes:
        scenario: whose.
        states: how many differ.
        moves: how many lead from one to another.
        ends: how many states there are with nobody left.
        seconds: it took.

    """

    scenario: str
    states: int
    moves: int
    ends: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.scenario:28} {self.states:9,} states {self.moves:10,} moves "
            f"{self.ends:6,} ends {self.seconds:6.1f} s"
        )


class PropertyBrokenError(AssertionError):
    """A property does not hold; says which one, and by which moves it came to that."""


def explore(scenario: Scenario) -> Explored:
    """Go through all states, and check that every run comes to an end.

    Raises:
        PropertyBrokenError: a property does not hold; with a shortest way there.

    """
    began = time.perf_counter()
    search = _Search(scenario)
    search.run()
    search.check_that_runs_end()
    seconds = time.perf_counter() - began
    return Explored(scenario.name, len(search.came), len(search.leads), search.ends, seconds)


def explore_named(name: str, deep: int = 0) -> Explored:
    """Explore the scenario of that name.

    Args:
        name: of the scenario.
        deep: how often each caller may be cancelled or fail, all of them in the same run;
            0 for what the scenario says.

    """
    scenario = BY_NAME[name]
    if deep:
        scenario = replace(scenario, spare=deep, mishaps=deep * len(scenario.actors))
    return explore(scenario)


class _Search:
    def __init__(self, scenario: Scenario) -> None:
        self.model = Model(scenario)
        self.ends = 0
        self.numbers: dict[World, int] = {}
        self.came: list[tuple[World, Move] | None] = []
        """How each state was reached first."""
        self.leads = array("L")
        """To which state each move leads, in the order of the states."""
        self.until = array("L")
        """Where in there each state's moves end."""

    def run(self) -> None:
        """Go through all states."""
        model, numbers, came = self.model, self.numbers, self.came
        first = model.start()
        numbers[first] = 0
        came.append(None)
        level = [first]
        while level:
            deeper_level: list[World] = []
            for world in level:
                move: Move | None = None
                try:
                    if not world.callers:
                        self.ends += 1
                        model.check_end(world)
                    for move in model.moves(world):
                        after = model.apply(world, move)
                        number = numbers.setdefault(after, len(came))
                        if number == len(came):
                            came.append((world, move))
                            deeper_level.append(after)
                        self.leads.append(number)
                except Broken as broken:
                    raise PropertyBrokenError(self._story(world, move, broken)) from broken
                self.until.append(len(self.leads))
            level = deeper_level

    def check_that_runs_end(self) -> None:
        """Check that no state can be come back to: take away, again and again, what is last."""
        leads, until = self.leads, self.until
        coming = array("L", bytes(leads.itemsize * len(until)))
        for number in leads:
            coming[number] += 1
        free = [0]
        taken = 0
        while free:
            taken += 1
            number = free.pop()
            for after in leads[until[number - 1] if number else 0 : until[number]]:
                coming[after] -= 1
                if not coming[after]:
                    free.append(after)
        if taken < len(until):
            message = f"{self.model.scenario.name}: a run may go round in circles for ever"
            raise PropertyBrokenError(message)

    def _story(self, world: World, last: Move | None, broken: Broken) -> str:
        model = self.model
        steps = [model.describe(world, last)] if last is not None else []
        before = self.came[self.numbers[world]]
        while before is not None:
            world, move = before
            steps.append(model.describe(world, move))
            before = self.came[self.numbers[world]]
        lines = [f"{model.scenario.name}: {broken}"]
        lines += [f"{number:4} {step}" for number, step in enumerate(reversed(steps), 1)]
        if last is None:
            lines += [f"     then, alone: {step}" for step in model.alone]
        return "\n".join(lines)
