"""One renewal, stepped by hand: its order, its note, and what may go wrong in between."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.effects import (
    BeginWrite,
    Drain,
    Emit,
    EndWrite,
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
    Sleep,
    UnlockStore,
)
from httpx_cobo_auth._protocol.records import PendingExchange, Record
from httpx_cobo_auth.errors import (
    CoboAuthError,
    RenewalTimeoutError,
    StoreConflictError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    TokenEndpointError,
    TokenRefusedError,
)
from httpx_cobo_auth.events import (
    ContentionSuspected,
    RenewalFailed,
    SaveFailed,
    TokenAcquired,
    TokenRenewed,
    TokenTakenOver,
)
from tests.flow.stepping import (
    ENTERED,
    FINE,
    KEY,
    OWNER,
    WAITED_ELSEWHERE,
    WAITED_HERE,
    Desk,
    Sending,
    advance,
    fault,
    ineffective,
    noted,
    perform,
    play,
    read,
    reply,
    write,
)

if TYPE_CHECKING:
    from tests.flow.stepping import Step

DOWN = StoreUnavailableError("the store is down")
CONFLICT = StoreConflictError("the record moved on")
CORRUPT = StoreCorruptError("that is no record")
REFUSED = ResponseSummary(401, 2021)
NO = False
LOCKED = True
WAIT_S = 93.0
OUTLIVED = r"^the store's lock would not outlive the exchange$"
LOST = PendingExchange("somebody else", 1.0)


def test_in_order_permit_lock_reread_drain_note_check_exchange_save_release() -> None:
    """A dead token is renewed in these ten steps, and in no other order; the event comes last."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    after = replace(desk.record("b"), generation=2)
    play(
        desk.flow.token(),
        (Enter(WAIT_S), ENTERED),
        (LockStore(45.0), True),
        (Load(), stored),
        (Drain(2.0), True),
        Save(noted(stored, desk.now), (1, None)),
        (Outlives(32.0), True),
        (Exchange(stored.token, 10.0), reply("b", desk.now)),
        Save(after, (1, OWNER)),
        Leave(),
        TokenRenewed,
    )
    assert desk.held.generation == 2
    assert desk.flow.ready() is desk.held


@pytest.mark.hazard(42)
@pytest.mark.parametrize("lifetime", [43199.0, 2.0])
def test_an_early_renewer_of_a_shared_store_lets_writes_elsewhere_end_first(
    lifetime: float,
) -> None:
    """For a second, or for a part of the window where that is shorter."""
    desk = Desk(shared=True)
    stored = desk.record("a", lifetime=lifetime)
    desk.account.adopt(stored)
    assert stored.token is not None
    window = stored.token.renewal_window
    desk.clock.advance(lifetime - window / 2 - stored.token.margin / 2)
    flow = desk.flow.request(read())
    results = [None, ENTERED, True, stored, None]
    effects = [advance(flow, result) for result in results]
    assert effects[3] == Sleep(min(1.0, window / 4))
    assert isinstance(effects[4], Drain)
    assert isinstance(advance(flow, LOCKED), Save)


@pytest.mark.parametrize("dead", [True, False])
def test_nobody_gives_grace_who_cannot_do_without(dead: bool) -> None:  # noqa: FBT001
    """With a dead token, or for ``renew()``, the note follows the drain without a pause."""
    desk = Desk(shared=True)
    stored = desk.having("a")
    if dead:
        desk.expire()
    flow = desk.flow.token() if dead else desk.flow.renew()
    desk.clock.advance(1)
    results = [None, *([] if dead else [stored]), ENTERED, True, stored, True]
    assert isinstance([advance(flow, result) for result in results][-1], Save)


def test_an_early_renewal_gives_up_where_a_write_does_not_end() -> None:
    """No note, no exchange: the read goes out with the old token, and the next one does not try."""
    desk = Desk()
    stored = desk.having("a")
    desk.grow_stale()
    play(
        desk.flow.request(read()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), True),
        (Load(), stored),
        (Drain(2.0), NO),
        Leave(),
        (Sending("a"), FINE),
    )
    play(desk.flow.request(read()), (Sending("a"), FINE))


def test_a_renewal_that_must_be_goes_on_where_a_write_does_not_end() -> None:
    """A dead token cannot wait for a slow write: after 2 s of draining it is exchanged anyway."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    play(
        desk.flow.request(read()),
        (Enter(WAIT_S), ENTERED),
        (LockStore(45.0), True),
        (Load(), stored),
        (Drain(2.0), NO),
        Save(noted(stored, desk.now), (1, None)),
        (Outlives(32.0), True),
        *desk.exchanged(stored, "b", stored.token),
        TokenRenewed,
        (Sending("b"), FINE),
    )


def test_a_token_found_under_the_lock_ends_it() -> None:
    """Another process renewed first: its token is used, and no exchange is sent."""
    desk = Desk()
    desk.having("a")
    desk.expire()
    play(
        desk.flow.request(read()),
        (Enter(WAIT_S), ENTERED),
        (LockStore(45.0), True),
        (Load(), desk.record("b", 2)),
        Leave(),
        TokenTakenOver,
        (Sending("b"), FINE),
    )


def test_a_token_that_came_while_waiting_for_the_seat_ends_it() -> None:
    """Neither the store nor its lock is asked: the token in memory is newer than the dead one."""
    desk = Desk()
    desk.having("a")
    desk.expire()
    flow = desk.flow.request(read())
    assert advance(flow) == Enter(WAIT_S)
    desk.having("b", 2)
    assert advance(flow, ENTERED) == Leave()
    assert Sending("b").fits(advance(flow))


def test_a_token_without_a_refresh_token_is_followed_by_org_implicit() -> None:
    """There is nothing to send but the organization's id, and the renewal succeeds all the same."""
    desk = Desk()
    stored = Record(1, desk.token("a", refresh=False))
    desk.account.adopt(stored)
    desk.expire()
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored),
        *desk.exchanged(stored, "b", None),
        TokenAcquired,
        (Sending("b"), FINE),
    )


# --------------------------------------------------------- no note written, nothing spent
def test_without_a_note_an_early_renewal_is_skipped_and_reported() -> None:
    """The token has ten minutes left: that a note cannot be written is no reason to spend it."""
    desk = Desk()
    stored = desk.having("a")
    desk.grow_stale()
    play(
        desk.flow.request(read()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), True),
        (Load(), stored),
        (Drain(2.0), True),
        (Save(noted(stored, desk.now), (1, None)), DOWN),
        (Load(), stored),
        Leave(),
        RenewalFailed,
        (Sending("a"), FINE),
    )


@pytest.mark.hazard(19)
def test_without_a_note_a_dead_token_is_followed_by_org_implicit_kept_in_memory() -> None:
    """The refresh token stays unsent, the new token serves at once and is saved 5 s later."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    after = replace(desk.record("b"), generation=2)
    play(
        desk.flow.request(read()),
        (Enter(WAIT_S), ENTERED),
        (LockStore(45.0), True),
        (Load(), stored),
        (Drain(2.0), True),
        (Save(noted(stored, desk.now), (1, None)), DOWN),
        (Load(), stored),
        (Outlives(32.0), True),
        (Exchange(None, 10.0), reply("b", desk.now)),
        (Save(after, (1, None)), DOWN),
        Leave(),
        SaveFailed,
        SaveFailed,
        TokenAcquired,
        (Sending("b"), FINE),
    )
    # Used, and saved later.
    play(desk.flow.request(read()), (Sending("b"), FINE))
    desk.clock.advance(5)
    play(
        desk.flow.request(read()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), True),
        (Load(), stored),
        Save(after, (1, None)),
        Leave(),
        (Sending("b"), FINE),
    )
    assert desk.flow.ready() is desk.held


def test_a_refresh_token_is_in_doubt_where_an_exchange_without_a_note_was_lost() -> None:
    """Cobo may have answered org_implicit: what is stored may be spent, and nothing says so."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    with pytest.raises(TokenEndpointError):
        play(
            desk.flow.request(read()),
            (Enter(WAIT_S), ENTERED),
            (LockStore(45.0), True),
            (Load(), stored),
            (Drain(2.0), True),
            (Save(noted(stored, desk.now), (1, None)), DOWN),
            (Load(), stored),
            (Outlives(32.0), True),
            (Exchange(None, 10.0), fault(unsent=False)),
            Sleep(0.5),
            (Exchange(None, 10.0), fault(unsent=False)),
            Sleep(1.0),
            (Exchange(None, 10.0), fault(unsent=False)),
            Leave,
            SaveFailed,
            RenewalFailed,
        )
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored),
        *desk.exchanged(stored, "b", None),
        TokenAcquired,
        (Sending("b"), FINE),
    )


@pytest.mark.hazard(50)
@pytest.mark.parametrize("early", [True, False])
def test_a_note_whose_saving_is_in_doubt_is_read_back(*, early: bool) -> None:
    """It is there: the refresh token is spent as if the store had answered."""
    desk = Desk()
    stored = desk.having("a")
    if early:
        desk.grow_stale()
    else:
        desk.expire()
    steps = list(desk.until_noted(stored, early=early, patient=not early))
    note, outlives = noted(stored, desk.now), steps[-1]
    play(
        desk.flow.request(read()),
        *steps[:-2],
        (Save(note, (1, None)), DOWN),
        (Load(), note),
        outlives,
        *desk.exchanged(stored, "b", stored.token),
        TokenRenewed,
        (Sending("b"), FINE),
    )


@pytest.mark.hazard(50)
def test_a_token_whose_saving_is_in_doubt_is_not_saved_again() -> None:
    """The conflict comes of our own first try, whose answer was lost."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    new = replace(desk.record("b"), generation=2)
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored),
        (Exchange(stored.token, 10.0), reply("b", desk.now)),
        (Save(new, (1, OWNER)), CONFLICT),
        (Load(), new),
        Leave(),
        TokenRenewed,
        (Sending("b"), FINE),
    )
    assert desk.account.known.unsaved is None


def test_a_token_is_saved_over_a_note_that_is_there_against_all_odds() -> None:
    """The store said that it could not save the note, showed none, and had it after all."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    note = noted(stored, desk.now)
    new = replace(desk.record("b"), generation=2)
    play(
        desk.flow.request(read()),
        (Enter(WAIT_S), ENTERED),
        (LockStore(45.0), True),
        (Load(), stored),
        (Drain(2.0), True),
        (Save(note, (1, None)), DOWN),
        (Load(), stored),
        (Outlives(32.0), True),
        (Exchange(None, 10.0), reply("b", desk.now)),
        (Save(new, (1, None)), CONFLICT),
        (Load(), note),
        (Save(new, (1, OWNER)), CONFLICT),
        (Load(), note),
        Leave(),
        SaveFailed,
        SaveFailed,
        TokenAcquired,
        (Sending("b"), FINE),
    )
    assert desk.account.known.unsaved is not None


def test_a_conflict_over_the_note_means_that_somebody_else_went_on() -> None:
    """The lock lapsed while writes were drained: what they renewed is as good."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    play(
        desk.flow.request(read()),
        (Enter(WAIT_S), ENTERED),
        (LockStore(45.0), True),
        (Load(), stored),
        (Drain(2.0), True),
        (Save(noted(stored, desk.now), (1, None)), CONFLICT),
        (Load(), desk.record("b", 2)),
        Leave(),
        TokenTakenOver,
        (Sending("b"), FINE),
    )


def test_a_conflict_over_the_note_with_nothing_newer_is_raised_and_nothing_spent() -> None:
    """Somebody else's exchange is under way: no token to go on with, and none asked for."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    with pytest.raises(StoreConflictError):
        play(
            desk.flow.request(read()),
            (Enter(WAIT_S), ENTERED),
            (LockStore(45.0), True),
            (Load(), stored),
            (Drain(2.0), True),
            (Save(noted(stored, desk.now), (1, None)), CONFLICT),
            (Load(), stored.with_pending(LOST)),
            Leave,
            RenewalFailed,
        )


# ----------------------------------------------------------------------- taking the note back
@pytest.mark.hazard(13)
def test_without_a_lock_that_outlives_it_there_is_no_exchange_and_the_note_is_taken_back() -> None:
    """An exchange has 32 s; with a lock that may lapse sooner, the record is put back as it was."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    with pytest.raises(
        RenewalTimeoutError, match=r"^the store's lock would not outlive the exchange$"
    ):
        play(
            desk.flow.request(read()),
            (Enter(WAIT_S), ENTERED),
            (LockStore(45.0), True),
            (Load(), stored),
            (Drain(2.0), True),
            Save(noted(stored, desk.now), (1, None)),
            (Outlives(32.0), NO),
            Save(stored.revised(OWNER), (1, OWNER)),
            Leave,
            RenewalFailed,
        )
    assert not desk.account.known.in_doubt


@pytest.mark.parametrize("error", [DOWN, CONFLICT])
def test_a_note_that_cannot_be_taken_back_is_reported(error: StoreError) -> None:
    """``SaveFailed`` beside ``RenewalFailed``, each in full; the read goes on with the token."""
    desk = Desk()
    stored = desk.having("a", 4)
    desk.grow_stale()
    dead = fault(unsent=True)
    about: Any = {
        **{name: getattr(KEY, name) for name in ("base_url", "client_id", "org_id")},
        "at": desk.now,
    }
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored, early=True, patient=False),
        (Exchange(stored.token, 10.0), dead),
        (Save(stored.revised(OWNER), (4, OWNER)), error),
        Leave(),
        Emit(SaveFailed(**about, generation=4, error=error)),
        Emit(RenewalFailed(**about, error=dead.error, still_usable=True)),
        (Sending("a"), FINE),
    )


def test_where_no_note_was_written_none_is_taken_back() -> None:
    """One failed save is told and not repeated: the stored record still is what it was."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    with pytest.raises(RenewalTimeoutError):
        play(
            desk.flow.request(read()),
            (Enter(WAIT_S), ENTERED),
            (LockStore(45.0), True),
            (Load(), stored),
            (Drain(2.0), True),
            (Save(noted(stored, desk.now), (1, None)), DOWN),
            (Load(), stored),
            (Outlives(32.0), NO),
            Leave,
            SaveFailed,
            RenewalFailed,
        )


def test_a_note_is_left_where_the_refresh_token_may_be_spent() -> None:
    """The line broke after sending: whoever finds the note must not send that token again."""
    desk = Desk()
    stored = desk.having("a")
    desk.grow_stale()
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored, early=True, patient=False),
        (Exchange(stored.token, 10.0), fault(unsent=False)),
        (Exchange(None, 10.0), fault(unsent=True)),
        Leave(),
        RenewalFailed,
        (Sending("a"), FINE),
    )


# ----------------------------------------------------------------- an interrupted note, found
@pytest.mark.hazard(15)
@pytest.mark.parametrize("known", [True, False], ids=["same process", "new process"])
def test_an_interrupted_exchange_is_followed_by_org_implicit(known: bool) -> None:  # noqa: FBT001
    """Its refresh token is spent or not; its access token may have died with it."""
    desk = Desk()
    stored = desk.having("a") if known else desk.record("a")
    broken = stored.with_pending(LOST)
    desk.clock.advance(1)
    if known:
        desk.grow_stale()
    # The older note stays until there is a token.
    play(
        desk.flow.request(read()),
        *desk.until_noted(broken, early=known, patient=not known, glance=not known),
        *desk.exchanged(stored, "b", None),
        *([] if known else [TokenTakenOver]),
        TokenAcquired,
        (Sending("b"), FINE),
    )


@pytest.mark.parametrize("failures", [1, 2])
def test_who_finds_an_interrupted_note_goes_by_the_pause_after_the_second_failure(
    failures: int,
) -> None:
    """One failure may be a process that died: its successor renews. After two the token is used."""
    desk = Desk()
    broken = desk.record("a").with_pending(LOST)
    broken = replace(broken, attempts=Backoff(failures, desk.now + 5.0))
    if failures == 1:
        flow = desk.flow.request(read())
        rules: dict[type, Any] = {
            Enter: ENTERED,
            Load: broken,
            LockStore: True,
            Drain: True,
            Outlives: True,
        }
        effect = advance(flow)
        while not isinstance(effect, Exchange):
            effect = advance(flow, rules.get(type(effect)))
        assert effect.spend is None
        return
    play(
        desk.flow.request(read()),
        (Enter(WAIT_S), ENTERED),
        (Load(), broken),
        (LockStore(45.0), True),
        (Load(), broken),
        Leave(),
        TokenTakenOver,
        (Sending("a"), FINE),
    )


def test_an_old_token_is_gone_on_with_only_where_the_endpoint_gives_no_answer() -> None:
    """After three 503s the token beside the interrupted note, which may still live, is sent."""
    desk = Desk()
    broken = desk.record("a").with_pending(LOST)
    down = ExchangeReply(503, b"{}", server_time=desk.now)
    play(
        desk.flow.request(read()),
        *desk.until_noted(broken, glance=True),
        (Exchange(None, 10.0), down),
        Sleep(0.5),
        (Exchange(None, 10.0), down),
        Sleep(1.0),
        (Exchange(None, 10.0), down),
        Leave,
        TokenTakenOver,
        RenewalFailed,
        (Sending("a"), FINE),
    )


def test_an_old_token_is_not_gone_on_with_where_the_endpoint_refuses() -> None:
    """A 403 is an answer: it is raised, and the token beside the interrupted note not used."""
    desk = Desk()
    broken = desk.record("a").with_pending(LOST)
    refusal = ExchangeReply(403, b"{}", server_time=desk.now)
    with pytest.raises(TokenRefusedError):
        play(
            desk.flow.request(read()),
            *desk.until_noted(broken, glance=True),
            (Exchange(None, 10.0), refusal),
            Leave,
            TokenTakenOver,
            RenewalFailed,
        )


def test_an_interrupted_note_is_not_taken_back_by_who_did_not_send() -> None:
    """The lock would not outlive the exchange; the note stays, for the old doubt remains."""
    desk = Desk()
    broken = desk.record("a").with_pending(LOST)
    play(
        desk.flow.request(read()),
        (Enter(WAIT_S), ENTERED),
        (Load(), broken),
        (LockStore(45.0), True),
        (Load(), broken),
        (Drain(2.0), True),
        Save(noted(broken, desk.now), broken.version),
        (Outlives(32.0), NO),
        Save(broken.revised(OWNER), (1, OWNER)),
        Leave,
        TokenTakenOver,
        RenewalFailed,
        (Sending("a"), FINE),
    )


@pytest.mark.hazard(47)
def test_an_abandoned_exchange_has_failed_for_all_until_a_refusal_shows_that_it_did_not() -> None:
    """Others go on with the token that they have; once it is refused, it is replaced at once."""
    desk = Desk()
    stored = desk.having("a")
    desk.grow_stale()
    abandoned = desk.flow.request(read())
    results = (None, ENTERED, True, stored, True, None, True)
    assert isinstance([advance(abandoned, result) for result in results][-1], Exchange)
    abandoned.close()
    broken = noted(stored, desk.now)
    play(desk.flow.request(read()), (Sending("a"), FINE))
    play(
        desk.flow.request(write()),
        BeginWrite(),
        (Sending("a"), ResponseSummary(500, 1000)),
        (LockStore(0.0), True),
        (Load(), broken),
        UnlockStore(),
    )
    play(
        desk.flow.request(write()),
        BeginWrite(),
        EndWrite(),
        *desk.until_noted(broken, early=True),
        *desk.exchanged(stored, "b", None),
        TokenAcquired,
        BeginWrite(),
        (Sending("b"), FINE),
    )


# --------------------------------------------------------------------- a store set back
def test_an_older_generation_than_one_already_seen_is_never_accepted() -> None:
    """Somebody restored a backup: its token is not taken, its refresh token not sent."""
    desk = Desk()
    desk.having("a", generation=7)
    desk.expire()
    old = desk.record("old", 3)
    play(
        desk.flow.request(read()),
        *desk.until_noted(old),
        *desk.exchanged(old, "b", None, generation=8),
        TokenAcquired,
        (Sending("b"), FINE),
    )


def test_a_store_emptied_by_others_is_no_reason_to_send_what_it_held() -> None:
    """The refresh token in memory may be spent: ``org_implicit``, and a higher generation."""
    desk = Desk()
    desk.having("a", generation=7)
    desk.expire()
    play(
        desk.flow.request(read()),
        *desk.until_noted(None),
        *desk.exchanged(None, "b", None, generation=8),
        TokenAcquired,
        (Sending("b"), FINE),
    )


# --------------------------------------------------------------------- unsaved, saved later
def _unsaved(desk: Desk) -> tuple[Record, Record]:
    """Have a token that could not be saved; give what is stored and what should be."""
    stored = desk.having("a")
    desk.expire()
    before = noted(stored, desk.now)
    new = replace(desk.record("b"), generation=2)
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored),
        (Exchange(stored.token, 10.0), reply("b", desk.now)),
        (Save(new, (1, OWNER)), DOWN),
        Leave(),
        SaveFailed,
        TokenRenewed,
        (Sending("b"), FINE),
    )
    return before, new


@pytest.mark.hazard(19)
def test_a_token_that_cannot_be_saved_is_used_reported_and_saved_later() -> None:
    """It serves requests, is tried every 5 s, also after a conflict, and no more once saved."""
    desk = Desk()
    before, new = _unsaved(desk)
    play(desk.flow.request(read()), (Sending("b"), FINE))
    for outcome in (DOWN, CONFLICT, None):
        desk.clock.advance(5)
        play(
            desk.flow.request(read()),
            (Enter(0.0), ENTERED),
            (LockStore(0.0), True),
            (Load(), before),
            (Save(new, (1, OWNER)), outcome),
            Leave(),
            (Sending("b"), FINE),
        )
    play(desk.flow.request(read()), (Sending("b"), FINE))
    assert desk.account.known.unsaved is None


def test_saving_later_waits_for_nobody_and_is_spaced() -> None:
    """A taken permit or lock, or a store that is down, holds no request up; 5 s to the next try."""
    desk = Desk()
    _unsaved(desk)
    desk.clock.advance(5)
    play(desk.flow.request(read()), (Enter(0.0), Entry()), (Sending("b"), FINE))
    play(desk.flow.request(read()), (Sending("b"), FINE))
    desk.clock.advance(5)
    play(
        desk.flow.request(read()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), NO),
        Leave(),
        (Sending("b"), FINE),
    )
    play(desk.flow.request(read()), (Sending("b"), FINE))
    desk.clock.advance(5)
    play(
        desk.flow.request(read()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), DOWN),
        Leave(),
        (Sending("b"), FINE),
    )
    play(desk.flow.request(read()), (Sending("b"), FINE))
    assert desk.account.known.unsaved is not None


def test_a_token_is_not_saved_later_over_a_record_that_moved_on() -> None:
    """Somebody else's generation 2 is stored: ours stays in use, and is not tried again."""
    desk = Desk()
    _unsaved(desk)
    desk.clock.advance(5)
    play(
        desk.flow.request(read()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), True),
        (Load(), desk.record("c", 2)),
        Leave(),
        (Sending("b"), FINE),
    )
    assert desk.account.known.unsaved is None


def test_somebody_else_in_this_process_may_have_saved_it_meanwhile() -> None:
    """Whoever comes after that finds it in the store, and saves nothing."""
    desk = Desk()
    _, new = _unsaved(desk)
    desk.clock.advance(5)
    flow = desk.flow.request(read())
    assert advance(flow) == Enter(0.0)
    desk.account.saved(new)
    assert advance(flow, ENTERED) == LockStore(0.0)
    assert advance(flow, LOCKED) == Load()
    assert advance(flow, new) == Leave()


def test_the_next_renewal_goes_on_from_the_unsaved_token() -> None:
    """What is stored is an interrupted note; but we know its end."""
    desk = Desk()
    before, new = _unsaved(desk)
    desk.expire()
    play(
        desk.flow.request(read()),
        (Enter(0.0), Entry()),
        (Enter(WAIT_S), ENTERED),
        (LockStore(45.0), True),
        (Load(), before),
        (Drain(2.0), True),
        Save(noted(new, desk.now), (1, OWNER)),
        (Outlives(32.0), True),
        *desk.exchanged(new, "c", new.token),
        TokenRenewed,
        (Sending("c"), FINE),
    )
    assert desk.account.known.unsaved is None


def test_the_next_renewal_drops_the_unsaved_token_where_the_record_moved_on() -> None:
    """Its refresh token is not sent: the newer token in the store ends the renewal."""
    desk = Desk()
    _unsaved(desk)
    desk.expire()
    play(
        desk.flow.request(read()),
        (Enter(0.0), Entry()),
        (Enter(WAIT_S), ENTERED),
        (LockStore(45.0), True),
        (Load(), desk.record("c", 2)),
        Leave(),
        TokenTakenOver,
        (Sending("c"), FINE),
    )
    assert desk.account.known.unsaved is None


# ----------------------------------------------------------- the lock lapsed in mid-exchange
def test_after_a_conflict_the_token_of_who_went_on_counts() -> None:
    """The lock lapsed during the exchange, another process saved: its token is used, not ours."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    after = replace(desk.record("b"), generation=2)
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored),
        (Exchange(stored.token, 10.0), reply("b", desk.now)),
        (Save(after, (1, OWNER)), CONFLICT),
        (Load(), desk.record("c", 2)),
        Leave(),
        TokenTakenOver,
        (Sending("c"), FINE),
    )


@pytest.mark.parametrize("found", ["an exchange", "nothing", "an older one", "an error"])
def test_after_a_conflict_with_nothing_newer_ours_is_used(found: str) -> None:
    """A note, nothing, an older record or an error in the store takes no new token away."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    finds: dict[str, Step] = {
        "an exchange": stored.with_pending(LOST),
        "nothing": None,
        "an older one": desk.record("c", 1),
        "an error": DOWN,
    }
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored),
        (Exchange(stored.token, 10.0), reply("b", desk.now)),
        (Save, CONFLICT),
        (Load(), finds[found]),
        Leave(),
        *([SaveFailed] if found == "an error" else []),
        TokenRenewed,
        (Sending("b"), FINE),
    )


# ------------------------------------------------------------------- a store that is no help
@pytest.mark.parametrize("error", [DOWN, CORRUPT])
@pytest.mark.parametrize("at", ["lock", "load"])
def test_with_a_store_that_cannot_be_read_nothing_is_exchanged(error: StoreError, at: str) -> None:
    """A corrupt store is not an empty one; and one that is down cannot be noted in."""
    trouble: list[Step] = [(LockStore(45.0), error)]
    if at == "load":
        trouble = [(LockStore(45.0), True), (Load(), error)]
    desk = Desk()
    desk.having("a")
    desk.expire()
    with pytest.raises(type(error)):
        play(
            desk.flow.request(read()),
            (Enter(WAIT_S), ENTERED),
            *trouble,
            Leave,
            RenewalFailed,
        )


@pytest.mark.parametrize("error", [DOWN, CORRUPT])
def test_a_first_token_is_not_asked_for_where_the_store_cannot_be_read(error: StoreError) -> None:
    """And the failure is reported like any other."""
    desk = Desk()
    with pytest.raises(type(error)):
        play(
            desk.flow.request(read()),
            (Enter(WAIT_S), ENTERED),
            (Load(), error),
            (LockStore(45.0), True),
            (Load(), error),
            Leave,
            RenewalFailed,
        )


@pytest.mark.hazard(28)
@pytest.mark.parametrize("error", [DOWN, CORRUPT])
def test_a_stale_token_is_gone_on_with_while_the_store_is_no_help(error: StoreError) -> None:
    """The failure is told once, and the next read does not ask the store again."""
    desk = Desk()
    desk.having("a")
    desk.grow_stale()
    play(
        desk.flow.request(read()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), error),
        Leave(),
        RenewalFailed,
        (Sending("a"), FINE),
    )
    play(desk.flow.request(read()), (Sending("a"), FINE))


def test_a_store_that_cannot_be_read_is_not_asked_for_every_request_after_a_refused_write() -> None:
    """The first request after the 500 tries and fails; the next goes straight out."""
    desk = Desk()
    desk.having("a")
    play(
        desk.flow.request(write()),
        BeginWrite(),
        (Sending("a"), ResponseSummary(500, 1000)),
        (LockStore(0.0), DOWN),
        UnlockStore(),
    )
    play(
        desk.flow.request(read()),
        (Enter(WAIT_S), ENTERED),
        (Load(), DOWN),
        (LockStore(10.0), DOWN),
        Leave(),
        RenewalFailed,
        (Sending("a"), FINE),
    )
    play(desk.flow.request(read()), (Sending("a"), FINE))


def test_a_refused_token_with_a_store_that_cannot_be_read_is_an_error() -> None:
    """After a 401 the store's error is raised, and the endpoint not asked."""
    desk = Desk()
    desk.having("a")
    with pytest.raises(StoreUnavailableError):
        play(
            desk.flow.request(read()),
            (Sending("a"), REFUSED),
            (Enter(WAIT_S), ENTERED),
            (Load(), DOWN),
            (LockStore(45.0), DOWN),
            Leave,
            RenewalFailed,
            (LockStore(0.0), DOWN),
            UnlockStore(),
        )


# --------------------------------------------------------------------- failures, remembered
def _refused_for_good(desk: Desk) -> None:
    desk.having("a")
    desk.expire()
    refusal = ExchangeReply(403, b'{"error": "access_denied"}', server_time=desk.now)
    with pytest.raises(TokenRefusedError):
        perform(desk.flow.request(read()), _rules(refusal))


def _rules(answer: object) -> dict[type, object]:
    rules: dict[type, object] = {Enter: ENTERED, LockStore: True, Drain: True, Outlives: True}
    return rules | {Exchange: answer}


def test_a_refusal_is_remembered_for_ten_seconds() -> None:
    """Each caller raises an error of its own, once it has looked into the store."""
    desk = Desk()
    _refused_for_good(desk)
    errors: list[CoboAuthError] = []
    for _ in range(2):
        with pytest.raises(TokenRefusedError, match="installed") as caught:
            play(desk.flow.request(read()), (Enter(WAIT_S), ENTERED), (Load(), None), Leave)
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    desk.clock.advance(9.75)
    assert isinstance(desk.account.remembered_failure(), TokenRefusedError)
    desk.clock.advance(0.25)
    assert desk.account.remembered_failure() is None
    flow = desk.flow.request(read())
    assert advance(flow) == Enter(WAIT_S)
    assert advance(flow, ENTERED) == LockStore(45.0)


def test_a_refusal_is_forgotten_where_somebody_else_got_a_token() -> None:
    """Their token in the store is used though a refusal is remembered, which it ends."""
    desk = Desk()
    _refused_for_good(desk)
    play(
        desk.flow.request(read()),
        (Enter(WAIT_S), ENTERED),
        (Load(), desk.record("b", 2)),
        Leave(),
        TokenTakenOver,
        (Sending("b"), FINE),
    )
    assert desk.account.remembered_failure() is None


def test_trouble_at_the_endpoint_is_remembered_from_the_second_time_on_and_longer() -> None:
    """0 s, then 1 s, doubling to 30 s at most, in which nobody asks the endpoint."""
    desk = Desk()
    desk.having("a")
    desk.expire()
    down = ExchangeReply(503, b"{}", server_time=desk.now)
    held: list[float] = []
    for _ in range(8):
        with pytest.raises(TokenEndpointError):
            perform(desk.flow.request(read()), _rules(down))
        until = 0.0
        while desk.account.remembered_failure() is not None:
            desk.clock.advance(0.5)
            until += 0.5
        held.append(until)
    assert held == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.hazard(27)
@pytest.mark.parametrize(("retry_after", "held_s"), [(120.0, 120), (1e9, 600)])
def test_a_retry_after_is_obeyed_within_reason(retry_after: float, held_s: float) -> None:
    """Ten minutes at most, for anybody on the way can say it."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    limited = ExchangeReply(429, b"{}", server_time=desk.now, retry_after=retry_after)
    with pytest.raises(TokenEndpointError) as caught:
        play(
            desk.flow.request(read()),
            *desk.until_noted(stored),
            (Exchange(stored.token, 10.0), limited),
            Save(stored.revised(OWNER), (1, OWNER)),
            Leave,
            RenewalFailed,
        )
    assert caught.value.retry_after == retry_after
    desk.clock.advance(held_s - 1)
    assert desk.account.remembered_failure() is not None
    desk.clock.advance(1)
    assert desk.account.remembered_failure() is None


def test_a_retry_after_spaces_early_attempts_as_well() -> None:
    """Told to wait 120 s, no read tries before, and no failure is held against dead tokens."""
    desk = Desk()
    stored = desk.having("a")
    desk.grow_stale()
    limited = ExchangeReply(429, b"{}", server_time=desk.now, retry_after=120.0)
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored, early=True, patient=False),
        (Exchange(stored.token, 10.0), limited),
        Save(stored.revised(OWNER), (1, OWNER)),
        Leave(),
        RenewalFailed,
        (Sending("a"), FINE),
    )
    desk.clock.advance(119)
    play(desk.flow.request(read()), (Sending("a"), FINE))
    assert desk.account.remembered_failure() is None


# ------------------------------------------------------------------------- forced, spaced out
def test_a_forced_renewal_is_held_off_where_the_store_says_that_one_did_not_help() -> None:
    """Another process noted it just now: the 401 is handed over, nothing exchanged for 30 s."""
    desk = Desk()
    stored = desk.having("a")
    theirs = stored.revised("theirs", throttle=ineffective("GET /v2/other", desk.now + 30.0))
    play(
        desk.flow.request(read()),
        (Sending("a"), REFUSED),
        (Enter(WAIT_S), ENTERED),
        (Load(), theirs),
        (LockStore(45.0), True),
        (Load(), theirs),
        Leave(),
    )
    assert desk.account.forced_wait("GET /v2/wallets") == 30.0


def test_while_held_off_a_store_that_cannot_be_read_keeps_no_answer_from_the_caller() -> None:
    """The caller gets its 401, not the store's error: no renewal was going to happen."""
    desk = Desk()
    desk.having("a", throttle=ineffective("GET /v2/wallets", desk.now + 30.0))
    play(
        desk.flow.request(read()),
        (Sending("a"), REFUSED),
        (Enter(WAIT_S), ENTERED),
        (Load(), DOWN),
        Leave(),
    )


@pytest.mark.hazard(43)
def test_forced_renewals_far_too_often_mean_contention() -> None:
    """The fourth within an hour is told as ``ContentionSuspected``, and the next waits 30 s."""
    desk = Desk()
    stored = desk.having("a")
    for number in range(4):
        name = str(number)
        throttle = desk.account.known.throttle.forced(desk.now)
        old = desk.held.token.access_token.removeprefix("access-")
        play(
            desk.flow.request(read()),
            (Sending(old), REFUSED),
            *desk.until_noted(stored, glance=True),
            *desk.exchanged(stored, name, stored.token, throttle=throttle),
            *([ContentionSuspected] if number == 3 else []),
            TokenRenewed,
            (Sending(name), FINE),
        )
        stored = Record(stored.generation + 1, desk.token(name), None, throttle)
        desk.clock.advance(1)
    assert desk.account.forced_wait("GET /v2/wallets") == 29.0


def test_an_endpoint_that_fails_after_a_refusal_is_an_error() -> None:
    """An exchange was yielded: its answer must not be the caller's."""
    desk = Desk()
    stored = desk.having("a")
    with pytest.raises(TokenEndpointError):
        play(
            desk.flow.request(read()),
            (Sending("a"), REFUSED),
            *desk.until_noted(stored, glance=True),
            (Exchange(stored.token, 10.0), fault(unsent=True)),
            Sleep(0.5),
            (Exchange(stored.token, 10.0), fault(unsent=True)),
            Sleep(1.0),
            (Exchange(stored.token, 10.0), fault(unsent=True)),
            Save(stored.revised(OWNER), (1, OWNER)),
            Leave,
            RenewalFailed,
            (LockStore(0.0), NO),
            UnlockStore(),
        )


@pytest.mark.parametrize("trouble", ["locked", "down", "gone", "exchanging"])
def test_what_did_not_help_need_not_be_told_to_others(trouble: str) -> None:
    """The response is at hand; nothing keeps it from the caller."""
    desk = Desk()
    stored = desk.having("a")
    steps: dict[str, list[Step]] = {
        "locked": [(LockStore(0.0), NO)],
        "down": [(LockStore(0.0), DOWN)],
        "gone": [(LockStore(0.0), True), (Load(), None)],
        "exchanging": [(LockStore(0.0), True), (Load(), stored.with_pending(LOST))],
    }
    throttle = desk.account.known.throttle.forced(desk.now)
    play(
        desk.flow.request(read()),
        (Sending("a"), REFUSED),
        *desk.until_noted(stored, glance=True),
        *desk.exchanged(stored, "b", stored.token, throttle=throttle),
        TokenRenewed,
        (Sending("b"), REFUSED),
        *steps[trouble],
        UnlockStore(),
    )
    assert desk.account.forced_wait("GET /v2/wallets") == 30.0


# ------------------------------------------------------------------------- token, renew, forget
def test_token_gives_the_fresh_one_without_any_effect() -> None:
    """No permit, no store, no exchange: what is held is returned at once."""
    desk = Desk()
    desk.having("a")
    assert play(desk.flow.token()) is desk.held


def test_token_gives_the_stale_one_where_it_cannot_be_renewed() -> None:
    """Somebody else has the permit: ``token()`` does not wait, for the old one is still good."""
    desk = Desk()
    desk.having("a")
    desk.grow_stale()
    assert play(desk.flow.token(), (Enter(0.0), Entry())) is desk.held


def test_renew_asks_for_another_token_however_fresh_this_one_is() -> None:
    """``renew()`` a second after an exchange exchanges again, as after a change of permissions."""
    desk = Desk()
    stored = desk.having("a")
    desk.clock.advance(1)
    held = play(
        desk.flow.renew(),
        (Load(), stored),
        *desk.until_noted(stored),
        *desk.exchanged(stored, "b", stored.token),
        TokenRenewed,
    )
    assert held is desk.held


def test_renew_shares_an_exchange_that_began_after_the_call() -> None:
    """Who waited for the permit is content with a token that nobody had begun to ask for."""
    desk = Desk()
    stored = desk.having("a")
    flow = desk.flow.renew()
    assert advance(flow) == Load()
    assert advance(flow, stored) == Enter(WAIT_S)
    desk.having("b", 2)
    with pytest.raises(StopIteration) as ended:
        advance(flow, Entry(ended=True))
    assert ended.value.value is desk.held


@pytest.mark.hazard(57)
@pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])
def test_renew_does_not_share_an_exchange_that_began_before_the_call(*, here: bool) -> None:
    """It may have been answered before the permission changed."""
    desk = Desk()
    stored = desk.having("a")
    if here:
        desk.account.begin()
    flow = desk.flow.renew()
    assert advance(flow) == Load()
    found = stored if here else stored.with_pending(LOST)
    assert advance(flow, found) == Enter(WAIT_S)
    before = desk.having("b", 2)
    assert advance(flow, Entry(ended=True)) == Enter(WAIT_S)
    assert advance(flow, ENTERED) == LockStore(45.0)
    assert advance(flow, LOCKED) == Load()
    assert isinstance(advance(flow, before), Drain)


def test_renew_asks_though_the_store_cannot_be_read_at_first() -> None:
    """What this process knows is enough to tell a later token by."""
    desk = Desk()
    stored = desk.having("a")
    play(
        desk.flow.renew(),
        (Load(), DOWN),
        *desk.until_noted(stored),
        *desk.exchanged(stored, "b", stored.token),
        TokenRenewed,
    )


def test_renew_that_is_refused_because_of_somebody_else_takes_their_token() -> None:
    """Nobody had begun to ask for it when this call came."""
    desk = Desk()
    stored = desk.having("a")
    refusal = ExchangeReply(400, b"{}", server_time=desk.now)
    held = play(
        desk.flow.renew(),
        (Load(), stored),
        *desk.until_noted(stored),
        (Exchange(stored.token, 10.0), refusal),
        (Load(), desk.record("b", 2)),
        Leave(),
        TokenTakenOver,
    )
    assert held is desk.held
    assert held.generation == 2


def test_renew_that_others_come_before_says_so() -> None:
    """Their exchange was under way when this call came, so its token will not do."""
    desk = Desk()
    stored = desk.having("a")
    rounds: list[Step] = []
    before = stored
    for name in "bcde":
        theirs = desk.record(name, 2)
        rounds += [
            (Enter(WAIT_S), ENTERED),
            (LockStore(45.0), True),
            (Load(), before),
            (Drain, True),
            (Save, CONFLICT),
            (Load(), theirs),
            Leave(),
            TokenTakenOver,
        ]
        before = theirs
    with pytest.raises(RenewalTimeoutError, match=r"^another renewal came first, again and again$"):
        play(desk.flow.renew(), (Load(), stored.with_pending(LOST)), *rounds)


def test_renew_raises_where_it_gets_none() -> None:
    """The held token still works, but is not what was asked for: the refusal is raised."""
    desk = Desk()
    desk.having("a")
    desk.clock.advance(1)
    refusal = ExchangeReply(403, b"{}", server_time=desk.now)
    with pytest.raises(TokenRefusedError):
        perform(desk.flow.renew(), _rules(refusal))


@pytest.mark.parametrize("ours", [1, 5, 9])
def test_forget_empties_memory_and_store_and_raises_the_generation(ours: int) -> None:
    """An empty record goes one beyond ours and the stored one, and keeps the memory of waits."""
    desk = Desk()
    desk.having("a", ours)
    throttle = replace(ineffective("GET /x", desk.now + 30.0), forced_at=(desk.now,))
    stored = Record(5, desk.token("b"), LOST, throttle)
    empty = Record(max(ours, 5) + 1, throttle=throttle)
    play(
        desk.flow.forget(),
        (Enter(WAIT_S), ENTERED),
        (LockStore(45.0), True),
        (Load(), stored),
        Save(empty, stored.version),
        Leave(),
    )
    assert desk.account.known.held is None
    assert desk.account.known.generation == empty.generation
    assert desk.account.known.throttle == throttle
    # Nobody takes an older token for a newer one.
    play(
        desk.flow.request(read()),
        *desk.until_noted(empty, glance=True),
        *desk.exchanged(empty, "c", None, throttle=throttle),
        TokenAcquired,
        (Sending("c"), FINE),
    )


def test_forget_waits_for_renewals_for_a_finite_time() -> None:
    """Whether permit or store's lock is not to be had, the error says so and the token stays."""
    desk = Desk()
    desk.having("a")
    with pytest.raises(RenewalTimeoutError, match=WAITED_HERE):
        play(desk.flow.forget(), (Enter(WAIT_S), Entry(ended=True)), (Enter(WAIT_S), Entry()))
    with pytest.raises(RenewalTimeoutError, match=WAITED_ELSEWHERE):
        play(desk.flow.forget(), (Enter(WAIT_S), ENTERED), (LockStore(45.0), NO))
    assert desk.account.known.held is not None


def test_forget_that_cannot_empty_the_store_forgets_nothing() -> None:
    """Dropped in memory only, the token would come back out of the store."""
    desk = Desk()
    desk.having("a")
    with pytest.raises(StoreUnavailableError):
        play(
            desk.flow.forget(),
            (Enter(WAIT_S), ENTERED),
            (LockStore(45.0), True),
            (Load(), None),
            (Save(Record(2), (0, None)), DOWN),
        )
    assert desk.account.known.held is not None


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
        Save(stored.revised(OWNER), (1, OWNER)),
        Leave(),
        RenewalFailed,
        (Sending("a"), FINE),
    )
    assert desk.account.known.in_doubt
    assert desk.account.known.exchanges == 1


def test_a_record_in_memory_is_forgotten_once_it_is_saved_with_a_note() -> None:
    """It is in the store from then on, whatever comes of the exchange."""
    desk = Desk()
    stored = desk.record("a", 4)
    unsaved = desk.having("b", 5)
    desk.account.keep_unsaved(unsaved, (4, None), "another")
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
        Save(unsaved.revised(OWNER), (5, OWNER)),
        Leave(),
        RenewalFailed,
        (Sending("b"), FINE),
    )
    assert desk.account.known.unsaved is None


def test_a_record_in_memory_is_forgotten_once_a_newer_one_is_saved() -> None:
    """Its note could not be written, yet the next token was saved: nothing is left to be saved."""
    desk = Desk()
    stored = desk.having("a", 4)
    desk.account.keep_unsaved(desk.record("b", 5), (4, None), "another")
    desk.expire()
    play(
        desk.flow.token(),
        (Enter(0.0), Entry()),
        (Enter(93.0), ENTERED),
        (LockStore(45.0), True),
        (Load(), stored),
        (Drain(2.0), True),
        (Save, DOWN),
        (Load(), stored),
        (Outlives(32.0), True),
        (Exchange(None, 10.0), reply("c", desk.now)),
        Save(desk.record("c", 6), (4, None)),
        Leave(),
        TokenTakenOver,
        SaveFailed,
        TokenAcquired,
    )
    assert desk.account.known.unsaved is None
    assert desk.flow.ready() is desk.held
