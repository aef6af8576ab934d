"""A value that threads share: no change is lost, nobody waits, a forked child has its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import _cell
from httpx_cobo_auth._cell import Cell

if TYPE_CHECKING:
    from collections.abc import Callable

PARENT, CHILD = 1, 2


def test_a_value_is_replaced_as_a_whole() -> None:
    """By ``set``, or by what ``update`` makes of it, which returns the rest of its result."""
    cell: Cell[int] = Cell(int)
    assert cell.value == 0
    cell.set(5)
    assert cell.update(lambda value: (value + 1, f"was {value}")) == "was 5"
    assert cell.value == 6


def test_a_change_that_changes_nothing_makes_no_version() -> None:
    """The value is the very object that it was."""
    cell: Cell[tuple[int, ...]] = Cell(lambda: (1,))
    before = cell._latest
    assert cell.update(lambda value: (value, "seen")) == "seen"
    assert cell._latest is before


def test_no_change_of_any_thread_is_lost() -> None:
    """Eight threads count to 2,000 each."""
    cell: Cell[int] = Cell(int)

    def count() -> None:
        for _ in range(2000):
            cell.update(lambda value: (value + 1, None))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert cell.value == 16_000


def test_who_comes_second_begins_again() -> None:
    """From the successor, as a change that somebody else makes in mid-change shows."""
    cell: Cell[list[str]] = Cell(list)
    seen: list[list[str]] = []

    def change(value: list[str]) -> tuple[list[str], None]:
        seen.append(value)
        if len(seen) == 1:
            cell.set(["theirs"])
        return [*value, "ours"], None

    cell.update(change)
    assert seen == [[], ["theirs"]]
    assert cell.value == ["theirs", "ours"]


@pytest.mark.hazard(54)
def test_an_interrupted_change_is_made_or_not() -> None:
    """One that was cut off between its two steps is found by whoever comes next."""
    cell: Cell[int] = Cell(int)
    before = cell._latest
    cell.set(1)
    cell._latest = before  # As a signal handler that raised left it.
    assert cell.value == 1
    cell.update(lambda value: (value + 1, None))
    assert cell.value == 2


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Be another process, as after a fork that runs no hooks."""

    def be(number: int) -> None:
        monkeypatch.setattr(_cell, "_process", lambda: number)

    be(PARENT)
    return be


@pytest.mark.hazard(80)
def test_a_forked_child_begins_anew_and_the_parent_goes_on(process: Callable[[int], None]) -> None:
    """Whichever of them looks or changes first."""
    cell: Cell[int] = Cell(int)
    cell.set(7)
    process(CHILD)
    assert cell.value == 0
    cell.set(1)
    assert cell.value == 1
    process(PARENT)
    cell._latest = cell._latest  # Each has a memory of its own; here they share one.
    process(CHILD)
    cell.update(lambda value: (value + 1, None))
    assert cell.value == 2
