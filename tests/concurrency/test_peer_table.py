"""What other libraries were measured on, one test a column: this one's row.

P: refresh tokens sent. B: spent refresh tokens sent again. F: requests that failed. The server
rotates: a refresh token is spent on arrival, and the answer takes 150 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import anyio
import pytest

from httpx_cobo_auth import WrongOriginError
from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.concurrency.conftest import RunsThreads
    from tests.conftest import MakesAuth

ANSWER_S = 0.15


class Row(NamedTuple):
    """P, B, F."""

    refreshes: int
    reused: int
    failed: int


ONE_AND_NOTHING_ELSE = Row(1, 0, 0)


class Peer:
    """A server of that kind, and an auth object with a token of it."""

    def __init__(self, simulator: CoboSimulator, clock: ManualClock, auth: CoboOAuth) -> None:
        self.simulator = simulator
        self.clock = clock
        self.auth = auth
        self.failed = 0
        with auth.client() as client:
            client.get("/wallets").raise_for_status()
        self.slow = simulator.inject("token", "delay", delay_s=ANSWER_S, times=None)

    def expire(self) -> None:
        self.clock.advance(self.simulator.token_lifetime)

    def client(self) -> httpx.Client:
        return self.auth.client(timeout=30)

    def async_client(self) -> httpx.AsyncClient:
        return self.auth.async_client(timeout=30)

    def ask(self, client: httpx.Client) -> None:
        try:
            client.get("/wallets").raise_for_status()
        except Exception:  # noqa: BLE001 - counted
            self.failed += 1

    async def aask(self, client: httpx.AsyncClient) -> None:
        try:
            (await client.get("/wallets")).raise_for_status()
        except Exception:  # noqa: BLE001 - counted
            self.failed += 1

    async def aburst(self, client: httpx.AsyncClient, tasks: int) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(self.aask, client)

    def row(self) -> Row:
        counters = self.simulator.counters
        return Row(counters.refreshes, counters.spent_refresh_reused, self.failed)


@pytest.fixture
def peer(
    request: pytest.FixtureRequest,
    running: CoboSimulator,
    ticking: ManualClock,
    make_auth: MakesAuth,
) -> Iterator[Peer]:
    """One whose tokens live for half a day, or for the seconds that the test gives."""
    running.token_lifetime = getattr(request, "param", running.token_lifetime)
    with running.serve():
        yield Peer(running, ticking, make_auth(running))


@pytest.mark.anyio
async def test_a_burst_of_100_tasks(peer: Peer) -> None:
    """After expiry: P1 B0 F0."""
    peer.expire()
    async with peer.async_client() as client:
        await peer.aburst(client, 100)
    assert peer.row() == ONE_AND_NOTHING_ELSE


def test_a_burst_of_32_threads(peer: Peer, in_threads: RunsThreads) -> None:
    """After expiry: P1 B0 F0."""
    peer.expire()
    with peer.client() as client, in_threads(*[lambda: peer.ask(client)] * 32):
        pass
    assert peer.row() == ONE_AND_NOTHING_ELSE


@pytest.mark.anyio
@pytest.mark.parametrize("peer", [30], indirect=True)
async def test_a_token_shorter_than_any_leeway(peer: Peer) -> None:
    """One that lives 30 s is renewed once by a burst, not by each of its requests."""
    peer.expire()
    async with peer.async_client() as client:
        await peer.aburst(client, 100)
        await peer.aburst(client, 100)
    assert peer.row() == ONE_AND_NOTHING_ELSE


@pytest.mark.anyio
async def test_cancelled_mid_refresh(peer: Peer) -> None:
    """Then 10 requests: 10 succeed, and no spent token is sent."""
    peer.expire()
    async with peer.async_client() as client:
        with anyio.move_on_after(ANSWER_S / 2) as scope:
            await client.get("/wallets")
        assert scope.cancelled_caught
        for _ in range(10):
            await peer.aask(client)
    assert peer.row() == ONE_AND_NOTHING_ELSE


@pytest.mark.anyio
async def test_401_before_local_expiry(peer: Peer) -> None:
    """All 20 of a burst are replayed after one refresh, writes too."""
    peer.simulator.expired_status = 401
    peer.simulator.revoke_tokens()
    async with peer.async_client() as client:
        await peer.aburst(client, 20)
        peer.simulator.revoke_tokens()
        (await client.post("/echo")).raise_for_status()
    assert peer.row() == (2, 0, 0)


@pytest.mark.anyio
async def test_500_with_1000(peer: Peer) -> None:
    """The documented answer to an expired token: all reads are replayed after one refresh."""
    peer.simulator.revoke_tokens()
    async with peer.async_client() as client:
        await peer.aburst(client, 20)
    assert peer.row() == ONE_AND_NOTHING_ELSE


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_two_successive_event_loops(peer: Peer, backend: str) -> None:
    """20 requests in each, with contention: all succeed."""

    async def main() -> None:
        peer.expire()
        async with peer.async_client() as client:
            await peer.aburst(client, 20)

    anyio.run(main, backend=backend)
    anyio.run(main, backend=backend)
    assert peer.row() == (2, 0, 0)


def test_to_another_origin(peer: Peer, running: CoboSimulator) -> None:
    """The bearer is never sent there; nothing is."""
    other = CoboSimulator()
    with other.serve() as elsewhere:
        url = f"{elsewhere.base_url}/wallets"
        with httpx.Client() as client, pytest.raises(WrongOriginError):
            client.get(url, auth=peer.auth)
        with peer.client() as sync, pytest.raises(WrongOriginError):
            sync.get(url)
        # Not even where a redirect leads there.
        with running.inject("api", "redirect", url=url), peer.client() as sync:
            assert sync.get("/wallets").status_code == 307
    assert other.log == []


def test_secrets_in_repr(peer: Peer) -> None:
    """Never."""
    with peer.client() as client:
        token = peer.auth.token(client)
        text = f"{peer.auth!r} {token!r} {peer.auth._session!r} {vars(peer.auth)!r}"
        for secret in (token.access_token, token.refresh_token or "", peer.simulator.app_secret):
            assert secret
            assert secret not in text
