"""A token that another process renewed is no renewal of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import CoboOAuth, FileStore, Token
from httpx_cobo_auth.records import Record, StoreKey
from httpx_cobo_auth.testing import CoboSimulator, ManualClock

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [500, 401])
def test_a_token_taken_over_that_is_refused_as_well_is_renewed_at_once(
    tmp_path: Path, method: str, status: Literal[500, 401]
) -> None:
    """Nothing was forced so far, so nothing was in vain, and nothing is held off."""
    simulator = CoboSimulator(clock=ManualClock(), expired_status=status)
    store = FileStore(tmp_path / "tokens")
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
        _renewed_elsewhere(simulator, store)
        simulator.revoke_tokens()
        assert client.request(method, "/echo").is_success
        assert simulator.counters.exchanges == 2
        # And again: one renewal that helped is not yet one too many.
        simulator.revoke_tokens()
        assert client.request(method, "/echo").is_success
        assert simulator.counters.exchanges == 3


def _renewed_elsewhere(simulator: CoboSimulator, store: FileStore) -> None:
    """Save what another process would have saved."""
    key = StoreKey(simulator.environment.base_url, simulator.client_id, simulator.org_id)
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
