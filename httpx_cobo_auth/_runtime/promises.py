"""Waiting, in threads and in tasks, for what happens elsewhere.

A *waiter* is woken from any thread and waits in its own way: a thread sleeps, a task awaits.
Who waits registers first and looks afterwards, so that nothing is missed in between.

A ``Promise`` is something that runs on its own, in a thread or in a task: what came of it, and
who waits for that.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["EventLoop", "Promise", "SyncWaiter", "Waiter", "Waiters", "soon"]

_T = TypeVar("_T")
_STANDS_STILL_AFTER_S = 2.0


class Waiter(Protocol):
    """Somebody who waits, in a thread or in a task."""

    def wake(self) -> None:
        """End the waiting; from any thread, and harmless where nobody waits any more."""
        ...

    def wait(self, seconds: float) -> Awaitable[None] | None:
        """Wait until woken, or for that long: at once, or once it is awaited."""
        ...


class SyncWaiter:
    """A thread that waits.

    By a bare lock: what wakes it may be garbage that this very thread collects while it
    begins to wait, and an ``Event`` would have its own lock taken at that moment.
    """

    __slots__ = ("_asleep",)

    def __init__(self) -> None:
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def wake(self) -> None:
        """End the waiting."""
        with contextlib.suppress(RuntimeError):  # woken already
            self._asleep.release()

    def wait(self, seconds: float) -> None:
        """Wait until woken, or for that long."""
        self._asleep.acquire(timeout=seconds)


class Waiters:
    """Those who wait for one thing. Every step is a single operation of a ``dict``."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[int, Waiter] = {}

    def add(self, waiter: Waiter) -> None:
        """Have it woken by the next ``wake``."""
        self._waiting[id(waiter)] = waiter

    def discard(self, waiter: Waiter) -> None:
        """Have it woken no longer."""
        self._waiting.pop(id(waiter), None)

    def wake(self) -> None:
        """Wake all; each has to look by itself whether it was for this that it waited."""
        for waiter in list(self._waiting.values()):
            self.discard(waiter)
            waiter.wake()


def soon(loop: Any, call: Callable[[], object]) -> bool:  # noqa: ANN401 - of asyncio or trio
    """Have an event loop call something soon; whether it is open."""
    try:
        if hasattr(loop, "run_sync_soon"):
            loop.run_sync_soon(call)
        else:
            loop.call_soon_threadsafe(call)
    except RuntimeError:  # also trio's RunFinishedError
        return False
    return True


def _nothing() -> None:
    """Only show that it can be called."""


class EventLoop:
    """The event loop that something runs in, as seen from other threads.

    One that runs is alive, however busy it is; one that is closed is gone. But a loop that nobody
    runs any more may never be closed: thread pools keep such. So one at rest is asked for a sign
    of life, and counts as gone where it gives none for some seconds.
    """

    __slots__ = ("_asked_at", "_loop")

    def __init__(self, loop: object) -> None:
        """Belong to an asyncio event loop or a trio token."""
        self._loop = loop
        self._asked_at: float | None = None

    def runs_here(self) -> bool:
        """Whether this very thread is in the middle of running it."""
        if hasattr(self._loop, "run_sync_soon"):
            running = cast("Any", sys.modules["trio"]).lowlevel.current_trio_token
        else:
            running = cast("Any", sys.modules["asyncio"]).get_running_loop
        try:
            return running() is self._loop
        except RuntimeError:
            return False

    def is_alive(self) -> bool:
        """Whether it still runs, as far as can be told. Ask again to learn more."""
        if hasattr(self._loop, "run_sync_soon"):  # trio's ends where nobody runs it any more
            return soon(self._loop, _nothing)
        if cast("Any", self._loop).is_running():
            self._asked_at = None
            return True
        asked_at = self._asked_at
        if asked_at is not None:
            return time.monotonic() - asked_at < _STANDS_STILL_AFTER_S
        self._asked_at = time.monotonic()
        return soon(self._loop, self._answer)

    def _answer(self) -> None:
        self._asked_at = None


class Promise(Generic[_T]):
    """Something that runs on its own.

    Attributes:
        loop: the event loop that it runs in; ``None`` for a thread.
        keep: what runs it, kept alive.
        confirmed: whether it has got far enough for those who do not wait for its end.
        stopped: whether it is to end before it gets that far.

    """

    __slots__ = ("_outcome", "_waiters", "confirmed", "keep", "loop", "stopped")

    def __init__(self) -> None:
        self.loop: EventLoop | None = None
        self.keep: object = None
        self.confirmed: bool = False
        self.stopped: bool = False
        self._outcome: tuple[_T | None, BaseException | None] | None = None
        self._waiters = Waiters()

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._outcome is not None

    @property
    def lost(self) -> bool:
        """Whether it comes to nothing: it was stopped, or will never end, as far as can be told."""
        if self.stopped and not self.confirmed:
            return True
        return not self.done and self.loop is not None and not self.loop.is_alive()

    def stop(self) -> None:
        """Have it end, unless it has got too far for that."""
        self.stopped = True
        self._waiters.wake()

    def confirm(self) -> bool:
        """Note that it has got far enough for those who do not wait for its end.

        Returns whether it may go on. Of two who note at the same time, one sees the other's note.
        """
        self.confirmed = True
        if self.stopped:
            self.confirmed = False
        self._waiters.wake()
        return self.confirmed

    def end(self, value: _T | None = None, error: BaseException | None = None) -> None:
        """Note what came of it. The first word counts."""
        if self._outcome is None:
            self._outcome = value, error
        self.confirm()

    @property
    def failure(self) -> Any:  # noqa: ANN401 - of the kind that is handed to ``end``
        """What it failed of; ``None`` where it did not."""
        return self._outcome[1] if self._outcome is not None else None

    def result(self) -> _T:
        """Return what came of it, or raise what it failed of."""
        assert self._outcome is not None  # noqa: S101 - who asks has waited
        value, error = self._outcome
        if error is not None:
            raise error
        return cast("_T", value)  # of the call that ended without an error

    def add(self, waiter: Waiter) -> None:
        """Wake somebody when it gets on."""
        self._waiters.add(waiter)

    def discard(self, waiter: Waiter) -> None:
        """Wake somebody no longer."""
        self._waiters.discard(waiter)
