"""Requests can be stopped between effect and answer; time can be set."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import httpx
from tests.simulated import UNREACHABLE, App

pytestmark = pytest.mark.anyio


class TestHold:
    def test_a_held_exchange_has_taken_effect(self, app: App) -> None:
        """Between effect and answer the test may do as it likes."""
        with ThreadPoolExecutor() as pool:
            with app.simulator.hold("token") as hold:
                answer = pool.submit(app.implicit)
                hold.wait_arrived()
                assert hold.arrived.is_set()
                assert app.simulator.counters.issued == 1
                assert not answer.done()
            assert answer.result(10).status_code == 200
        assert app.implicit().status_code == 200  # the hold is over

    async def test_a_held_task_leaves_the_loop_free(self, app: App, bearer: str) -> None:
        """Any number may be held; others pass."""
        answers: list[int] = []
        hold = app.simulator.hold("/v2/echo", method="GET")
        async with httpx.AsyncClient(transport=app.simulator) as client:

            async def read(method: str) -> None:
                response = await client.send(app.request(method, "/v2/echo", bearer=bearer))
                answers.append(response.status_code)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read, "GET")
                tasks.start_soon(read, "GET")
                await hold.await_arrived(2)
                await read("POST")
                assert answers == [200]
                hold.release()
        assert (answers, hold.count) == ([200, 200, 200], 2)

    def test_a_hold_counts_towards_the_read_timeout(self, app: App, bearer: str) -> None:
        """As it would over a socket."""
        headers = app.headers("GET", "/v2/echo", bearer=bearer)
        with (
            app.simulator.hold(),
            httpx.Client(transport=app.simulator, timeout=0.01) as client,
            pytest.raises(httpx.ReadTimeout),
        ):
            client.get(f"{UNREACHABLE}/v2/echo", headers=headers)

    async def test_a_task_gives_up_waiting_too(self, app: App, bearer: str) -> None:
        """The same without blocking the event loop."""
        headers = app.headers("GET", "/v2/echo", bearer=bearer)
        async with httpx.AsyncClient(transport=app.simulator, timeout=0.01) as client:
            with app.simulator.hold(), pytest.raises(httpx.ReadTimeout):
                await client.get(f"{UNREACHABLE}/v2/echo", headers=headers)

    async def test_waiting_for_a_hold_has_an_end(self, simulator: CoboSimulator) -> None:
        """A request that never comes is an error of the test, in finite time."""
        hold = simulator.hold("token")
        with pytest.raises(TimeoutError, match="0 of 1"):
            hold.wait_arrived(timeout_s=0.01)
        with pytest.raises(TimeoutError):
            await hold.await_arrived(timeout_s=0.01)


class TestClock:
    def test_a_manual_clock_stands_still(self) -> None:
        """Both readings move by what the test adds, and by nothing else."""
        clock = ManualClock(1000.0)
        before = clock.monotonic()
        clock.advance(5)
        clock.step(-100)
        assert (clock.time(), clock.monotonic() - before) == (905.0, 5.0)
        assert repr(clock) == "ManualClock(905.0, running=False)"

    def test_a_running_clock_adds_real_time(self) -> None:
        """By default from the machine's time on; the monotonic reading never goes back."""
        clock = ManualClock(running=True)
        assert abs(clock.time() - time.time()) < 5
        readings = [clock.monotonic() for _ in range(1000)]
        assert readings == sorted(readings)
        assert readings[-1] > readings[0]

    def test_time_does_not_run_backwards(self) -> None:
        """Only the wall clock may be set back."""
        with pytest.raises(ValueError, match="step"):
            ManualClock().advance(-1)

    def test_the_simulators_own_clock_runs(self) -> None:
        """So that sockets and other processes meet a server whose time is theirs."""
        assert "running=True" in repr(CoboSimulator().clock)
