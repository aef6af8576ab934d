"""Permits by hand: one to renew, many to write, all of which belong to nobody."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, cast

import pytest

from httpx_cobo_auth._cell import Cell
from httpx_cobo_auth._runtime.permits import Permit, Permits
from httpx_cobo_auth._runtime.promises import EventLoop, SyncWaiter
from httpx_cobo_auth.errors import TokenEndpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.testing import ManualClock
    from tests.concurrency.conftest import RunsThreads

LEASE_S = 10.0


class Bell:
    """A waiter that counts how often it is woken."""

    def __init__(self) -> None:
        self.rung = 0

    def wake(self) -> None:
        """Count."""
        self.rung += 1

    def wait(self, seconds: float) -> None:
        """Nobody waits by it."""
        raise AssertionError(seconds)


class Garbage:
    """A cycle that holds a permit: released by the garbage collector, and by nobody else."""

    def __init__(self, permit: Permit) -> None:
        self.permit = permit
        self.itself = self


class Loop:
    """An event loop, as far as permits are concerned."""

    def __init__(self) -> None:
        self.alive = True

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.alive

    def runs_here(self) -> bool:
        """Whether it runs here, which it does."""
        return self.alive


@pytest.fixture
def permits(clock: ManualClock) -> Permits:
    return Permits(clock.monotonic)


@pytest.fixture
def bell(permits: Permits) -> Bell:
    """Wait for changes."""
    bell = Bell()
    permits.wait_for_change(bell)
    return bell


def enter(permits: Permits, *parents: int, loop: object = None) -> Permit:
    permit = permits.enter(LEASE_S, parents, cast("EventLoop | None", loop))
    assert permit is not None
    return permit


def begin(permits: Permits, *parents: int, loop: object = None) -> Permit:
    permit = permits.begin_write(parents, cast("EventLoop | None", loop))
    assert permit is not None
    return permit


class TestRenewing:
    @pytest.mark.hazard(11)
    def test_only_one_may(self, permits: Permits, bell: Bell) -> None:
        """Whoever comes second is told no, and woken when it is over."""
        permit = enter(permits)
        assert permits.is_renewal(permit.number)
        assert permits.enter(LEASE_S) is None
        assert bell.rung == 0
        permit.release()
        assert bell.rung == 1
        assert not permits.is_renewal(permit.number)
        assert permits.ended == 1
        assert permits.error is None
        enter(permits).release()
        assert bell.rung == 1

    def test_what_it_ended_with_is_left_behind(self, permits: Permits) -> None:
        """All who waited are told the one error; the next renewal wipes it out."""
        error = TokenEndpointError("down")
        enter(permits).release(error)
        assert permits.error is error
        enter(permits).release()
        assert permits.error is None

    def test_releasing_twice_releases_once(self, permits: Permits) -> None:
        """A permit given back again does not give back somebody else's."""
        first = enter(permits)
        first.release()
        second = enter(permits)
        first.release()
        assert permits.is_renewal(second.number)
        assert permits.ended == 1

    def test_whoever_gives_no_sign_of_life_loses_it(
        self, permits: Permits, clock: ManualClock
    ) -> None:
        """After the lease the next one takes it over; the old permit means nothing."""
        lost = enter(permits)
        assert permits.left == LEASE_S
        clock.advance(LEASE_S - 0.5)
        assert permits.enter(LEASE_S) is None
        assert permits.left == pytest.approx(0.5)
        clock.advance(1)
        assert permits.left == 0
        permit = enter(permits)
        permits.drain(lost)
        assert begin(permits) is not None  # It closes no door any more.
        lost.release()
        assert permits.is_renewal(permit.number)

    def test_a_door_that_was_closed_opens_with_the_lease(
        self, permits: Permits, clock: ManualClock
    ) -> None:
        """A renewer that died with the door closed keeps no write out for ever."""
        permit = enter(permits)
        assert permits.drain(permit)
        assert permits.begin_write() is None
        clock.advance(LEASE_S + 1)
        assert begin(permits) is not None
        assert enter(permits) is not None
        assert begin(permits) is not None

    @pytest.mark.hazard(10)
    def test_it_is_given_back_by_the_garbage_collector(self, permits: Permits, bell: Bell) -> None:
        """A flow that nobody resumes and nobody closes gives back what it held."""
        Garbage(enter(permits))
        assert permits.enter(LEASE_S) is None
        gc.collect()
        assert bell.rung == 1
        assert enter(permits) is not None

    def test_it_is_given_back_from_another_thread(
        self, permits: Permits, in_threads: RunsThreads
    ) -> None:
        """Whoever waits in one thread is woken by a release in another."""
        permit = enter(permits)
        waiter = SyncWaiter()
        permits.wait_for_change(waiter)
        with in_threads(permit.release):
            waiter.wait(30)
        assert enter(permits) is not None

    def test_threads_in_a_row(self, permits: Permits, in_threads: RunsThreads) -> None:
        """Many threads through one: never two inside, none left waiting."""
        inside: list[int] = []
        most = 0

        def pass_through() -> None:
            nonlocal most
            for _ in range(20):
                while True:
                    waiter = SyncWaiter()
                    permits.wait_for_change(waiter)
                    permit = permits.enter(LEASE_S)
                    if permit is not None:
                        break
                    waiter.wait(30)
                permits.unregister(waiter)
                inside.append(permit.number)
                most = max(most, len(inside))
                inside.remove(permit.number)
                permit.release()

        with in_threads(*[pass_through] * 8):
            pass
        assert most == 1
        assert permits.ended == 160


class TestWriting:
    def test_writes_come_and_go_while_the_door_is_open(self, permits: Permits) -> None:
        """Without an exchange no write waits, not even while somebody may renew."""
        renewal = enter(permits)
        writes = [begin(permits) for _ in range(3)]
        assert not permits.drain(renewal)
        for write in writes:
            write.release()
        assert permits.drain(renewal)

    def test_the_door_closes_while_an_exchange_drains(self, permits: Permits, bell: Bell) -> None:
        """Writes in flight are waited for, new ones wait: rotation may kill their token."""
        renewal = enter(permits)
        first, second = begin(permits), begin(permits)
        assert not permits.drain(renewal)
        assert permits.begin_write() is None
        assert permits.begin_write() is None
        first.release()
        assert bell.rung == 0
        second.release()
        assert bell.rung == 1
        assert permits.drain(renewal)
        assert permits.begin_write() is None
        renewal.release()
        assert begin(permits) is not None

    def test_who_may_not_write_wakes_nobody(self, permits: Permits, bell: Bell) -> None:
        """Two who wait to write would wake each other for ever."""
        renewal = enter(permits)
        assert permits.drain(renewal)
        assert permits.begin_write() is None
        assert bell.rung == 0

    def test_a_door_that_closes_while_a_write_enters_is_noticed(
        self, permits: Permits, bell: Bell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The write leaves again, and who drains is told so."""
        renewal = enter(permits)
        may_write = permits._may_write

        def closing(parents: tuple[int, ...]) -> bool:
            may = may_write(parents)
            permits.drain(renewal)
            return may

        monkeypatch.setattr(permits, "_may_write", closing)
        assert permits.begin_write() is None
        assert bell.rung == 1
        assert permits.drain(renewal)

    def test_who_gave_up_waiting_is_not_woken(self, permits: Permits, bell: Bell) -> None:
        """A waiter that was cancelled is forgotten; once more is harmless."""
        renewal = enter(permits)
        permits.unregister(bell)
        permits.unregister(bell)
        renewal.release()
        assert bell.rung == 0

    @pytest.mark.hazard(10)
    def test_a_write_dropped_as_garbage_is_no_longer_in_flight(
        self, permits: Permits, bell: Bell
    ) -> None:
        """A write abandoned with its event loop does not hold up renewals."""
        renewal = enter(permits)
        Garbage(begin(permits))
        assert not permits.drain(renewal)
        gc.collect()
        assert bell.rung == 1
        assert permits.drain(renewal)


class TestParents:
    def test_an_exchange_does_not_wait_for_the_write_it_happens_inside_of(
        self, permits: Permits
    ) -> None:
        """In a hook of a write: who waits for it would wait for itself."""
        write = begin(permits)
        renewal = enter(permits, write.number)
        assert permits.drain(renewal)
        write.release()
        assert permits.is_renewal(renewal.number)

    def test_nor_does_somebody_elses(self, permits: Permits, bell: Bell) -> None:
        """Who drains already is told at once that this write waits for it."""
        write, renewal = begin(permits), enter(permits)
        assert not permits.drain(renewal)
        assert permits.enter(LEASE_S, (write.number,)) is None
        assert bell.rung == 1
        assert permits.drain(renewal)

    def test_a_write_inside_of_a_write_does_not_wait(self, permits: Permits) -> None:
        """The door is closed until the outer write ends, which waits for the inner one."""
        outer, renewal = begin(permits), enter(permits)
        assert not permits.drain(renewal)
        assert permits.begin_write() is None
        assert begin(permits, outer.number) is not None

    def test_a_write_inside_of_the_exchange_does_not_wait(self, permits: Permits) -> None:
        """In a hook of the exchange: the door opens when the hook is through."""
        renewal = enter(permits)
        assert permits.drain(renewal)
        assert permits.begin_write() is None
        assert begin(permits, renewal.number) is not None

    def test_numbers_of_two_accounts_are_never_the_same(self, clock: ManualClock) -> None:
        """What happens inside of one organization's write is not inside of another's."""
        both = [Permits(clock.monotonic) for _ in range(2)]
        first, second = (enter(permits) for permits in both)
        assert not both[1].is_renewal(first.number)
        assert both[1].drain(second)
        assert both[1].begin_write((first.number,)) is None


@pytest.mark.hazard(10, 14)
class TestEventLoops:
    """An event loop that is gone takes along what was held in it."""

    def test_a_renewal(self, permits: Permits) -> None:
        """The next one takes it over at once; the door of the old one is open."""
        loop = Loop()
        left = enter(permits, loop=loop)
        assert permits.drain(left)
        assert permits.enter(LEASE_S) is None
        assert permits.begin_write() is None
        loop.alive = False
        assert begin(permits) is not None
        renewal = enter(permits)
        left.release()
        assert permits.is_renewal(renewal.number)

    def test_a_write(self, permits: Permits) -> None:
        """It is not waited for; one in a loop that runs is."""
        gone, runs = Loop(), Loop()
        writes = [begin(permits, loop=loop) for loop in (gone, runs)]
        renewal = enter(permits)
        assert not permits.drain(renewal)
        gone.alive = False
        assert not permits.drain(renewal)
        writes[1].release()
        assert permits.drain(renewal)
        writes[0].release()

    @pytest.mark.hazard(82)
    def test_whether_the_renewal_is_in_the_loop_that_this_thread_runs(
        self, permits: Permits
    ) -> None:
        """So that a sync call made from that very loop does not wait for it."""
        assert not permits.runs_here()
        enter(permits).release()
        renewal = enter(permits, loop=Loop())
        assert permits.runs_here()
        renewal.release()
        renewal = enter(permits)
        assert not permits.runs_here()
        renewal.release()


def interrupt_next_change(monkeypatch: pytest.MonkeyPatch, *, done: bool) -> None:
    """Raise what a signal handler does, right before or after it is made."""
    kind: Any = Cell
    update = kind.update

    def interrupted(cell: Cell[Any], change: Callable[[Any], tuple[Any, Any]]) -> None:
        monkeypatch.setattr(kind, "update", update)
        if done:
            update(cell, change)
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "update", interrupted)


@pytest.mark.hazard(54)
class TestInterrupts:
    """What a signal handler raises may be kept, and with it the frame that it went through."""

    @pytest.mark.parametrize("done", [False, True])
    def test_a_renewal_that_is_about_to_begin(
        self,
        permits: Permits,
        monkeypatch: pytest.MonkeyPatch,
        done: bool,  # noqa: FBT001
    ) -> None:
        """It has not begun."""
        interrupt_next_change(monkeypatch, done=done)
        with pytest.raises(KeyboardInterrupt) as kept:
            permits.enter(60)
        assert kept.value.__traceback__ is not None
        assert permits.enter(60) is not None

    @pytest.mark.parametrize("done", [False, True])
    def test_a_renewal_that_is_about_to_end(
        self,
        permits: Permits,
        bell: Bell,
        monkeypatch: pytest.MonkeyPatch,
        done: bool,  # noqa: FBT001
    ) -> None:
        """It has ended, and whoever waits is woken."""
        permit = permits.enter(60)
        assert permit is not None
        permits.wait_for_change(bell)
        interrupt_next_change(monkeypatch, done=done)
        with pytest.raises(KeyboardInterrupt):
            permit.release()
        assert bell.rung
        assert permits.enter(60) is not None

    def test_a_write_that_is_about_to_begin(
        self, permits: Permits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is not in flight."""
        looks = iter([True])

        def may_write(_self: Permits, _parents: object) -> bool:
            for answer in looks:
                return answer
            raise KeyboardInterrupt

        monkeypatch.setattr(Permits, "_may_write", may_write)
        with pytest.raises(KeyboardInterrupt) as kept:
            permits.begin_write()
        assert kept.value.__traceback__ is not None
        assert permits._cell.value.writes == {}
