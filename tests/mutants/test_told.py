"""What the events of a renewal hold: whose, which generation, and the error itself."""

from __future__ import annotations

import pytest

from httpx_cobo_auth._protocol.effects import (
    Drain,
    Emit,
    Enter,
    Entry,
    Exchange,
    Leave,
    Load,
    LockStore,
    Outlives,
    Save,
)
from httpx_cobo_auth.errors import RenewalTimeoutError, StoreUnavailableError
from httpx_cobo_auth.events import RenewalFailed, SaveFailed, TokenAcquired, TokenTakenOver
from tests.flow.stepping import (
    ENTERED,
    FINE,
    KEY,
    OWNER,
    Desk,
    Sending,
    fault,
    noted,
    play,
    read,
    reply,
)

NO = False
DOWN = StoreUnavailableError("the store is down")


def test_a_failed_renewal_is_told_with_its_error() -> None:
    """The very error, whose token it is, when it was, and that the old token still works."""
    desk = Desk()
    stored = desk.having("a", 4)
    desk.grow_stale()
    dead = fault(unsent=True)
    failed = RenewalFailed(
        base_url=KEY.base_url,
        client_id=KEY.client_id,
        org_id=KEY.org_id,
        at=desk.now,
        error=dead.error,
        still_usable=True,
    )
    play(
        desk.flow.request(read()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), True),
        (Load(), stored),
        (Drain(2.0), True),
        Save(noted(stored, desk.now), (4, None)),
        (Outlives(12.0), True),
        (Exchange(stored.token, 10.0), dead),
        Save(stored, (4, OWNER)),
        Leave(),
        Emit(failed),
        (Sending("a"), FINE),
    )


def test_a_note_that_cannot_be_taken_back_is_told_with_its_error() -> None:
    """The generation is that of the record which could not be put back."""
    desk = Desk()
    stored = desk.having("a", 4)
    desk.expire()
    failed = SaveFailed(
        base_url=KEY.base_url,
        client_id=KEY.client_id,
        org_id=KEY.org_id,
        at=desk.now,
        generation=4,
        error=DOWN,
    )
    flow = desk.flow.token()
    with pytest.raises(RenewalTimeoutError):
        play(
            flow,
            (Enter(93.0), ENTERED),
            (LockStore(45.0), True),
            (Load(), stored),
            (Drain(2.0), True),
            Save(noted(stored, desk.now), (4, None)),
            (Outlives(32.0), NO),
            (Save(stored, (4, OWNER)), DOWN),
            Leave,
            Emit(failed),
            RenewalFailed,
        )


def test_a_record_in_memory_is_forgotten_once_a_newer_one_is_saved() -> None:
    """Its note could not be written, yet the next token was saved: nothing is left to be saved."""
    desk = Desk()
    stored = desk.having("a", 4)
    desk.account.keep_unsaved(desk.record("b", 5), (4, None))
    desk.expire()
    play(
        desk.flow.token(),
        (Enter(0.0), Entry()),
        (Enter(93.0), ENTERED),
        (LockStore(45.0), True),
        (Load(), stored),
        (Drain(2.0), True),
        (Save, DOWN),
        (Outlives(32.0), True),
        (Exchange(None, 10.0), reply("c", desk.now)),
        Save(desk.record("c", 6), (4, None)),
        Leave(),
        TokenTakenOver,
        SaveFailed,
        TokenAcquired,
    )
    assert desk.account.unsaved is None
    assert desk.account.settled
