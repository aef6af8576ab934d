"""Calls to stores that may block, in threads of their own: at most eight in the process.

A call that its caller has given up cannot be interrupted: its thread goes on, and counts. So a
store that hangs costs eight threads, however many requests there are. Calls that were given up
before they began are dropped.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from httpx_cobo_auth._cell import Cell
from httpx_cobo_auth._runtime.promises import Promise

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Call", "run_in_thread"]

_T = TypeVar("_T")
_MAX_THREADS = 8


class Call(Promise[_T]):
    """A call that waits for a thread, is under way, or has ended.

    Attributes:
        dropped: whether its caller has given it up.

    """

    __slots__ = ("_method", "dropped")

    def __init__(self, method: Callable[[], _T]) -> None:
        super().__init__()
        self._method = method
        self.dropped = False

    def run(self) -> None:
        """Make the call, in a thread of ours."""
        if self.dropped:
            return
        try:
            value = self._method()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.end(error=error)
        else:
            self.end(value)
        finally:
            del self._method


class _Threads:
    """The calls to be made, and how many threads make them."""

    def __init__(self) -> None:
        self.waiting: deque[Call[Any]] = deque()
        self.running: Cell[int] = Cell(int)

    def begin(self) -> bool:
        return self.running.update(lambda n: (n + 1, True) if n < _MAX_THREADS else (n, False))

    def end(self) -> None:
        self.running.update(lambda n: (n - 1, None))


_threads: Cell[_Threads] = Cell(_Threads)


def run_in_thread(method: Callable[[], _T]) -> Call[_T] | None:
    """Have a call made in a thread as soon as one is free.

    Returns ``None`` where no thread can be started, as in an interpreter that is about to end.
    """
    threads = _threads.value
    call = Call(method)
    threads.waiting.append(call)
    if threads.running.value < _MAX_THREADS:
        worker = threading.Thread(
            target=_work, args=(threads,), name="httpx_cobo_auth store", daemon=True
        )
        try:
            worker.start()
        except RuntimeError:
            if not threads.running.value:
                call.dropped = True
                return None
    return call


def _work(threads: _Threads) -> None:
    # Counted in here: no signal handler raises in a thread of ours.
    while threads.waiting and threads.begin():
        try:
            threads.waiting.popleft().run()
        except IndexError:
            pass  # Another thread was faster.
        finally:
            threads.end()
