"""The testing kit and its pytest plugin. For type checkers alone: never run."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, assert_type

import httpx
import httpx2
import pytest

from httpx_cobo_auth import CoboOAuth, Environment, FileStore
from httpx_cobo_auth import httpx2 as over_httpx2
from httpx_cobo_auth.testing import (
    CoboSimulator,
    Counters,
    Credentials,
    Expectation,
    Fault,
    Hold,
    IssuedToken,
    LogEntry,
    ManualClock,
    StoreContract,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from httpx_cobo_auth import TokenStore
    from httpx_cobo_auth._protocol.records import StoreKey

clock = ManualClock(1.5e9, running=True)
clock.advance(13 * 3600)
clock.step(-60)
assert_type((clock.time(), clock.monotonic()), tuple[float, float])

simulator = CoboSimulator(clock=clock, token_lifetime=600)
assert_type(simulator.environment, Environment)
assert_type(simulator.credentials, Credentials)
auth = CoboOAuth(**simulator.credentials)
CoboOAuth(**simulator.credentials, store=FileStore("tokens"), replay_writes=True)
other = over_httpx2.CoboOAuth(**simulator.credentials)
CoboSimulator(clocks=clock)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[unknown-argument]

# Ways in.
httpx.Client(transport=simulator)
httpx.AsyncClient(transport=simulator)
assert_type(auth.client(transport=simulator), httpx.Client)
assert_type(other.client(transport=simulator), httpx2.Client)
# It works, but httpx2 asks for a class of its own, which the simulator cannot be without it.
httpx2.Client(transport=simulator)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
assert_type(simulator.handle_request(httpx.Request("GET", "/")), httpx.Response)
assert_type(simulator.handle_request(httpx2.Request("GET", "/")), httpx2.Response)
with simulator.serve() as served, simulator.serve(port=80):
    assert_type(served, Environment)

# What has happened.
assert_type(simulator.counters, Counters)
assert_type(simulator.counters.exchanges, int)
for entry in simulator.log:
    assert_type(entry, LogEntry)
    assert_type((entry.method, entry.target, entry.body), tuple[str, bytes, bytes])
    assert_type((entry.status, entry.org_id), tuple[int | None, str | None])
    assert_type(entry.issued, IssuedToken | None)
with simulator.expect(renewals=1, replays=None, requests=2) as expectation:
    assert_type(expectation, Expectation)
simulator.expect(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[too-many-positional-arguments]

# What is to go wrong.
with simulator.inject("token", "answer", status=429, retry_after=3, times=None) as fault:
    assert_type(fault, Fault)
    assert_type((fault.hits, fault.spent), tuple[int, bool])
assert_type(simulator.hold("api", method="POST"), Hold)
simulator.inject("token", "drops")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
simulator.inject("token", "drop", state=429)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
simulator.inject("token", status="429")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
assert_type(simulator.issue_token().access_token, str)


class TestFiles(StoreContract):
    """The contract, for a store."""

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Callable[[], FileStore]:
        """Open the same storage each time."""
        return functools.partial(FileStore, tmp_path)

    def damage(self, store: TokenStore, key: StoreKey) -> None:
        """Make it incomprehensible."""


class TestApp:
    """The plugin's fixtures, as a user's tests take them."""

    @pytest.fixture
    def cobo_settings(self) -> dict[str, Any]:
        """Override one."""
        return {"token_lifetime": 60}

    def test_it(
        self, cobo_client: httpx.Client, cobo_simulator: CoboSimulator, cobo_clock: ManualClock
    ) -> None:
        """One renewal."""
        cobo_clock.advance(60)
        with cobo_simulator.expect(renewals=1):
            cobo_client.get("/wallets")

    async def test_that(
        self, cobo_async_client: httpx.AsyncClient, cobo_credentials: Credentials
    ) -> None:
        """The same, awaited."""
        await cobo_async_client.get("/wallets")
        assert_type(cobo_credentials["org_id"], str)
