"""Calls with a time limit, to something whose own limits cannot be relied on.

Each runs in a thread of its own. One that takes too long is given up, but it goes on, and may
still have its effect: what has to be done about that is done once it has ended. So many calls
run at a time, those that were given up included, so that no heap of threads grows.

Whatever a signal handler raises reaches the caller, and never the inside of a database driver.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from httpx_cobo_auth._cell import Cell
from httpx_cobo_auth.stores._checks import Trouble, attempt

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LimitedCalls"]

_T = TypeVar("_T")
_POLL_S = 0.005
_GIVEN_UP = Trouble("given up")


class LimitedCalls:
    """Calls, so many at a time, each for so many seconds.

    A forked child begins anew: the threads are its parent's.

    Args:
        timeout: seconds, the time until it may begin included.
        at_once: calls that may run at a time.

    """

    def __init__(self, timeout: float, *, at_once: int = 8) -> None:
        """Have nothing to do yet."""
        self._timeout = timeout
        self._at_once = at_once
        # Weakly: a call whose caller was interrupted before it began does not count.
        self._running: Cell[tuple[weakref.ref[_Call[object]], ...]] = Cell(tuple)

    def call(
        self, method: Callable[[], _T], *, late: Callable[[], object] | None = None
    ) -> _T | Trouble:
        """Return what the method returns, or why not, within the time limit.

        Args:
            method: raises nothing.
            late: what to do about the effect of a call that nobody waits for any more.

        """
        deadline = time.monotonic() + self._timeout
        call = _Call(method, late)
        while not self._running.update(lambda running: self._admit(call, running)):
            if time.monotonic() > deadline:
                return Trouble(f"earlier calls still hang after {self._timeout:g} s")
            time.sleep(_POLL_S)
        result = call.wait(deadline)
        return Trouble(f"no answer within {self._timeout:g} s") if result is _GIVEN_UP else result

    def _admit(
        self, call: _Call[_T], running: tuple[weakref.ref[_Call[object]], ...]
    ) -> tuple[tuple[weakref.ref[_Call[object]], ...], bool]:
        calls = [(reference, reference()) for reference in running]
        alive = tuple(reference for reference, call in calls if call and not call.done.is_set())
        if len(alive) >= self._at_once:
            return running, False
        return (*alive, weakref.ref(cast("_Call[object]", call))), True


class _Call(Generic[_T]):
    def __init__(self, method: Callable[[], _T], late: Callable[[], object] | None) -> None:
        self._method = method
        self._late = late
        # How it ended: whoever enters something first, the thread or its caller, decides.
        self._end: dict[str, _T | Trouble] = {}
        self.done = threading.Event()

    def wait(self, deadline: float) -> _T | Trouble:
        try:
            thread = threading.Thread(target=self._run, daemon=True)
            if isinstance(attempt(thread.start, RuntimeError), Trouble):
                # No thread can be started, as at the end of the interpreter.
                self._run()
            self.done.wait(max(0.0, deadline - time.monotonic()))
        except BaseException:
            self._give_up()
            raise
        return self._end.setdefault("end", _GIVEN_UP)

    def _give_up(self) -> None:
        if self._end.setdefault("end", _GIVEN_UP) is not _GIVEN_UP and self._late:
            self._late()

    def _run(self) -> None:
        try:
            result = self._method()
            if self._end.setdefault("end", result) is _GIVEN_UP and self._late:
                self._late()
        finally:
            self.done.set()
