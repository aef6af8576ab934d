"""However many ask at the same moment, and from wherever: one exchange, and nobody fails."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio

from httpx_cobo_auth import MemoryStore
from tests.family import CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.concurrency.conftest import RunsThreads
    from tests.conftest import MakesAuth

    Run = Callable[[Callable[[], Awaitable[object]]], object]

TASKS = 120
THREADS = 64


def run_asyncio(main: Callable[[], Awaitable[object]]) -> object:
    """Run in a new asyncio loop."""

    async def call() -> object:
        return await main()

    return asyncio.run(call())


def run_trio(main: Callable[[], Awaitable[object]]) -> object:
    """Run in a new trio loop."""
    return trio.run(main)


@contextmanager
def one_exchange(simulator: CoboSimulator, requests: int) -> Generator[None]:
    """Check that so many requests are answered by one exchange.

    A read that the exchange overtakes on its way is refused and replayed: that is no failure.
    """
    counters = simulator.counters
    before = counters.exchanges, counters.requests
    yield
    assert counters.exchanges - before[0] == 1
    assert counters.requests - counters.rejected - before[1] == requests
    assert counters.spent_refresh_reused == 0


def expired(
    auth: CoboOAuth,
    simulator: CoboSimulator,
    clock: ManualClock,
    **options: Any,  # noqa: ANN401 - httpx's own
) -> None:
    """Let ``auth`` hold a token that has just expired."""
    with auth.client(**options) as client:
        client.get("/wallets").raise_for_status()
    clock.advance(simulator.token_lifetime)


async def aburst(client: httpx.AsyncClient, count: int) -> None:
    """Ask so many times at once."""

    async def ask() -> None:
        (await client.get("/wallets")).raise_for_status()

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(ask)


class TestOneKind:
    @pytest.mark.hazard(11)
    @pytest.mark.anyio
    async def test_tasks_just_after_expiry(
        self,
        reachable: dict[str, Any],
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
    ) -> None:
        """300 tasks, asyncio or trio, renew once; the refresh token is sent once."""
        auth = make_auth(running)
        async with auth.async_client(**reachable) as client:
            (await client.get("/wallets")).raise_for_status()
            ticking.advance(running.token_lifetime)
            with one_exchange(running, TASKS):
                await aburst(client, TASKS)

    @pytest.mark.anyio
    async def test_tasks_with_a_client_of_one_s_own(
        self,
        reachable: dict[str, Any],
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
    ) -> None:
        """The same with ``auth=``, where the exchange travels through one of the flows."""
        auth = make_auth(running)
        url = auth.environment.base_url
        async with httpx.AsyncClient(base_url=url, auth=auth, **reachable) as client:
            (await client.get("/wallets")).raise_for_status()
            ticking.advance(running.token_lifetime)
            with one_exchange(running, TASKS):
                await aburst(client, TASKS)

    @pytest.mark.hazard(11)
    @pytest.mark.anyio
    async def test_the_first_requests_of_all(
        self, reachable: dict[str, Any], running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """Without any token so far: one ``org_implicit`` for all."""
        async with make_auth(running).async_client(**reachable) as client:
            with one_exchange(running, TASKS):
                await aburst(client, TASKS)
        assert running.counters.implicits == 1

    @pytest.mark.hazard(11)
    @pytest.mark.parametrize("own_client", [False, True])
    def test_threads_just_after_expiry(
        self,
        *,
        own_client: bool,
        reachable: dict[str, Any],
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
        in_threads: RunsThreads,
    ) -> None:
        """64 threads, on one client, renew once."""
        auth = make_auth(running)
        expired(auth, running, ticking, **reachable)
        client = (
            httpx.Client(base_url=auth.environment.base_url, auth=auth, **reachable)
            if own_client
            else auth.client(**reachable)
        )

        def ask() -> None:
            client.get("/wallets").raise_for_status()

        with client, one_exchange(running, THREADS), in_threads(*[ask] * THREADS):
            pass

    @pytest.mark.hazard(9)
    @pytest.mark.anyio
    async def test_objects_made_anew_for_each_request(
        self, running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth
    ) -> None:
        """What they share is the store: token, renewal, and nonces never used twice."""
        store = MemoryStore()
        url = running.environment.base_url
        async with httpx.AsyncClient(base_url=url, transport=running) as client:
            with one_exchange(running, 1):
                await client.get("/wallets", auth=make_auth(running, store=store))
            ticking.advance(running.token_lifetime)

            async def ask() -> None:
                auth = make_auth(running, store=store)
                (await client.get("/wallets", auth=auth)).raise_for_status()

            with one_exchange(running, TASKS):
                async with anyio.create_task_group() as group:
                    for _ in range(TASKS):
                        group.start_soon(ask)
        assert running.counters.nonce_reused == 0

    @pytest.mark.hazard(9)
    def test_objects_made_anew_one_after_another(
        self, simulator: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """Nor does anything depend on the first object being still there."""
        store = MemoryStore()
        with (
            httpx.Client(base_url=simulator.environment.base_url, transport=simulator) as client,
            one_exchange(simulator, 50),
        ):
            for _ in range(50):
                auth = make_auth(simulator, store=store)
                client.get("/wallets", auth=auth).raise_for_status()
        assert simulator.counters.nonce_reused == 0


class TestLoops:
    @pytest.mark.hazard(14)
    @pytest.mark.parametrize(
        "runs",
        [[run_asyncio] * 2, [run_trio] * 2, [run_asyncio, run_trio], [run_trio, run_asyncio]],
        ids=["asyncio-asyncio", "trio-trio", "asyncio-trio", "trio-asyncio"],
    )
    def test_one_after_another(
        self,
        runs: list[Run],
        reachable: dict[str, Any],
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
    ) -> None:
        """One auth object in successive loops, with contention in each."""
        auth = make_auth(running)

        async def main() -> None:
            async with auth.async_client(**reachable) as client:
                await aburst(client, 30)

        for run in runs:
            with one_exchange(running, 30):
                run(main)
            ticking.advance(running.token_lifetime)

    @pytest.mark.hazard(14)
    def test_two_at_a_time_in_each_of_two_threads(
        self,
        reachable: dict[str, Any],
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
        in_threads: RunsThreads,
    ) -> None:
        """Two threads, each with one loop after another, at the same time."""
        auth = make_auth(running)
        expired(auth, running, ticking, **reachable)

        async def main() -> None:
            async with auth.async_client(**reachable) as client:
                await aburst(client, 30)

        def both() -> None:
            run_asyncio(main)
            run_asyncio(main)

        with one_exchange(running, 120), in_threads(both, both):
            pass

    @pytest.mark.hazard(14, 30)
    def test_all_kinds_at_once(
        self,
        reachable: dict[str, Any],
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
        in_threads: RunsThreads,
    ) -> None:
        """asyncio, trio and threads wait at one gate."""
        auth = make_auth(running)
        expired(auth, running, ticking, **reachable)

        async def main() -> None:
            async with auth.async_client(**reachable) as client:
                await aburst(client, 30)

        client = auth.client(**reachable)

        def ask() -> None:
            client.get("/wallets").raise_for_status()

        loops = [lambda: run_asyncio(main), lambda: run_trio(main)] * 2
        with client, one_exchange(running, 4 * 30 + 8), in_threads(*loops, *[ask] * 8):
            pass

    @pytest.mark.hazard(29)
    def test_a_token_that_lives_five_seconds(
        self, simulator: CoboSimulator, clock: ManualClock, make_auth: MakesAuth
    ) -> None:
        """It is renewed about once in its life, not at every request."""
        simulator.token_lifetime = 5
        with make_auth(simulator).client(transport=simulator) as client:
            for _ in range(200):
                client.get("/wallets").raise_for_status()
                clock.advance(0.25)
        assert simulator.counters.exchanges <= 50 / 5 * 1.6
        # A read may meet the exchange that runs beside it, and is sent once more then.
        assert simulator.counters.rejected <= simulator.counters.exchanges
