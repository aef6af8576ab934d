"""What callers feel of a renewal: how long the slowest calls take, as a share of the exchange.

The token endpoint takes 0.6 s. *Early*: the token works, and is to be renewed; calls are made all
the while, alone or ten at a time. *Impatient*: the token has expired, and each call gives up after
a third of the exchange.

The old token lives on, as with ``allow_multiple_tokens``. Where the exchange kills it at once, a
read that meets the dead token has to wait for the new one, and takes as long as a write.
"""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio

from httpx_cobo_auth import CoboOAuth
from httpx_cobo_auth.testing import CoboSimulator, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from httpx_cobo_auth import Environment

EXCHANGE_S = 0.6
WATCHED_S = 1.0
ROUNDS = 4
KINDS = ("sync", "asyncio", "trio")
CROWDS = (1, 10)


class Bench:
    """One organization, whose token can be made to age."""

    def __init__(
        self, simulator: CoboSimulator, environment: Environment, clock: ManualClock
    ) -> None:
        self._simulator = simulator
        self._clock = clock
        self.auth = CoboOAuth(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            org_id=simulator.org_id,
            environment=environment,
            clock=clock,
        )

    @contextmanager
    def aged(self, left: float) -> Generator[None]:
        """Have the token that many seconds to live, and the endpoint be slow."""
        with self.auth.client() as client:
            self.auth.renew(client)
        self._clock.advance(self._simulator.token_lifetime - left)
        with self._simulator.inject("token", "delay", delay_s=EXCHANGE_S, times=None):
            yield
            deadline = time.monotonic() + EXCHANGE_S + 1.0
            while self.auth.status().state.value != "fresh" and time.monotonic() < deadline:
                time.sleep(0.01)

    def early(self, kind: str, method: str, crowd: int) -> list[float]:
        """Give the seconds of all calls that were made during an early renewal."""
        with self.aged(600.0):
            if kind == "sync":
                return self._in_threads(method, crowd)
            return anyio.run(self._in_tasks, method, crowd, backend=kind)

    def _in_threads(self, method: str, crowd: int) -> list[float]:
        took: list[float] = []
        until = time.monotonic() + WATCHED_S

        def work() -> None:
            while time.monotonic() < until:
                begun = time.perf_counter()
                client.request(method, "/echo").raise_for_status()
                took.append(time.perf_counter() - begun)
                time.sleep(0.005)

        with self.auth.client() as client:
            threads = [threading.Thread(target=work) for _ in range(crowd)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return took

    async def _in_tasks(self, method: str, crowd: int) -> list[float]:
        took: list[float] = []
        until = time.monotonic() + WATCHED_S

        async def work() -> None:
            while time.monotonic() < until:
                begun = time.perf_counter()
                (await client.request(method, "/echo")).raise_for_status()
                took.append(time.perf_counter() - begun)
                await anyio.sleep(0.005)

        async with self.auth.async_client() as client, anyio.create_task_group() as tasks:
            for _ in range(crowd):
                tasks.start_soon(work)
        return took

    async def impatient(self) -> list[bool]:
        """Say of each call that began after the first exchange's time whether it succeeded."""
        outcomes: list[bool] = []
        begun = time.monotonic()
        async with self.auth.async_client() as client:
            while time.monotonic() < begun + 2 * EXCHANGE_S:
                late = time.monotonic() > begun + EXCHANGE_S + 0.05
                with anyio.move_on_after(EXCHANGE_S / 3) as scope:
                    (await client.get("/echo")).raise_for_status()
                if late:
                    outcomes.append(not scope.cancelled_caught)
                await anyio.sleep(0.02)
        return outcomes


def show(what: str, seconds: float) -> None:
    """Print one line."""
    print(
        f"{what:<66}{seconds / EXCHANGE_S:6.2f} x   {seconds * 1e3:,.1f} / {EXCHANGE_S * 1e3:g} ms"
    )


def several(measure: Callable[[], list[float]]) -> list[float]:
    """Measure again and again, and give all that was measured."""
    return [seconds for _ in range(ROUNDS) for seconds in measure()]


def main() -> None:
    """Print every line."""
    clock = ManualClock(running=True)
    simulator = CoboSimulator(clock=clock, check_nonce=False, rotation_kills=False)
    with simulator.serve() as environment:
        bench = Bench(simulator, environment, clock)
        for method, calls in (("GET", "read"), ("POST", "write")):
            for kind in KINDS:
                for crowd in CROWDS:
                    took = several(partial(bench.early, kind, method, crowd))
                    who = f"{kind}, {'alone' if crowd == 1 else f'among {crowd}'}"
                    show(f"worst {calls} through an early renewal, {who} / exchange", max(took))
                    last = statistics.quantiles(took, n=100)[-1]
                    show("    99th percentile", last)
        for kind in KINDS[1:]:
            outcomes: list[bool] = []
            for _ in range(ROUNDS):
                with bench.aged(0.0):
                    outcomes += anyio.run(bench.impatient, backend=kind)
            print(
                f"calls that give up after a third of the exchange, {kind}: {sum(outcomes)} of "
                f"{len(outcomes)} succeed after the first exchange's time"
            )


if __name__ == "__main__":
    main()
