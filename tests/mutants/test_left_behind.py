"""What a renewal that came to nothing leaves behind: doubts, and what is still to be saved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from httpx_cobo_auth._protocol.effects import (
    Drain,
    Enter,
    Entry,
    Exchange,
    ExchangeReply,
    Leave,
    Load,
    LockStore,
    Outlives,
    ResponseSummary,
    Save,
)
from httpx_cobo_auth._protocol.flow import Call
from httpx_cobo_auth._protocol.records import PendingExchange
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth.errors import TokenRefusedError
from httpx_cobo_auth.events import RenewalFailed, TokenTakenOver
from tests.flow.stepping import (
    ENTERED,
    FINE,
    OWNER,
    Desk,
    Sending,
    fault,
    noted,
    perform,
    play,
    read,
)

NO = False


def test_a_note_that_was_found_leaves_the_token_in_doubt() -> None:
    """Somebody's exchange was lost. That a write kept us from our own clears nothing up."""
    desk = Desk()
    stored = desk.having("a").with_pending(PendingExchange("somebody else", 1.0))
    desk.grow_stale()
    play(
        desk.flow.request(read()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), True),
        (Load(), stored),
        (Drain(2.0), True),
        Save(noted(stored, desk.now), (1, "somebody else")),
        (Outlives(12.0), NO),
        Leave(),
        RenewalFailed,
        (Sending("a"), FINE),
    )
    assert desk.account.begun
    assert desk.account.epoch == 1


def test_a_record_in_memory_is_forgotten_once_it_is_saved_with_a_note() -> None:
    """It is in the store from then on, whatever comes of the exchange."""
    desk = Desk()
    stored = desk.record("a", 4)
    unsaved = desk.having("b", 5)
    desk.account.keep_unsaved(unsaved, (4, None))
    desk.grow_stale()
    play(
        desk.flow.request(read()),
        (Enter(0.0), Entry()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), True),
        (Load(), stored),
        (Drain(2.0), True),
        Save(noted(unsaved, desk.now), (4, None)),
        (Outlives(12.0), True),
        (Exchange(unsaved.token, 10.0), fault(unsent=True)),
        Save(unsaved, (5, OWNER)),
        Leave(),
        RenewalFailed,
        (Sending("b"), FINE),
    )
    assert desk.account.unsaved is None


def test_a_token_found_for_its_permissions_brings_its_spacing_along() -> None:
    """What another process knows of forced renewals is taken over with its token."""
    desk = Desk()
    desk.having("a")
    throttle = RenewalThrottle(forced_at=(desk.now,))
    play(
        desk.flow.request(read()),
        (Sending("a"), ResponseSummary(403, 2025)),
        (Enter(0.0), ENTERED),
        (Load(), replace(desk.record("b", 2), throttle=throttle)),
        Leave(),
        TokenTakenOver,
        (Sending("b"), FINE),
    )
    assert desk.account.throttle == throttle


def test_a_first_token_found_brings_its_spacing_along() -> None:
    """The same where no token is held: the wait is not begun anew by every process."""
    desk = Desk()
    throttle = RenewalThrottle(1, desk.now + 30.0, "GET /x", (desk.now,))
    found = replace(desk.record("a"), throttle=throttle)
    play(desk.flow.token(), (Enter(93.0), ENTERED), (Load(), found), Leave(), TokenTakenOver)
    assert desk.account.throttle == throttle


def test_a_refusal_is_remembered_for_ten_seconds() -> None:
    """Not every request asks again; somebody may reinstall the app meanwhile."""
    desk = Desk()
    refusal = ExchangeReply(400, b"{}", server_time=desk.now)
    rules = {Enter: ENTERED, LockStore: True, Drain: True, Outlives: True, Exchange: refusal}
    with pytest.raises(TokenRefusedError):
        perform(desk.flow.token(), rules)
    desk.clock.advance(9.75)
    assert isinstance(desk.account.held_failure(), TokenRefusedError)
    desk.clock.advance(0.25)
    assert desk.account.held_failure() is None


def test_nobody_replays_a_write_who_was_not_asked_to() -> None:
    """Whoever makes a call says so, or else it is not replayed."""
    assert not Call("POST", read().url, write=True).replay
