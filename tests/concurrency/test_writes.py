"""Rotation kills the old token at once, and a write is not repeated: so the two never cross."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from httpx_cobo_auth import MemoryStore, Timeouts
from tests.held import door_closed, until, waiting

if TYPE_CHECKING:
    import httpx

    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.concurrency.conftest import RunsThreads
    from tests.conftest import MakesAuth

WRITERS = 4
RENEWALS = 30
# A margin of a tenth of the lifetime is what a request may take on the way. Half of it passes
# while each of the writers writes once.
LIFETIME_S = 120
ROUND_S = LIFETIME_S / 10 / 2

_ids = itertools.count()


def transfer() -> dict[str, Any]:
    """Make a transfer, unlike any other."""
    return {"json": {"request_id": f"transfer-{next(_ids)}"}}


def check(simulator: CoboSimulator, statuses: list[int]) -> None:
    """Every write was accepted at its first and only arrival."""
    counters = simulator.counters
    assert set(statuses) == {201}
    assert counters.executed_writes == len(statuses)
    assert counters.requests == len(statuses)
    assert counters.bounced_writes == 0
    assert counters.duplicate_request_ids == 0
    assert counters.spent_refresh_reused == 0


class TestShortLives:
    """Tokens that live for some dozens of writes; time passes with each write."""

    @pytest.fixture
    def short_lived(self, simulator: CoboSimulator) -> CoboSimulator:
        simulator.token_lifetime = LIFETIME_S
        return simulator

    @pytest.mark.hazard(42)
    @pytest.mark.anyio
    async def test_tasks_write_through_renewals(
        self, short_lived: CoboSimulator, clock: ManualClock, make_auth: MakesAuth
    ) -> None:
        """No write bounces, none arrives twice."""
        statuses: list[int] = []
        counters = short_lived.counters
        async with make_auth(short_lived).async_client(transport=short_lived) as client:

            async def write() -> None:
                while counters.exchanges < RENEWALS:
                    response = await client.post("/transactions/transfer", **transfer())
                    statuses.append(response.status_code)
                    clock.advance(ROUND_S / WRITERS)

            async with anyio.create_task_group() as group:
                for _ in range(WRITERS):
                    group.start_soon(write)
        check(short_lived, statuses)
        assert counters.refreshes == RENEWALS - 1

    def test_threads_write_through_renewals(
        self,
        short_lived: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        in_threads: RunsThreads,
    ) -> None:
        """The same for threads; time passes when all have written, for one may be slow."""
        statuses: list[int] = []
        counters = short_lived.counters
        client = make_auth(short_lived).client(transport=short_lived)
        done = False

        def pass_time() -> None:
            nonlocal done
            clock.advance(ROUND_S)
            done = counters.exchanges == RENEWALS

        together = threading.Barrier(WRITERS, pass_time, 30)

        def write() -> None:
            while not done:
                response = client.post("/transactions/transfer", **transfer())
                statuses.append(response.status_code)
                together.wait()

        with client, in_threads(*[write] * WRITERS):
            pass
        check(short_lived, statuses)
        assert counters.refreshes == RENEWALS - 1


class TestRenewals:
    """Renewals asked for, one after another, while others write."""

    @pytest.mark.hazard(42)
    @pytest.mark.anyio
    async def test_tasks_write_while_tokens_are_renewed(
        self, reachable: dict[str, Any], running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """No write bounces, none arrives twice."""
        auth, statuses = make_auth(running), list[int]()
        done = False
        async with auth.async_client(**reachable) as client:

            async def write() -> None:
                while not done:
                    response = await client.post("/transactions/transfer", **transfer())
                    statuses.append(response.status_code)

            async with anyio.create_task_group() as group:
                for _ in range(WRITERS):
                    group.start_soon(write)
                for number in range(1, RENEWALS + 1):
                    await auth.arenew(client)
                    while len(statuses) < number * WRITERS:
                        await anyio.lowlevel.checkpoint()
                done = True
        check(running, statuses)
        assert running.counters.exchanges >= RENEWALS

    @pytest.mark.hazard(42)
    def test_threads_write_while_tokens_are_renewed(
        self,
        reachable: dict[str, Any],
        running: CoboSimulator,
        make_auth: MakesAuth,
        in_threads: RunsThreads,
    ) -> None:
        """The same for threads."""
        auth, statuses = make_auth(running), list[int]()
        done = threading.Event()
        client = auth.client(**reachable)

        def write() -> None:
            while not done.is_set():
                response = client.post("/transactions/transfer", **transfer())
                statuses.append(response.status_code)

        def renew() -> None:
            try:
                for _ in range(RENEWALS):
                    auth.renew(client)
            finally:
                done.set()

        with client, in_threads(renew, *[write] * WRITERS):
            pass
        check(running, statuses)
        assert running.counters.exchanges >= RENEWALS


class TestOrder:
    """What waits for what, seen step by step."""

    @pytest.mark.hazard(42)
    def test_an_exchange_waits_for_a_write_in_flight(
        self, running: CoboSimulator, make_auth: MakesAuth, in_threads: RunsThreads
    ) -> None:
        """A renewal is sent when the write's answer is there, and not before."""
        auth = make_auth(running)
        with auth.client(transport=running) as client:
            client.get("/wallets").raise_for_status()
            hold = running.hold("/v2/transactions")
            answers: list[httpx.Response] = []

            def write() -> None:
                answers.append(client.post("/transactions/transfer", **transfer()))

            def renew() -> None:
                hold.wait_arrived()
                auth.renew(client)

            with in_threads(write, renew):
                hold.wait_arrived()
                until(lambda: door_closed(auth))
                assert running.counters.exchanges == 1
                hold.release()
        assert running.counters.exchanges == 2
        assert answers[0].status_code == 201

    def test_a_write_waits_for_an_exchange_under_way(
        self, running: CoboSimulator, make_auth: MakesAuth, in_threads: RunsThreads
    ) -> None:
        """It is sent with the new token; a read goes on with the old one meanwhile."""
        running.rotation_kills = False
        auth = make_auth(running)
        with auth.client(transport=running) as client:
            client.get("/wallets").raise_for_status()
            hold = running.hold("token")

            def write() -> None:
                client.post("/transactions/transfer", **transfer()).raise_for_status()

            with in_threads(lambda: auth.renew(client)):
                hold.wait_arrived()
                with in_threads(write):
                    until(lambda: waiting(auth) > 0)
                    client.get("/wallets").raise_for_status()
                    assert running.counters.executed_writes == 0
                    hold.release()
        assert running.counters.executed_writes == 1
        bearers = [dict(entry.headers).get(b"Authorization") for entry in running.log]
        first, read, write_ = (bearer for bearer in bearers if bearer is not None)
        assert first == read != write_

    def test_a_write_that_is_stuck_does_not_keep_others_from_renewing(
        self,
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
        in_threads: RunsThreads,
    ) -> None:
        """Draining is bounded: an expired token is renewed all the same."""
        auth = make_auth(running, timeouts=Timeouts(drain=0.05))
        with auth.client(transport=running, timeout=None) as client:
            client.get("/wallets").raise_for_status()
            hold = running.hold("/v2/transactions")

            def write() -> None:
                client.post("/transactions/transfer", **transfer()).raise_for_status()

            with in_threads(write):
                hold.wait_arrived()
                ticking.advance(running.token_lifetime)
                client.get("/wallets").raise_for_status()
                hold.release()
        assert running.counters.exchanges == 2

    @pytest.mark.hazard(48)
    def test_writes_wait_side_by_side_for_a_lock_that_is_held_elsewhere(
        self,
        running: CoboSimulator,
        ticking: ManualClock,
        make_auth: MakesAuth,
        in_threads: RunsThreads,
    ) -> None:
        """Each for one limit, and not one behind the other; then with the current token."""
        limit, writers, store = 0.3, 10, MemoryStore()
        auth = make_auth(running, store=store, timeouts=Timeouts(early_exchange=limit))
        with auth.client(transport=running) as client:
            client.get("/wallets").raise_for_status()
            ticking.advance(running.token_lifetime - 60)
            lock = store.try_lock(auth._session.account.key, ttl=60)
            assert lock is not None

            def write() -> None:
                client.post("/transactions/transfer", **transfer()).raise_for_status()

            began = time.monotonic()
            with in_threads(*[write] * writers):
                pass
            took = time.monotonic() - began
            lock.release()
        assert running.counters.executed_writes == writers
        assert running.counters.exchanges == 1
        assert took < limit * writers / 2
