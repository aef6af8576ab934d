"""A token that another process renewed: no renewal of one's own, and found when it is needed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import FileStore, Token, TokenEndpointError
from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey
from tests.family import CoboOAuth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Literal

    import httpx

    from httpx_cobo_auth.testing import CoboSimulator, ManualClock


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "tokens")


@pytest.fixture
def client(simulator: CoboSimulator, store: FileStore) -> Iterator[httpx.Client]:
    """Return a client that has got its first token."""
    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        store=store,
        replay_writes=True,
        clock=simulator.clock,
    )
    with auth.client(transport=simulator) as client:
        assert client.get("/wallets").status_code == 200
        yield client


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [500, 401])
def test_a_token_taken_over_that_is_refused_as_well_is_renewed_at_once(
    simulator: CoboSimulator,
    store: FileStore,
    client: httpx.Client,
    method: str,
    status: Literal[500, 401],
) -> None:
    """Nothing was forced so far, so nothing was in vain, and nothing is held off."""
    simulator.expired_status = status
    _renewed_elsewhere(simulator, store)
    simulator.revoke_tokens()
    assert client.request(method, "/echo").is_success
    assert simulator.counters.exchanges == 2
    # And again: one renewal that helped is not yet one too many.
    simulator.revoke_tokens()
    assert client.request(method, "/echo").is_success
    assert simulator.counters.exchanges == 3


def test_a_failure_is_raised_no_longer_than_until_another_process_got_a_token(
    clock: ManualClock, simulator: CoboSimulator, store: FileStore, client: httpx.Client
) -> None:
    """Also where it is remembered for half a minute, and the store was looked into just now."""
    clock.advance(simulator.token_lifetime)
    with simulator.inject("token", "answer", status=503, retry_after=30, times=None):
        for _ in range(3):
            with pytest.raises(TokenEndpointError):
                client.get("/wallets")
    _renewed_elsewhere(simulator, store)
    assert client.get("/wallets").status_code == 200


def test_a_refusal_is_handed_back_no_longer_than_until_another_process_got_a_token(
    simulator: CoboSimulator, store: FileStore, client: httpx.Client
) -> None:
    """Also while forced renewals are held off, and the store was looked into just now."""
    with simulator.inject("api", "answer", status=500, error_code=1000, times=None):
        for _ in range(3):
            assert client.get("/wallets").status_code == 500
    simulator.revoke_tokens()
    assert client.get("/wallets").status_code == 500
    _renewed_elsewhere(simulator, store)
    assert client.get("/wallets").status_code == 200
    assert simulator.counters.exchanges == 2


def test_a_refusal_is_not_handed_back_while_another_process_gets_a_token(
    simulator: CoboSimulator, store: FileStore, client: httpx.Client
) -> None:
    """Forced renewals are held off, but waiting for somebody else's forces nothing."""
    with simulator.inject("api", "answer", status=500, error_code=1000, times=None):
        assert client.get("/wallets").status_code == 500
    key = _key(simulator)
    stored = store.load(key)
    lock = store.try_lock(key, ttl=30.0)
    assert stored is not None
    assert lock is not None
    noted = stored.with_pending(PendingExchange("another process", simulator.clock.time()))
    store.save(key, noted, expected=stored.version)
    simulator.revoke_tokens()  # as the exchange there may
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.get, "/wallets")
        while simulator.counters.rejected == 0:
            time.sleep(0.001)
        time.sleep(0.05)
        assert not answer.done()
        _renewed_elsewhere(simulator, store)
        lock.release()
        assert answer.result(30).status_code == 200
    assert simulator.counters.exchanges == 2


def test_a_refusal_is_mended_if_another_process_died_on_its_way_to_a_token(
    simulator: CoboSimulator, store: FileStore, client: httpx.Client
) -> None:
    """Though forced renewals have to wait: the note explains it, so this one is not forced."""
    with simulator.inject("api", "answer", status=500, error_code=1000, times=None):
        assert client.get("/wallets").status_code == 500
    key = _key(simulator)
    stored = store.load(key)
    assert stored is not None
    noted = stored.with_pending(PendingExchange("another process", simulator.clock.time()))
    store.save(key, noted, expected=stored.version)
    simulator.revoke_tokens()
    assert client.get("/wallets").status_code == 200
    assert simulator.counters.exchanges == 3
    assert simulator.counters.spent_refresh_reused == 0


def _key(simulator: CoboSimulator) -> StoreKey:
    return StoreKey(simulator.environment.base_url, simulator.client_id, simulator.org_id)


def _renewed_elsewhere(simulator: CoboSimulator, store: FileStore) -> None:
    """Save what another process would have saved."""
    key = _key(simulator)
    stored = store.load(key)
    assert stored is not None
    issued = simulator.issue_token()
    now = simulator.clock.time()
    token = Token(
        access_token=issued.access_token,
        refresh_token=issued.refresh_token,
        expires_at=now + issued.expires_in,
        obtained_at=now,
    )
    store.save(key, Record(stored.generation + 1, token), expected=stored.version)
