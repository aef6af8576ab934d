"""Calls with a time limit, to something that has none and cannot be interrupted.

One call at a time, in a thread of its own. One that takes too long is given up, but it goes
on, and may still have its effect: so until it ends, no other begins, and what has to come
after it, such as the release of a lock, is put off.

A fork waits for a call under way, though not for ever: the first one of a keyring imports its
backends, and a child forked meanwhile would wait for ever to import the same.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Generic, TypeVar

from httpx_cobo_auth._forking import forget_on_fork
from httpx_cobo_auth.stores._checks import Trouble, attempt

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Worker"]

_T = TypeVar("_T")
_LONGEST_PAUSE_S = 5.0


class Worker:
    """Calls, one at a time, each for so many seconds.

    A forked child begins anew: the thread that a call runs in is its parent's.
    """

    def __init__(self, timeout: float) -> None:
        """Have nothing to do yet."""
        self._timeout = timeout
        self._reset()
        forget_on_fork(self, Worker._reset)
        _workers.add(self)

    def _reset(self) -> None:
        self._turn = threading.Lock()
        self._mutex = threading.Lock()
        self._late = False
        self._afterwards: list[Callable[[], object]] = []
        self._thread: int | None = None
        self._paused = False

    def pause(self) -> None:
        """Wait for the call under way, and let no other begin; before a fork."""
        # A backend may fork, too, in the midst of a call.
        if self._thread != threading.get_ident():
            patience = min(self._timeout, _LONGEST_PAUSE_S)
            if self._turn.acquire(timeout=patience):
                self._paused = True

    def resume(self) -> None:
        """Go on after a fork."""
        if self._paused:
            self._paused = False
            self._turn.release()

    def call(self, method: Callable[[], _T]) -> _T | Trouble:
        """Return what the method gives, or why not, within the time limit."""
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
        self._thread = threading.get_ident()
        result = attempt(call.method, Exception)
        self._thread = None
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


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


def _pause_all() -> None:
    for worker in tuple(_workers):
        worker.pause()


def _resume_all() -> None:
    for worker in tuple(_workers):
        worker.resume()


if hasattr(os, "register_at_fork"):  # pragma: no branch - absent on Windows
    os.register_at_fork(before=_pause_all, after_in_parent=_resume_all)
