"""The gate by hand: one seat, a door for writes, and tickets that belong to nobody."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from httpx_cobo_auth import MemoryStore
from httpx_cobo_auth._protocol.records import StoreKey
from httpx_cobo_auth._runtime.backends import AsyncWaiter, SyncWaiter
from httpx_cobo_auth._runtime.permits import Gate, Permit
from httpx_cobo_auth._runtime.store_access import StoreAccess
from httpx_cobo_auth.errors import TokenEndpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.testing import ManualClock
    from tests.concurrency.conftest import RunsThreads

SEAT_TIMEOUT_S = 10.0


class Bell:
    """A waiter that counts how often it is woken."""

    def __init__(self) -> None:
        self.rung = 0

    def wake(self) -> None:
        self.rung += 1


class Garbage:
    """A cycle that holds a ticket: released by the garbage collector, and by nobody else."""

    def __init__(self, ticket: Permit) -> None:
        self.ticket = ticket
        self.itself = self


@pytest.fixture
def gate(clock: ManualClock) -> Gate:
    return Gate(SEAT_TIMEOUT_S, clock.monotonic)


def taken(ticket: Permit | None) -> Permit:
    assert ticket is not None
    return ticket


class TestSeat:
    @pytest.mark.hazard(11)
    def test_only_one_has_it(self, gate: Gate) -> None:
        """Whoever comes second is told no and woken when the seat is free."""
        bell = Bell()
        seat = taken(gate.enter(None))
        assert gate.is_seat(seat.number)
        assert gate.enter(bell) is None
        assert gate.enter(None) is None
        assert bell.rung == 0
        seat.release()
        assert bell.rung == 1
        assert not gate.is_seat(seat.number)
        assert gate.ended == 1
        assert gate.error is None
        taken(gate.enter(None)).release()
        assert bell.rung == 1

    def test_what_it_ended_with_is_left_behind(self, gate: Gate) -> None:
        """All who waited are told the one error; the next renewal wipes it out."""
        error = TokenEndpointError("down")
        taken(gate.enter(None)).release(error)
        assert gate.error is error
        taken(gate.enter(None)).release()
        assert gate.error is None

    def test_releasing_twice_releases_once(self, gate: Gate) -> None:
        """A ticket given back again does not give back somebody else's seat."""
        first = taken(gate.enter(None))
        first.release()
        second = taken(gate.enter(None))
        first.release()
        assert gate.is_seat(second.number)
        assert gate.ended == 1

    def test_whoever_gives_no_sign_of_life_loses_it(self, gate: Gate, clock: ManualClock) -> None:
        """After the deadline the next one takes the seat; the old one's ticket means nothing."""
        lost = taken(gate.enter(None))
        assert gate.seat_left == SEAT_TIMEOUT_S
        clock.advance(SEAT_TIMEOUT_S - 0.5)
        assert gate.enter(None) is None
        assert gate.seat_left == pytest.approx(0.5)
        clock.advance(1)
        assert gate.seat_left == 0
        bell = Bell()
        seat = taken(gate.enter(None))
        assert not gate.drain(lost.number, bell) or gate.begin_write(None)  # no door of its own
        lost.release()
        assert gate.is_seat(seat.number)
        assert gate.enter(bell) is None
        seat.release()
        assert bell.rung == 1

    def test_a_door_that_was_closed_opens_with_the_deadline(
        self, gate: Gate, clock: ManualClock
    ) -> None:
        """A renewer that died with the door closed keeps no write out for ever."""
        seat = taken(gate.enter(None))
        assert gate.drain(seat.number, Bell())
        assert gate.begin_write(None) is None
        clock.advance(SEAT_TIMEOUT_S + 1)
        assert gate.begin_write(None) is not None
        assert gate.enter(None) is not None
        assert gate.begin_write(None) is not None

    @pytest.mark.hazard(10)
    def test_it_is_given_back_by_the_garbage_collector(self, gate: Gate) -> None:
        """A flow that nobody resumes and nobody closes gives back what it held."""
        bell = Bell()
        Garbage(taken(gate.enter(None)))
        assert gate.enter(bell) is None
        gc.collect()
        assert bell.rung == 1
        assert gate.enter(None) is not None

    def test_it_is_given_back_from_another_thread(
        self, gate: Gate, in_threads: RunsThreads
    ) -> None:
        """Whoever waits in one thread is woken by a release in another."""
        seat = taken(gate.enter(None))
        waiter = SyncWaiter()
        assert gate.enter(waiter) is None
        with in_threads(seat.release):
            waiter.wait(30)
        assert gate.enter(None) is not None

    def test_threads_in_a_row(self, gate: Gate, in_threads: RunsThreads) -> None:
        """Many threads through one gate: never two inside, none left waiting."""
        inside: list[int] = []
        most = 0

        def pass_through() -> None:
            nonlocal most
            for _ in range(20):
                while True:
                    waiter = SyncWaiter()
                    seat = gate.enter(waiter)
                    if seat is not None:
                        break
                    waiter.wait(30)
                inside.append(seat.number)
                most = max(most, len(inside))
                inside.remove(seat.number)
                seat.release()

        with in_threads(*[pass_through] * 8):
            pass
        assert most == 1
        assert gate.ended == 160
        assert gate._waiters == []


class TestDoor:
    def test_writes_come_and_go_while_it_is_open(self, gate: Gate) -> None:
        """Without an exchange no write waits, not even while somebody has the seat."""
        with_seat = taken(gate.enter(None))
        writes = [taken(gate.begin_write(None)) for _ in range(3)]
        assert not gate.drain(with_seat.number, Bell())
        for write in writes:
            write.release()
        assert gate.drain(with_seat.number, Bell())

    def test_it_closes_while_an_exchange_drains(self, gate: Gate) -> None:
        """Writes in flight are waited for, new ones wait: rotation may kill their token."""
        seat = taken(gate.enter(None))
        first, second = taken(gate.begin_write(None)), taken(gate.begin_write(None))
        renewer, writer = Bell(), Bell()
        assert not gate.drain(seat.number, renewer)
        assert gate.begin_write(writer) is None
        assert gate.begin_write(None) is None
        first.release()
        assert renewer.rung == 0
        second.release()
        assert renewer.rung == 1
        assert gate.drain(seat.number, renewer)
        assert gate.begin_write(writer) is None
        woken = writer.rung
        seat.release()
        assert writer.rung > woken
        assert gate.begin_write(None) is not None

    def test_who_gave_up_waiting_is_not_woken(self, gate: Gate) -> None:
        """A waiter that was cancelled is forgotten; once more is harmless."""
        seat, bell = taken(gate.enter(None)), Bell()
        assert gate.enter(bell) is None
        gate.unregister(bell)
        gate.unregister(bell)
        seat.release()
        assert bell.rung == 0

    @pytest.mark.hazard(10)
    def test_a_write_dropped_as_garbage_is_no_longer_in_flight(self, gate: Gate) -> None:
        """A write abandoned with its event loop does not hold up renewals."""
        Garbage(taken(gate.begin_write(None)))
        seat, bell = taken(gate.enter(None)), Bell()
        assert not gate.drain(seat.number, bell)
        gc.collect()
        assert bell.rung == 1
        assert gate.drain(seat.number, bell)


class TestParents:
    def test_an_exchange_does_not_wait_for_the_write_it_happens_inside_of(self, gate: Gate) -> None:
        """In a hook of a write: who waits for it would wait for itself."""
        write = taken(gate.begin_write(None))
        seat = taken(gate.enter(None, (write.number,)))
        assert gate.drain(seat.number, Bell())
        write.release()
        assert gate.is_seat(seat.number)

    def test_nor_does_somebody_else_s(self, gate: Gate) -> None:
        """Who drains already is told at once that this write waits for it."""
        write, seat = taken(gate.begin_write(None)), taken(gate.enter(None))
        renewer = Bell()
        assert not gate.drain(seat.number, renewer)
        assert gate.enter(Bell(), (write.number,)) is None
        assert renewer.rung == 1
        assert gate.drain(seat.number, renewer)

    def test_a_write_inside_of_a_write_does_not_wait(self, gate: Gate) -> None:
        """The door is closed until the outer write ends, which waits for the inner one."""
        outer, seat = taken(gate.begin_write(None)), taken(gate.enter(None))
        assert not gate.drain(seat.number, Bell())
        assert gate.begin_write(Bell()) is None
        assert gate.begin_write(Bell(), (outer.number,)) is not None

    def test_a_write_inside_of_the_exchange_does_not_wait(self, gate: Gate) -> None:
        """In a hook of the exchange: the door opens when the hook is through."""
        seat = taken(gate.enter(None))
        assert gate.drain(seat.number, Bell())
        assert gate.begin_write(None) is None
        assert gate.begin_write(None, (seat.number,)) is not None

    def test_numbers_of_two_gates_are_never_the_same(self, clock: ManualClock) -> None:
        """What happens inside of one organization's write is not inside of another's."""
        gates = [Gate(SEAT_TIMEOUT_S, clock.monotonic) for _ in range(2)]
        first, second = (taken(gate.enter(None)) for gate in gates)
        assert not gates[1].is_seat(first.number)
        assert gates[1].drain(second.number, Bell())
        assert gates[1].begin_write(None, (first.number,)) is None


class TestGarbage:
    """Garbage is collected anywhere, also inside of a critical section of our own."""

    def test_inside_of_the_gate(self, gate: Gate) -> None:
        """A ticket that dies while its gate's mutex is held is given back right after."""
        seat, bell = taken(gate.enter(None)), Bell()
        tickets = [taken(gate.begin_write(None)) for _ in range(3)]

        class Collects:
            def wake(self) -> None:
                # Called inside of the mutex, by this very thread.
                assert gate._mutex.locked()
                tickets.clear()
                assert len(gate._writes) == 3

        assert gate.enter(Collects()) is None
        seat.release()
        assert gate._writes == set()
        assert gate.drain(taken(gate.enter(None)).number, bell)

    @pytest.mark.parametrize("method", ["enter", "begin_write", "drain", "unregister"])
    def test_in_every_method(
        self, method: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is released under any method's mutex is settled before that method returns."""
        gate = Gate(SEAT_TIMEOUT_S, clock.monotonic)
        seat = taken(gate.enter(None))
        writes = [taken(gate.begin_write(None)) for _ in range(2)]
        calls: dict[str, Callable[[], object]] = {
            "enter": lambda: gate.enter(Bell()),
            "begin_write": lambda: gate.begin_write(None),
            "drain": lambda: gate.drain(seat.number, Bell()),
            "unregister": lambda: gate.unregister(Bell()),
        }
        mutex = gate._mutex

        class Collecting:
            def __enter__(self) -> None:
                mutex.acquire()
                writes.clear()

            def __exit__(self, *_: object) -> None:
                mutex.release()

            acquire = staticmethod(mutex.acquire)
            release = staticmethod(mutex.release)

        numbers = {write.number for write in writes}
        monkeypatch.setattr(gate, "_mutex", Collecting())
        kept = calls[method]()
        assert gate._writes.isdisjoint(numbers)
        del kept

    def test_inside_of_a_thread_s_waiting(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch, in_threads: RunsThreads
    ) -> None:
        """A thread about to wait collects the garbage that wakes it: it does not hang.

        ``threading.Event`` would: its lock is held at that moment, by the same thread.
        """
        garbage = [taken(gate.enter(None))]
        waiter = SyncWaiter()
        assert gate.enter(waiter) is None
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
        assert gate.enter(None) is not None

    def test_inside_of_a_memory_store(self, in_threads: RunsThreads) -> None:
        """A lock that dies while its store's mutex is held, is released all the same."""
        store, key = MemoryStore(), StoreKey("https://cobo.test/v2", "client", "org")
        flows = [StoreAccess(store, key, 60.0)]
        assert flows[0].try_lock()

        def collect() -> None:
            with store._mutex:
                flows.clear()

        with in_threads(collect):
            pass
        assert store.try_lock(key, ttl=60.0) is not None

    def test_while_another_thread_has_the_mutex(self, gate: Gate, in_threads: RunsThreads) -> None:
        """A release never waits: whoever has the mutex settles it on the way out."""
        write = taken(gate.begin_write(None))
        waiter = SyncWaiter()
        seat = taken(gate.enter(None))
        assert not gate.drain(seat.number, waiter)
        released = threading.Event()

        def release() -> None:
            write.release()
            released.set()

        with gate._mutex, in_threads(release):
            assert released.wait(30)
            assert gate._writes == {write.number}
        gate.unregister(Bell())
        assert gate._writes == set()
        waiter.wait(30)


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

    @pytest.mark.hazard(14)
    @pytest.mark.anyio
    async def test_a_task_is_woken_from_a_thread(self, gate: Gate) -> None:
        """No event loop is needed to give back, only to wait."""
        seat = taken(gate.enter(None))
        waiter = AsyncWaiter()

        async def in_thread() -> None:
            await anyio.to_thread.run_sync(seat.release)

        assert gate.enter(waiter) is None
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(in_thread)
                await waiter.wait(60)
        assert gate.enter(None) is not None

    @pytest.mark.anyio
    async def test_a_task_waits_no_longer_than_it_said(self) -> None:
        """A wait is finite, whether or not anybody wakes."""
        await AsyncWaiter().wait(0.001)

    @pytest.mark.hazard(14)
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_waking_a_loop_that_is_closed_is_harmless(self, gate: Gate, backend: str) -> None:
        """The others who wait are woken all the same."""
        seat, before, after = taken(gate.enter(None)), Bell(), Bell()

        async def wait() -> None:
            await anyio.lowlevel.checkpoint()
            assert gate.enter(AsyncWaiter()) is None

        assert gate.enter(before) is None
        anyio.run(wait, backend=backend)
        assert gate.enter(after) is None
        seat.release()
        assert (before.rung, after.rung) == (1, 1)


class Loop:
    """An event loop, as far as the gate is concerned."""

    def __init__(self) -> None:
        self.closed = False

    def is_closed(self) -> bool:
        return self.closed


@pytest.mark.hazard(10, 14)
class TestHomes:
    """An event loop that is closed takes along what was held in it."""

    def test_a_seat(self, gate: Gate) -> None:
        """The next one takes it at once; the door of the old one is open."""
        loop = Loop()
        left = taken(gate.enter(None, (), loop))
        assert gate.drain(left.number, Bell())
        assert gate.enter(None) is None
        assert gate.begin_write(None) is None
        loop.closed = True
        assert gate.begin_write(None) is not None
        seat = taken(gate.enter(None))
        left.release()
        assert gate.is_seat(seat.number)
        assert gate._homes == {}

    def test_a_write(self, gate: Gate) -> None:
        """It is not waited for; one in a loop that runs is."""
        gone, runs = Loop(), Loop()
        writes = [taken(gate.begin_write(None, (), loop)) for loop in (gone, runs)]
        seat = taken(gate.enter(None))
        assert not gate.drain(seat.number, Bell())
        gone.closed = True
        assert not gate.drain(seat.number, Bell())
        writes[1].release()
        assert gate.drain(seat.number, Bell())
        writes[0].release()
        assert gate._homes == {}
