"""Calls to stores, in threads: at most eight in the process, whatever becomes of their callers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth._cell import Cell
from httpx_cobo_auth._runtime import store_threads
from httpx_cobo_auth._runtime.promises import SyncWaiter
from httpx_cobo_auth._runtime.store_threads import Call, run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 8


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count from nothing."""
    monkeypatch.setattr(store_threads, "_threads", Cell(store_threads._Threads))


def ended(call: Call[Any] | None) -> Call[Any]:
    assert call is not None
    waiter = SyncWaiter()
    call.add(waiter)
    if not call.done:
        waiter.wait(30)
    assert call.done
    return call


def test_a_call_is_made_and_its_value_returned() -> None:
    """In another thread, which is a daemon."""
    call = ended(run_in_thread(threading.current_thread))
    assert call.result() is not threading.current_thread()
    assert call.result().daemon


@pytest.mark.parametrize("error", [OSError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_what_it_raises_is_raised_where_it_is_waited_for(error: BaseException) -> None:
    """Whatever that is: no call is left without an end."""

    def fail() -> None:
        raise error

    call = ended(run_in_thread(fail))
    with pytest.raises(type(error)):
        call.result()


@pytest.mark.hazard(70)
def test_a_store_that_hangs_costs_eight_threads() -> None:
    """However many calls there are; those given up before they began are never made."""
    release = threading.Event()
    made: list[str] = []
    running = threading.Semaphore(0)

    def hang() -> None:
        running.release()
        release.wait(30)

    hanging = [run_in_thread(hang) for _ in range(3 * MOST)]
    for _ in range(MOST):
        assert running.acquire(timeout=30)
    assert not running.acquire(blocking=False)
    given_up = run_in_thread(lambda: made.append("given up"))
    assert given_up is not None
    given_up.dropped = True
    kept = run_in_thread(lambda: made.append("kept"))
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("httpx_cobo_auth store") == MOST
    release.set()
    ended(kept)
    for call in hanging:
        ended(call)
    assert made == ["kept"]


@pytest.mark.hazard(84)
def test_where_no_thread_can_be_started_the_caller_makes_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told so; with threads there, one of them will make it."""

    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert run_in_thread(int) is None
    release, began = threading.Event(), threading.Event()

    def hang() -> None:
        began.set()
        release.wait(30)

    first = run_in_thread(hang)
    assert began.wait(30)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        second = run_in_thread(lambda: 7)
    release.set()
    ended(first)
    assert ended(second).result() == 7


def test_a_thread_that_comes_too_late_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another was faster, and took the last call."""

    class Emptied:
        """A queue that has something in it, until one looks."""

        def __bool__(self) -> bool:
            looks.append(1)
            return len(looks) == 1

        def popleft(self) -> Callable[[], None]:
            raise IndexError

    looks: list[int] = []
    threads = store_threads._Threads()
    monkeypatch.setattr(threads, "waiting", Emptied())
    store_threads._work(threads)
    assert threads.running.value == 0
