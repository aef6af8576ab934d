"""``keep_fresh()``: tokens are renewed although nobody sends a request."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from httpx_cobo_auth import ConfigurationError, MemoryStore
from httpx_cobo_auth._auth import keep_fresh
from httpx_cobo_auth._runtime.backends import SyncBackend
from tests.family import PortalApp, httpx
from tests.held import nothing_held, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.records import Record, StoreKey
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.conftest import MakesAuth
    from tests.family import CoboOAuth


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again at once, so that no test has to wait for half a minute."""
    monkeypatch.setattr(keep_fresh, "_LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(keep_fresh, "_SHORTEST_PAUSE_S", 0.01)


class CountingStore(MemoryStore):
    """Counts how often it is looked into."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.breaks = False

    def load(self, key: StoreKey) -> Record | None:
        self.loads += 1
        if self.breaks:
            raise LookupError
        return super().load(key)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def auth(running: CoboSimulator, make_auth: MakesAuth, store: CountingStore) -> CoboOAuth:
    """It has a token."""
    auth = make_auth(running, store=store)
    with auth.client(transport=running) as client:
        client.get("/wallets").raise_for_status()
    return auth


def refreshed(simulator: CoboSimulator, count: int) -> bool:
    return simulator.counters.refreshes == count


@pytest.mark.parametrize("left", [60.0, 0.0], ids=["STALE", "EXPIRED"])
def test_it_renews(
    auth: CoboOAuth, running: CoboSimulator, ticking: ManualClock, left: float
) -> None:
    """Each time that it is due, and not before; after the block no thread is left."""
    with auth.client(transport=running) as client, auth.keep_fresh(client):
        for count in (1, 2):
            ticking.advance(running.token_lifetime - left)
            until(partial(refreshed, running, count))
    nothing_held(auth)
    until(lambda: not any("httpx_cobo_auth renewal" in t.name for t in threading.enumerate()))
    assert running.counters.refreshes == 2
    assert running.counters.implicits == 1


@pytest.mark.anyio
async def test_it_renews_in_tasks(
    auth: CoboOAuth, running: CoboSimulator, ticking: ManualClock
) -> None:
    """On both event loops; the block may be left by an error."""

    async def serve() -> None:
        async with auth.async_client(transport=running) as client, auth.keep_fresh(client):
            ticking.advance(running.token_lifetime - 60)
            await anyio.to_thread.run_sync(until, lambda: running.counters.refreshes == 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await serve()
    nothing_held(auth)


async def test_without_a_client_it_makes_one_of_its_own(
    running: CoboSimulator, ticking: ManualClock, make_auth: MakesAuth
) -> None:
    """Sync and async; it is closed afterwards."""
    with running.serve():
        auth = make_auth(running)

        def sync() -> None:
            with auth.client() as client:
                client.get("/wallets").raise_for_status()
            with auth.keep_fresh() as kept:
                ticking.advance(running.token_lifetime - 60)
                until(lambda: running.counters.refreshes == 1)
            assert kept._client.is_closed

        await anyio.to_thread.run_sync(sync)
        async with auth.keep_fresh() as kept:
            ticking.advance(running.token_lifetime - 60)
            await anyio.to_thread.run_sync(until, lambda: running.counters.refreshes == 2)
        assert kept._client.is_closed


def test_what_another_process_has_stored_is_kept_fresh(
    auth: CoboOAuth,
    store: CountingStore,
    running: CoboSimulator,
    ticking: ManualClock,
    make_auth: MakesAuth,
) -> None:
    """By one that has sent no request so far."""
    del auth
    other = make_auth(running, store=store)
    ticking.advance(running.token_lifetime - 60)
    with httpx.Client(transport=running) as client, other.keep_fresh(client):
        until(lambda: running.counters.refreshes == 1)


def test_who_has_no_token_gets_none(
    running: CoboSimulator, make_auth: MakesAuth, store: CountingStore
) -> None:
    """The organization may not have installed the app."""
    auth = make_auth(running, store=store)
    with httpx.Client(transport=running) as client, auth.keep_fresh(client):
        until(lambda: store.loads > 3)
    assert running.counters.exchanges == 0


def test_a_failure_does_not_end_it(
    auth: CoboOAuth,
    store: CountingStore,
    running: CoboSimulator,
    ticking: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of the token endpoint, or of a store that breaks its contract: it goes on."""
    sooner_or_later = partial(_while_time_passes, ticking)
    ticking.advance(running.token_lifetime)
    fault = running.inject("token", "answer", status=429, times=None)
    with auth.client(transport=running) as client, auth.keep_fresh(client):
        with fault:
            sooner_or_later(lambda: fault.hits > 0)
            store.breaks = True
            loads = store.loads
            sooner_or_later(lambda: store.loads > loads)
            store.breaks = False
        sooner_or_later(lambda: running.counters.issued > 1)
    assert "could not renew" in caplog.text


def _while_time_passes(clock: ManualClock, condition: Callable[[], bool]) -> None:
    """Wait for it, however long the next attempt is put off."""

    def look() -> bool:
        clock.advance(0.1)  # less than a nonce may be old, while a request is on its way
        return condition()

    until(look)


def test_a_defect_does_not_end_it(
    auth: CoboOAuth,
    running: CoboSimulator,
    ticking: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is named in the log, without what it says, which may be secret."""
    breaks = threading.Event()
    state = type(auth._session.flow).status

    def status(flow: Any) -> Any:  # noqa: ANN401 - of a private class
        if not breaks.is_set():
            breaks.set()
            message = "5ec2e7"
            raise LookupError(message)
        return state(flow)

    monkeypatch.setattr(type(auth._session.flow), "status", status)
    ticking.advance(running.token_lifetime)
    with auth.client(transport=running) as client, auth.keep_fresh(client):
        until(lambda: running.counters.refreshes == 1)
    assert "keep_fresh() met LookupError, and goes on" in caplog.text
    assert "5ec2e7" not in caplog.text


def test_all_organizations_of_an_app(running: CoboSimulator, ticking: ManualClock) -> None:
    """Those that were asked for, also within the block."""
    given: dict[str, Any] = dict(running.credentials)
    org_id = given.pop("org_id")
    app = PortalApp(**given)
    with app.client(transport=running) as client, app.keep_fresh(client):
        client.get("/wallets", auth=app.org(org_id)).raise_for_status()
        ticking.advance(running.token_lifetime - 60)
        until(lambda: running.counters.refreshes == 1)


def test_an_app_without_organizations_waits_for_one(running: CoboSimulator) -> None:
    """And ends when told to, in the same moment: there is nothing to be looked at."""
    given: dict[str, Any] = dict(running.credentials)
    del given["org_id"]
    app = PortalApp(**given)
    with app.client(transport=running) as client, app.keep_fresh(client):
        pass


def test_one_that_is_told_to_end_before_it_began_does_not_begin() -> None:
    """Its thread starts late, on a busy machine."""
    watch = keep_fresh._Watch(list)
    watch.stop()
    assert list(watch.steps(SyncBackend())) == []


async def test_a_client_of_the_other_kind_is_refused(auth: CoboOAuth) -> None:
    """A sync one for ``with``, an async one for ``async with``."""
    async with auth.async_client() as aclient:
        with pytest.raises(ConfigurationError, match="expected a Client"):
            auth.keep_fresh(aclient).__enter__()
    with auth.client() as client, pytest.raises(ConfigurationError, match="AsyncClient"):
        await auth.keep_fresh(client).__aenter__()


def test_where_no_thread_can_be_started_it_says_so(
    auth: CoboOAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that counts on it must know."""

    def no_thread(_self: threading.Thread) -> None:
        raise RuntimeError

    with auth.client() as client:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="no thread"):
            auth.keep_fresh(client).__enter__()
        monkeypatch.undo()
