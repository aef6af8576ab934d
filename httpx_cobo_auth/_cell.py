"""A value that threads share, without a mutex.

A mutex can be left held: by a signal handler that raises between two bytecodes, by a fork, by
garbage that is collected inside of its own critical section. So what threads share here is one
immutable value, replaced as a whole by compare-and-set. ``dict.setdefault`` is atomic in
CPython, with and without the GIL; each version of the value has a dict that its one successor
is entered into, and whoever comes second begins again from that successor.

A forked child inherits nothing: versions are kept by process, and the process is compared at
each access, because not every fork runs Python's hooks (uWSGI's does not).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Cell"]

_T = TypeVar("_T")
_R = TypeVar("_R")
_process = os.getpid


class _Version(Generic[_T]):
    """One version of a value, and by process the version that follows."""

    __slots__ = ("following", "process", "value")

    def __init__(self, value: _T, process: int) -> None:
        self.value = value
        self.process = process
        self.following: dict[int, _Version[_T]] = {}


class Cell(Generic[_T]):
    """A value that is replaced as a whole.

    Args:
        initial: makes the first value; called once in every process.

    """

    __slots__ = ("__weakref__", "_initial", "_latest")

    def __init__(self, initial: Callable[[], _T]) -> None:
        self._initial = initial
        self._latest: _Version[_T] = _Version(initial(), _process())

    @property
    def value(self) -> _T:
        """The latest value."""
        latest = self._latest
        if latest.following or latest.process != _process():
            latest = self._find()
        return latest.value

    def set(self, value: _T) -> None:
        """Replace the value, whatever it is by now."""
        self.update(lambda _: (value, None))

    def update(self, change: Callable[[_T], tuple[_T, _R]]) -> _R:
        """Replace the value by what ``change`` makes of it, and return the rest of its result.

        ``change`` may be called several times, so it must have no other effect.
        """
        while True:
            latest = self._find()
            value, result = change(latest.value)
            if value is latest.value:
                return result
            successor = _Version(value, latest.process)
            if latest.following.setdefault(latest.process, successor) is successor:
                self._latest = successor
                return result

    def _find(self) -> _Version[_T]:
        process = _process()
        latest = self._latest
        while True:
            following = latest.following.get(process)
            if following is None:
                if latest.process == process:
                    return latest
                following = latest.following.setdefault(process, _Version(self._initial(), process))
            self._latest = latest = following
