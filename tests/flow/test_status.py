"""``auth.status()``: what is known of a token, for health checks, without a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import MemoryStore, TokenState, Trust
from httpx_cobo_auth.errors import StoreUnavailableError
from tests.flow.rig import Rig

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.conftest import MakesAuth


def test_before_the_first_request_nothing_is_known() -> None:
    """Nor in the store."""
    rig = Rig()
    for status in (rig.auth.status(), rig.auth.status(refresh=True)):
        assert status.state is TokenState.MISSING
        assert status.expires_at is None
        assert status.generation == 0
        assert status.next_attempt_at is None
    assert rig.simulator.counters.requests == 0


def test_what_another_has_stored_is_told_on_request_and_changes_nothing(
    simulator: CoboSimulator, make_auth: MakesAuth
) -> None:
    """This process goes on knowing nothing."""
    store = MemoryStore()
    first = make_auth(simulator, store=store)
    with first.client(transport=simulator) as client:
        client.get("/wallets").raise_for_status()
    record = store.load(first._session.account.key)
    assert record is not None
    assert record.token is not None
    other = make_auth(simulator, store=store)
    status = other.status(refresh=True)
    assert status.state is TokenState.FRESH
    assert status.trust is Trust.TRUSTED
    assert status.expires_at == record.token.expires_at
    assert status.generation == record.generation == 1
    assert record.token.access_token not in repr(status)


def test_it_goes_with_the_clock_and_with_failures() -> None:
    """FRESH, STALE, EXPIRED; and when the next attempt may be made."""
    rig = Rig()
    rig.send()
    assert rig.auth.status().state is TokenState.FRESH
    rig.grow_stale()
    assert rig.auth.status(refresh=True).state is TokenState.STALE
    with rig.simulator.inject("token", "answer", status=429, times=None):
        rig.send()
        rig.settle()
    until = rig.auth.status().next_attempt_at
    assert until is not None
    assert until > rig.clock.time()
    rig.expire()
    assert rig.auth.status().state is TokenState.EXPIRED


def test_a_store_that_was_set_back_is_not_believed(
    simulator: CoboSimulator, make_auth: MakesAuth
) -> None:
    """As from an older copy: what this process knows is newer."""
    store = MemoryStore()
    auth = make_auth(simulator, store=store)
    with auth.client(transport=simulator) as client:
        auth.renew(client)
        older = store._records.value
        auth.renew(client)
        store._records.set(older)
    assert auth.status(refresh=True) == auth.status()
    assert auth.status().generation == 2


@pytest.mark.anyio
async def test_in_tasks_it_is_the_same(simulator: CoboSimulator, make_auth: MakesAuth) -> None:
    """On both event loops."""
    auth = make_auth(simulator)
    async with auth.async_client(transport=simulator) as client:
        await client.get("/wallets")
    assert await auth.astatus() == await auth.astatus(refresh=True) == auth.status()


def test_a_store_that_cannot_be_read_is_an_error_on_request_only(
    simulator: CoboSimulator, make_auth: MakesAuth, clock: ManualClock
) -> None:
    """What this process knows is told all the same."""
    del clock

    class Broken(MemoryStore):
        def load(self, key: object) -> None:
            del key
            message = "no"
            raise OSError(message)

    auth = make_auth(simulator, store=Broken())
    assert auth.status().state is TokenState.MISSING
    with pytest.raises(StoreUnavailableError):
        auth.status(refresh=True)
