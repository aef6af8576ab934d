"""A machine whose clock is wrong, and whose first requests are many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import CoboOAuth, httpx

if TYPE_CHECKING:
    from tests.concurrency.conftest import RunsThreads

CALLERS = 8


def auth_of(simulator: CoboSimulator, off: float) -> CoboOAuth:
    return CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        clock=ManualClock(simulator.clock.time() + off, running=True),
    )


@pytest.mark.parametrize("off", [3600.0, -3600.0])
def test_each_of_many_refused_for_a_wrong_clock_is_replayed_in_threads(
    running: CoboSimulator, in_threads: RunsThreads, off: float
) -> None:
    """The first to be refused corrects the nonce; the others were refused for the same clock."""
    auth = auth_of(running, off)
    with httpx.Client(base_url=running.environment.base_url, transport=running) as client:
        auth.token(client)  # the exchange corrects the nonce ...
        auth._session.wire.nonces.correct_by(off)  # ... and here it is wrong again
        statuses: list[int] = []
        with (
            running.hold("api") as hold,
            in_threads(
                *[lambda: statuses.append(client.get("/wallets", auth=auth).status_code)] * CALLERS
            ),
        ):
            hold.wait_arrived(CALLERS)
            hold.release()
    assert statuses == [200] * CALLERS
    assert running.counters.exchanges == 2
    assert running.counters.requests == 2 * CALLERS


async def test_each_of_many_refused_for_a_wrong_clock_is_replayed_in_tasks(
    running: CoboSimulator,
) -> None:
    """All were signed before the first correction: each is replayed, once, and succeeds."""
    auth = auth_of(running, 3600.0)
    statuses: list[int] = []
    async with httpx.AsyncClient(
        base_url=running.environment.base_url, transport=running
    ) as client:
        await auth.atoken(client)
        auth._session.wire.nonces.correct_by(3600.0)

        async def call() -> None:
            statuses.append((await client.get("/wallets", auth=auth)).status_code)

        with running.hold("api") as hold:
            async with anyio.create_task_group() as tasks:
                for _ in range(CALLERS):
                    tasks.start_soon(call)
                await hold.await_arrived(CALLERS)
                hold.release()
    assert statuses == [200] * CALLERS
    assert running.counters.requests == 2 * CALLERS
