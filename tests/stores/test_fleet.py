"""Many processes over one store: one exchange for each expiry, and nobody notices."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stores.conftest import Fleet, RedisServer
    from tests.stores.databases import DatabaseServer

LIFETIME_S = 4
LONG = float(os.environ.get("COBO_LONG_TESTS_S", "0"))
"""For how long processes are killed at random; 0 for a few seconds."""
WAYS = ["asyncio", "trio", "threads", "asyncio", "trio", "threads", "asyncio", "threads"]


@pytest.fixture(params=["file", "redis", "keyring", "sql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """What the processes share."""
    match request.param:
        case "file":
            return ["file", str(tmp_path / "tokens")]
        case "redis":
            server: RedisServer = request.getfixturevalue("redis_server")
            return ["redis", server.url]
        case "sql":
            return ["sql", with_table(request.getfixturevalue("postgres"))]
        case _:
            request.getfixturevalue("secret_service")
            return ["keyring", tmp_path.name]


def with_table(server: DatabaseServer) -> str:
    """Create the table, as a migration would before the processes start."""
    from httpx_cobo_auth import SqlStore  # noqa: PLC0415 - coverage has begun by now

    store = SqlStore(server.url)
    store.create_table()
    store.close()
    return server.url


def check(fleet: Fleet, lifetime_s: float) -> None:
    """Every request succeeded; every exchange was the only one of its expiry."""
    counters = fleet.simulator.counters
    assert counters.spent_refresh_reused == 0
    assert counters.bad_signatures == 0
    assert counters.implicits == 1
    assert counters.exchanges == counters.issued > 1
    times = [entry.at for entry in fleet.exchanges()]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap > lifetime_s / 2 for gap in gaps), gaps


def check_reports(reports: list[dict[str, Any]], processes: int) -> None:
    assert len(reports) == processes
    for report in reports:
        assert set(report["outcomes"]) == {"200"}, report


@pytest.mark.hazard(12)
def test_eight_processes_renew_once(make_fleet: Callable[..., Fleet], store: list[str]) -> None:
    """8 processes x 16 tasks, on asyncio, trio and threads, through a first token and a renewal.

    Half as many where each call of the store takes longer. One of them forks while it holds the
    lock, and its child joins in.
    """
    fleet = make_fleet(token_lifetime=LIFETIME_S)
    ways = WAYS if store[0] in {"file", "redis"} else WAYS[-4:]
    for way in ways[:-1]:
        fleet.start(how=way, store=store)
    fleet.start(how=ways[-1], store=store, fork=True)
    fleet.go()
    fleet.work_until(issued=2)
    check_reports(fleet.reports(), len(ways) + 1)
    check(fleet, LIFETIME_S)


@pytest.mark.hazard(42)
def test_writes_of_four_processes_never_bounce(
    make_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    """They write without a pause through renewals that kill the old token at once."""
    lifetime_s = 4
    fleet = make_fleet(token_lifetime=lifetime_s)
    for way in ("asyncio", "trio", "threads", "asyncio"):
        fleet.start(
            how=way,
            store=["file", str(tmp_path / "tokens")],
            method="POST",
            tasks=3,
            pause=0,
        )
    fleet.go()
    fleet.work_until(issued=3)
    reports = fleet.reports()
    for report in reports:
        assert set(report["outcomes"]) <= {"200", "201"}, report
    counters = fleet.simulator.counters
    assert counters.bounced_writes == counters.rejected == 0
    assert counters.executed_writes == sum(sum(r["outcomes"].values()) for r in reports)
    assert counters.executed_writes > 100
    check(fleet, lifetime_s)


@pytest.mark.hazard(20)
def test_a_process_killed_at_any_step_of_a_renewal_harms_nobody(
    make_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    """Before and after each system call that matters; the next one always gets through.

    The simulator revokes everything when a spent token comes again; so none may.
    """
    fleet = make_fleet()
    store = ["file", str(tmp_path / "tokens")]
    fleet.start("mortal", how="steps", store=store, timeouts={"grace": 0.01})
    fleet.go()
    [report] = fleet.reports()
    assert report["deaths"] > 30
    assert fleet.simulator.counters.spent_refresh_reused == 0
    assert fleet.simulator.counters.rejected == 0


@pytest.mark.hazard(12)
@pytest.mark.parametrize("kind", ["file", "redis", "sql"])
def test_processes_killed_at_random_harm_nobody(
    make_fleet: Callable[..., Fleet], kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Three at once, for seconds here, for ``COBO_LONG_TESTS_S`` seconds where that is set."""
    store = ["file", str(tmp_path / "tokens")]
    if kind == "redis":
        store = ["redis", request.getfixturevalue("redis_server").url]
    elif kind == "sql":
        store = ["sql", with_table(request.getfixturevalue("postgres"))]
    fleet = make_fleet()
    for seed in range(3):
        fleet.start(
            "mortal",
            how="random",
            store=store,
            seed=seed,
            seconds=LONG or 3,
            longest=0.15,
            # In Redis and databases a lock outlives its owner by some seconds more than these.
            timeouts={
                "exchange": 1,
                "early_exchange": 1,
                "drain": 0.1,
                "grace": 0.1,
                "lock": 60,
            },
        )
    fleet.go()
    reports = fleet.reports()
    assert sum(report["deaths"] for report in reports) >= 3
    sent, counters = fleet.refresh_tokens(), fleet.simulator.counters
    assert sent
    # Not that none was spent when it arrived: what a process sent in the moment of its death may
    # be overtaken by the exchange of the next one. But none was ever sent twice.
    assert len(set(sent)) == len(sent)
    assert counters.spent_refresh_reused <= 1 + counters.implicits / 20
    # Some died in the midst of an exchange: their refresh tokens were not sent again.
    assert kind != "file" or counters.implicits > 1
