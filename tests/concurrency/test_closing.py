"""Closing a client: it waits for exchanges that were begun, and stops what was not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from httpx_cobo_auth import CoboAuthError, MemoryStore, TokenEndpointError
from tests.family import httpx
from tests.held import nothing_held, renewing, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx_cobo_auth.records import StoreKey
    from httpx_cobo_auth.stores.memory import _Lock
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.conftest import MakesAuth
    from tests.family import CoboOAuth

LONGEST_S = 5  # less than for what is waited where an exchange is under way


class Hanging(MemoryStore):
    """A store on a disk that does not answer for a while."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()

    def try_lock(self, key: StoreKey, *, ttl: float) -> _Lock | None:
        self.answers.wait(60)
        return super().try_lock(key, ttl=ttl)


@pytest.fixture
def store() -> Iterator[Hanging]:
    store = Hanging()
    yield store
    store.answers.set()


@pytest.fixture
def stale(
    store: Hanging, running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth
) -> CoboOAuth:
    """Its token is to be renewed, and the store hangs."""
    auth = make_auth(running, store=store)
    with auth.client(transport=running) as client:
        client.get("/wallets").raise_for_status()
    ticking.advance(running.token_lifetime - 60)
    store.answers.clear()
    return auth


def all_well(auth: CoboOAuth, store: Hanging, running: CoboSimulator) -> None:
    """Once the store answers, the renewal that was stopped is over, and another one is made."""
    assert running.counters.exchanges == 1
    store.answers.set()
    until(lambda: not renewing(auth))
    assert running.counters.exchanges == 1
    with auth.client(transport=running) as client:
        client.get("/wallets").raise_for_status()
        until(lambda: running.counters.refreshes == 1)
    nothing_held(auth)


def test_a_renewal_that_the_store_holds_up_is_stopped(
    store: Hanging, stale: CoboOAuth, running: CoboSimulator
) -> None:
    """Nothing has been sent: nobody has to wait for it."""
    began = time.monotonic()
    with stale.client(transport=running) as client:
        client.get("/wallets").raise_for_status()
        until(lambda: renewing(stale))
    assert time.monotonic() - began < LONGEST_S
    all_well(stale, store, running)


@pytest.mark.anyio
async def test_for_tasks_too(store: Hanging, stale: CoboOAuth, running: CoboSimulator) -> None:
    """On both event loops."""
    with anyio.fail_after(LONGEST_S):
        async with stale.async_client(transport=running) as client:
            (await client.get("/wallets")).raise_for_status()
    await anyio.to_thread.run_sync(all_well, stale, store, running)


def test_whoever_waits_for_it_begins_another(
    store: Hanging, stale: CoboOAuth, running: CoboSimulator, ticking: ManualClock
) -> None:
    """By a client that is open."""
    with stale.client(transport=running) as client:
        client.get("/wallets").raise_for_status()
        until(lambda: renewing(stale))
        ticking.advance(60)
        statuses: list[int] = []

        def ask() -> None:
            with stale.client(transport=running) as other:
                statuses.append(other.get("/wallets").status_code)

        asks = threading.Thread(target=ask)
        asks.start()
    store.answers.set()
    asks.join(60)
    assert statuses == [200]
    assert running.counters.exchanges == 2
    nothing_held(stale)


@pytest.mark.anyio
async def test_an_exchange_that_was_begun_is_saved(
    store: Hanging, stale: CoboOAuth, running: CoboSimulator
) -> None:
    """Closing waits for that one."""
    store.answers.set()
    hold = running.hold("token")
    async with anyio.create_task_group() as group:
        async with stale.async_client(transport=running) as client:
            (await client.get("/wallets")).raise_for_status()
            await hold.await_arrived()
            group.start_soon(anyio.to_thread.run_sync, hold.release)
        assert running.counters.refreshes == 1
    nothing_held(stale)


def test_a_client_that_is_closed_spends_no_refresh_token(
    running: CoboSimulator, make_auth: MakesAuth
) -> None:
    """Nothing can leave by it; the refresh token is as good as before."""
    auth = make_auth(running)
    with auth.client(transport=running) as client:
        client.get("/wallets").raise_for_status()
    with pytest.raises(TokenEndpointError, match="could not be reached"):
        auth.renew(client)
    with auth.client(transport=running) as client:
        auth.renew(client)
    assert (running.counters.refreshes, running.counters.implicits) == (1, 1)


def test_one_that_is_closed_while_its_renewal_waits_for_the_store_spends_none_either(
    store: Hanging, stale: CoboOAuth, running: CoboSimulator
) -> None:
    """Though it is a client of one's own, which waits for nothing when it is closed."""
    failed: list[type[Exception]] = []
    client = httpx.Client(transport=running)

    def renew() -> None:
        try:
            stale.renew(client)
        except CoboAuthError as error:
            failed.append(type(error))

    renews = threading.Thread(target=renew)
    renews.start()
    until(lambda: renewing(stale))
    client.close()
    store.answers.set()
    renews.join(60)
    assert failed == [TokenEndpointError]
    assert running.counters.exchanges == 1
    with stale.client(transport=running) as other:
        stale.renew(other)
    assert running.counters.implicits == 1
