"""Waiting for what runs elsewhere: threads and tasks wake each other, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from httpx_cobo_auth._runtime import promises
from httpx_cobo_auth._runtime.async_backend import AsyncBackend, AsyncWaiter
from httpx_cobo_auth._runtime.promises import EventLoop, Promise, SyncWaiter, Waiters

if TYPE_CHECKING:
    from tests.concurrency.conftest import RunsThreads


class TestWaiters:
    def test_a_thread_waits_no_longer_than_it_said(self) -> None:
        """A wait is finite, whether or not anybody wakes."""
        SyncWaiter().wait(0.001)

    def test_waking_again_and_early_is_harmless(self) -> None:
        """Woken before waiting, one does not wait."""
        waiter = SyncWaiter()
        waiter.wake()
        waiter.wake()
        waiter.wait(30)
        waiter.wake()

    def test_a_thread_that_collects_what_wakes_it_does_not_hang(
        self, monkeypatch: pytest.MonkeyPatch, in_threads: RunsThreads
    ) -> None:
        """``threading.Event`` would: its lock is held at that moment, by the same thread."""
        waiters = Waiters()

        class Dying:
            def __del__(self) -> None:
                waiters.wake()

        garbage = [Dying()]
        waiter = SyncWaiter()
        waiters.add(waiter)
        allocate = threading.Lock

        def collecting() -> object:
            garbage.clear()
            return allocate()

        def wait() -> None:
            with monkeypatch.context() as patch:
                patch.setattr(threading, "_allocate_lock", collecting)
                waiter.wait(0.1)

        with in_threads(wait):
            pass
        garbage.clear()

    @pytest.mark.hazard(14)
    async def test_a_task_is_woken_from_a_thread(self) -> None:
        """No event loop is needed to wake, only to wait."""
        waiter = AsyncWaiter()
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, waiter.wake)
                await waiter.wait(60)

    async def test_a_task_waits_no_longer_than_it_said(self) -> None:
        """A wait is finite, whether or not anybody wakes."""
        await AsyncWaiter().wait(0.001)

    @pytest.mark.hazard(14)
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_waking_a_loop_that_is_closed_is_harmless(self, backend: str) -> None:
        """The others who wait are woken all the same."""
        waiters, after = Waiters(), SyncWaiter()

        async def wait() -> None:
            await anyio.lowlevel.checkpoint()
            waiters.add(AsyncWaiter())

        anyio.run(wait, backend=backend)
        waiters.add(after)
        waiters.wake()
        after.wait(30)


class TestEventLoops:
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_one_that_is_closed_is_gone_at_once(self, backend: str) -> None:
        """It says so itself."""

        async def look() -> EventLoop:
            await anyio.lowlevel.checkpoint()
            return AsyncBackend().loop()

        loop = anyio.run(look, backend=backend)
        assert not loop.is_alive()

    async def test_one_that_runs_is_alive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However busy it is, and whether or not it comes to answer."""
        monkeypatch.setattr(promises, "_STANDS_STILL_AFTER_S", 0)
        loop = AsyncBackend().loop()
        for _ in range(3):
            assert loop.is_alive()
        assert await anyio.to_thread.run_sync(loop.is_alive)

    def test_one_that_rests_between_two_runs_is_alive(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever runs it again has it answer."""
        native = asyncio.new_event_loop()
        loop = EventLoop(native)
        assert loop.is_alive()
        native.run_until_complete(asyncio.sleep(0))
        monkeypatch.setattr(promises, "_STANDS_STILL_AFTER_S", 0)
        native.run_until_complete(anyio.to_thread.run_sync(loop.is_alive))
        monkeypatch.setattr(promises, "_STANDS_STILL_AFTER_S", 60)
        assert loop.is_alive()
        native.close()

    @pytest.mark.hazard(14, 86)
    def test_one_that_stands_still_is_gone_after_seconds(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Never closed, and run by nobody, as thread pools keep them."""
        monkeypatch.setattr(promises, "_STANDS_STILL_AFTER_S", 0.01)
        native = asyncio.new_event_loop()
        try:
            loop = EventLoop(native)
            assert loop.is_alive()
            waited = threading.Event()
            waited.wait(0.02)
            assert not loop.is_alive()
        finally:
            native.close()

    @pytest.mark.anyio
    async def test_it_runs_where_it_is_in_the_middle_of_something(self) -> None:
        """In this thread, and in no other."""
        loop = AsyncBackend().loop()
        assert loop.runs_here()
        assert not await anyio.to_thread.run_sync(loop.runs_here)

    def test_one_that_rests_runs_nowhere(self) -> None:
        """Although it belongs to this thread as much as to any."""
        native = asyncio.new_event_loop()
        assert not EventLoop(native).runs_here()
        native.close()


def done(promise: Promise[Any]) -> bool:
    """Look once more: type checkers believe that a property is as it was."""
    return promise.done


def lost(promise: Promise[Any]) -> bool:
    return promise.lost


class TestPromises:
    def test_the_first_word_counts(self) -> None:
        """A second end changes nothing."""
        promise: Promise[int] = Promise()
        assert not done(promise)
        promise.end(7)
        promise.end(error=OSError("late"))
        assert promise.done
        assert promise.failure is None
        assert promise.result() == 7

    def test_what_it_failed_of_is_raised(self) -> None:
        """And can be looked at."""
        promise: Promise[int] = Promise()
        assert not done(promise)
        error = OSError("no")
        promise.end(error=error)
        assert promise.failure is error
        with pytest.raises(OSError, match="no"):
            promise.result()

    def test_whoever_waits_is_woken_when_it_gets_on(self, in_threads: RunsThreads) -> None:
        """When it has got far enough for some, and when it ends; who left is not."""
        promise: Promise[None] = Promise()
        waiter, gone = SyncWaiter(), SyncWaiter()
        promise.add(waiter)
        promise.add(gone)
        promise.discard(gone)
        with in_threads(promise.confirm):
            waiter.wait(30)
        assert promise.confirmed
        assert not done(promise)
        gone.wait(0.001)
        assert gone._asleep.locked()

    def test_in_a_loop_that_is_gone_it_is_lost(self) -> None:
        """Unless it has ended before."""
        native = asyncio.new_event_loop()
        promise: Promise[None] = Promise()
        assert not lost(promise)
        promise.loop = EventLoop(native)
        assert not lost(promise)
        native.close()
        promise.loop = EventLoop(native)
        assert lost(promise)
        promise.end()
        assert not lost(promise)
