"""What a renewal that came to nothing leaves behind: doubts, and what is still to be saved."""

from __future__ import annotations

from httpx_cobo_auth.effects import (
    Drain,
    Enter,
    Entry,
    Exchange,
    Leave,
    Load,
    LockStore,
    Outlives,
    Save,
)
from httpx_cobo_auth.events import RenewalFailed
from httpx_cobo_auth.flow import Call
from httpx_cobo_auth.records import Note
from tests.flow.stepping import ENTERED, FINE, OWNER, Desk, Sending, fault, noted, play, read

NO = False


def test_a_note_that_was_found_leaves_the_token_in_doubt() -> None:
    """Somebody's exchange was lost. That a write kept us from our own clears nothing up."""
    desk = Desk()
    stored = desk.having("a").noting(Note("somebody else", 1.0))
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


def test_nobody_replays_a_write_who_was_not_asked_to() -> None:
    """Whoever makes a call says so, or else it is not replayed."""
    assert not Call("POST", read().url, write=True).replay
