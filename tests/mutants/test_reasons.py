"""Why a flow gave up: each error says so in full, for it is all that a user gets to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    Send,
)
from httpx_cobo_auth._protocol.records import Record
from httpx_cobo_auth.errors import RenewalTimeoutError, StoreConflictError
from httpx_cobo_auth.events import RenewalFailed, TokenTakenOver
from tests.flow.stepping import ENTERED, Desk, perform, play, read, reply, write

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.effects import Effect, Flow
    from tests.flow.stepping import Step

NO = False
CONFLICT = StoreConflictError("the record moved on")


def reason(flow: Flow[Any], *script: Step) -> str:
    """Play the script to its end and give what the timeout at its end says."""
    with pytest.raises(RenewalTimeoutError) as ended:
        play(flow, *script)
    return str(ended.value)


def test_forgetting_ends_where_a_renewal_here_does_not() -> None:
    """Somebody has the seat and never leaves it: ``forget`` does not wait for ever."""
    desk = Desk()
    why = reason(
        desk.flow.forget(),
        (Enter(93.0), Entry(ended=True)),
        (Enter(93.0), Entry()),
    )
    assert why == "waited in vain for a renewal in this process to end"


def test_forgetting_ends_where_a_renewal_elsewhere_does_not() -> None:
    """Another process has the store's lock and does not let go of it."""
    desk = Desk()
    why = reason(desk.flow.forget(), (Enter(93.0), ENTERED), (LockStore(45.0), NO))
    assert why == "waited in vain for another process to renew the token"


def test_renewing_ends_where_a_renewal_here_does_not() -> None:
    """With a dead token, whoever waits for somebody else's renewal gives up some time."""
    desk = Desk()
    desk.having("a")
    desk.expire()
    why = reason(desk.flow.token(), (Enter(93.0), Entry()))
    assert why == "waited in vain for another renewal in this process to end"


def test_renewing_ends_where_a_renewal_elsewhere_does_not() -> None:
    """With a dead token, the store's lock is waited for, for a finite time."""
    desk = Desk()
    desk.having("a")
    desk.expire()
    why = reason(
        desk.flow.token(), (Enter(93.0), ENTERED), (LockStore(45.0), NO), Leave, RenewalFailed
    )
    assert why == "waited in vain for another process to renew the token"


def test_renewing_ends_where_the_lock_would_lapse() -> None:
    """A lock that may lapse before the answer is there protects nothing: no exchange."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    why = reason(
        desk.flow.token(),
        (Enter, ENTERED),
        (LockStore, True),
        (Load(), stored),
        (Drain, True),
        Save,
        (Outlives(32.0), NO),
        Save(stored, (1, "me")),
        Leave,
        RenewalFailed,
    )
    assert why == "the store's lock would not outlive the exchange"


def test_renewing_by_hand_ends_where_others_come_first() -> None:
    """The token of whoever came first was asked for before the call, so it will not do."""
    desk = Desk()
    stored = desk.having("a")
    theirs = Record(2, desk.token("b"))
    desk.clock.advance(1)
    why = reason(
        desk.flow.renew(),
        (Enter(93.0), ENTERED),
        (LockStore(45.0), True),
        (Load(), stored),
        (Drain, True),
        (Save, CONFLICT),
        (Load(), theirs),
        Leave(),
        TokenTakenOver,
    )
    assert why == "another renewal came first, again and again"


def test_a_forced_renewal_ends_where_somebody_elses_token_died_meanwhile() -> None:
    """A refused refresh token, and in the store a newer token that is dead: no answer is left."""
    desk = Desk()
    stored = desk.having("a")
    flow = desk.flow.request(read())
    dead = Record(2, desk.token("b", lifetime=-1.0))
    why = reason(
        flow,
        (Send, ResponseSummary(401, 2021)),
        (Enter, ENTERED),
        (Load(), stored),
        (LockStore, True),
        (Load(), stored),
        (Drain, True),
        Save,
        (Outlives, True),
        (Exchange, ExchangeReply(400, b"{}", server_time=desk.now)),
        (Load(), dead),
        Leave,
        TokenTakenOver,
        RenewalFailed,
    )
    assert why == "somebody else renewed meanwhile, but that token has expired as well"


def test_a_write_ends_where_tokens_die_before_it_is_sent() -> None:
    """Four tokens that were dead when they came are enough."""
    desk = Desk()

    def slow(_: Effect) -> ExchangeReply:
        sent_at = desk.now
        desk.clock.advance(10)
        return reply("short", sent_at, lifetime=5)

    rules = {Enter: ENTERED, LockStore: True, Drain: True, Outlives: True, Exchange: slow}
    with pytest.raises(RenewalTimeoutError) as ended:
        perform(desk.flow.request(write()), rules)
    assert str(ended.value) == "tokens expire, or are replaced, faster than they can be used"


def test_a_record_without_a_token_cannot_be_used() -> None:
    """Who adopts one has made a mistake, and is told which."""
    with pytest.raises(ValueError, match=r"^there is no token in that record$"):
        Desk().account.adopt(Record(1))
