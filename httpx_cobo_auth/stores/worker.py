"""Calls with a time limit, to something that has none and cannot be interrupted.

One call at a time, in a thread of its own. One that takes too long is given up, but it goes
on, and may still have its effect: so until it ends, no other begins, and what has to come
after it, such as the release of a lock, is put off.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from httpx_cobo_auth.forking import forget_on_fork
from httpx_cobo_auth.stores.checks import Trouble, attempt

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Worker"]

_T = TypeVar("_T")


class Worker:
    """Calls, one at a time, each for so many seconds.

    A forked child begins anew: the thread that a call runs in is its parent's.
    """

    def __init__(self, timeout: float) -> None:
        """Have nothing to do yet."""
        self._timeout = timeout
        self._reset()
        forget_on_fork(self, Worker._reset)

    def _reset(self) -> None:
        self._turn = threading.Lock()
        self._mutex = threading.Lock()
        self._late = False
        self._afterwards: list[Callable[[], object]] = []

    def call(self, method: Callable[[], _T]) -> _T | Trouble:
        """Give what the method gives, or why not, within the time limit."""
        deadline = time.monotonic() + self._timeout
        if not self._turn.acquire(timeout=self._timeout):
            return Trouble(f"an earlier call still hangs after {self._timeout:g} s")
        call = _Call(method)
        thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        refusal = attempt(thread.start, RuntimeError)
        if isinstance(refusal, Trouble):
            self._turn.release()
            return refusal
        call.done.wait(max(0.0, deadline - time.monotonic()))
        with self._mutex:
            if call.result is None:
                self._late = True
                return Trouble(f"no answer within {self._timeout:g} s")
        return call.result[0]

    def afterwards(self, action: Callable[[], object]) -> None:
        """Do something once no call is late any more; at once, if none is."""
        with self._mutex:
            if self._late:
                self._afterwards.append(action)
                return
        action()

    def _run(self, call: _Call[_T]) -> None:
        result = attempt(call.method, Exception)
        with self._mutex:
            call.result = (result,)
            self._late = False
            actions, self._afterwards = self._afterwards, []
        for action in actions:
            action()
        self._turn.release()
        call.done.set()


class _Call(Generic[_T]):
    def __init__(self, method: Callable[[], _T]) -> None:
        self.method = method
        self.done = threading.Event()
        self.result: tuple[_T | Trouble] | None = None
