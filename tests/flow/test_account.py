"""How long failures keep further attempts away: exact seconds, for each kind of failure."""

from __future__ import annotations

import pytest

from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.known import WHAT_FOLLOWS, Known, Urgency
from httpx_cobo_auth._protocol.records import Record, TokenTrust, Trust
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.tokens import TokenState
from httpx_cobo_auth.errors import TokenEndpointError
from tests.flow.stepping import LIFETIME_S, OWNER, Desk

ERROR = TokenEndpointError("the line is dead")


def allowed_after(desk: Desk) -> float:
    """Seconds until an early attempt may be made, to the millisecond."""
    begun = desk.clock.monotonic()
    while not desk.account.attempt_allowed():
        desk.clock.advance(0.125)
    return desk.clock.monotonic() - begun


def hold_after(desk: Desk) -> float:
    """Seconds until a failure is remembered no more."""
    begun = desk.clock.monotonic()
    while desk.account.remembered_failure() is not None:
        desk.clock.advance(0.125)
    return desk.clock.monotonic() - begun


def test_early_attempts_are_spaced_by_half_a_minute() -> None:
    """A token that lives for hours is good for a while yet."""
    desk = Desk()
    desk.having("a")
    desk.account.attempt_failed(in_doubt=False)
    assert allowed_after(desk) == 30.0


def test_early_attempts_are_spaced_by_a_quarter_of_a_short_window() -> None:
    """A token that lives for a minute has a window of seconds: four attempts fit into it."""
    desk = Desk()
    desk.account.adopt(desk.record("a", lifetime=60.0))
    window = desk.held.token.renewal_window
    assert 11.0 < window < 15.0
    desk.account.attempt_failed(in_doubt=False)
    assert window / 4 <= allowed_after(desk) < window / 4 + 0.125


def test_without_a_token_nothing_is_spaced_but_what_the_server_asks_for() -> None:
    """There is nothing to go on with meanwhile."""
    desk = Desk()
    desk.account.attempt_failed(in_doubt=False)
    assert allowed_after(desk) == 0.0
    desk.account.attempt_failed(in_doubt=False, at_least=7.0)
    assert allowed_after(desk) == 7.0


def test_attempts_for_a_token_in_doubt_come_sooner_at_first() -> None:
    """After 1 s, 2 s, 4 s and so on, up to the usual half minute; success begins anew."""
    desk = Desk()
    desk.having("a")
    pauses: list[float] = []
    for _ in range(7):
        desk.account.attempt_failed(in_doubt=True)
        pauses.append(allowed_after(desk))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    desk.having("b", 2)
    desk.account.attempt_failed(in_doubt=True)
    assert allowed_after(desk) == 1.0


def test_what_the_server_asks_for_is_longer_than_any_pause() -> None:
    """``Retry-After`` counts where it is longer."""
    desk = Desk()
    desk.having("a")
    desk.account.attempt_failed(in_doubt=True, at_least=120.0)
    assert allowed_after(desk) == 120.0


def test_a_failure_is_remembered_from_the_second_on_and_ever_longer() -> None:
    """Not at all, then 1 s, 2 s and so on, up to half a minute; success begins anew."""
    desk = Desk()
    holds: list[float] = []
    for _ in range(8):
        desk.account.failed(ERROR, at_least=0.0)
        holds.append(hold_after(desk))
    assert holds == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    desk.having("a")
    desk.account.failed(ERROR, at_least=0.0)
    assert hold_after(desk) == 0.0


def test_a_failure_is_remembered_as_long_as_asked_for() -> None:
    """The first as well, and beyond the half minute."""
    desk = Desk()
    desk.account.failed(ERROR, at_least=90.0)
    remembered = desk.account.remembered_failure()
    assert isinstance(remembered, TokenEndpointError)
    assert remembered is not ERROR
    assert remembered.retry_after == 90.0
    assert hold_after(desk) == 90.0


def test_a_look_into_the_store_is_taken_every_five_seconds() -> None:
    """A permission that is missing makes nobody look more often."""
    desk = Desk()
    assert desk.account.may_look()
    desk.clock.advance(4.875)
    assert not desk.account.may_look()
    desk.clock.advance(0.125)
    assert desk.account.may_look()
    assert not desk.account.may_look()


def test_saving_is_tried_again_every_five_seconds() -> None:
    """A record that could not be saved waits for its turn."""
    desk = Desk()
    assert not desk.account.save_due()
    desk.account.keep_unsaved(desk.record("a"), (0, None), OWNER)
    desk.clock.advance(4.875)
    assert not desk.account.save_due()
    desk.clock.advance(0.125)
    assert desk.account.save_due()


def test_with_another_token_nothing_of_the_old_one_is_in_the_way() -> None:
    """Neither that it was refused, nor that attempts to renew it failed a moment ago."""
    desk = Desk()
    desk.having("a")
    desk.account.distrust(desk.held, Trust.REFUSED, "GET /x")
    desk.account.attempt_failed(in_doubt=False)
    desk.account.failed(ERROR, at_least=60.0)
    assert desk.flow.ready() is None
    desk.having("b", 2)
    assert desk.flow.ready() is desk.held
    assert desk.account.attempt_allowed()
    assert desk.account.remembered_failure() is None


def test_a_spacing_that_was_reset_does_not_come_back_from_the_store() -> None:
    """The stored record still has it until the next save; reading that brings no wait back."""
    desk = Desk()
    account = desk.account
    account.did_not_help("GET /x", forced=False)
    stored = Record(1, desk.token("a"), throttle=account.known.throttle)
    account.saw(stored)
    account.accepted("GET /x", account.adopt(stored), forced=False)
    account.saw(stored)
    assert account.forced_wait("GET /x") == 0.0
    assert account.known.throttle == RenewalThrottle()


@pytest.mark.parametrize("forgotten", [False, True])
def test_at_first_nothing_is_known(*, forgotten: bool) -> None:
    """Nor that anything stands in the way of the first token; ``forget`` brings that back."""
    desk = Desk()
    account = desk.account
    if forgotten:
        desk.having("a", 7)
        account.begin()
        account.distrust(desk.held, Trust.REFUSED, "GET /x")
        account.attempt_failed(in_doubt=False)
        account.may_look()
        account.failed(TokenEndpointError("the line is dead"), at_least=60.0)
        account.keep_unsaved(desk.record("b"), (7, None), OWNER)
        account.did_not_help("GET /x", forced=False)
        account.forget()
    clock = desk.clock
    compared = Known(generation=7, wall_ahead=clock.time() - clock.monotonic())
    assert account.known == (compared if forgotten else Known())
    assert account.state is TokenState.MISSING
    assert account.trust is Trust.TRUSTED
    assert account.urgency is Urgency.REQUIRED
    assert account.attempt_allowed()
    assert account.may_look()
    assert account.remembered_failure() is None


@pytest.mark.parametrize("trust", Trust)
@pytest.mark.parametrize("state", TokenState)
def test_clock_and_trust_decide_which_renewal_comes_first(state: TokenState, trust: Trust) -> None:
    """Each line of the table holds for what a process knows."""
    desk = Desk()
    account = desk.account
    if state is not TokenState.MISSING:
        desk.having("a")
        if trust is Trust.UNKNOWN:
            account.begin()
        elif trust is not Trust.TRUSTED:
            account.distrust(desk.held, trust, "POST /x")
        left = {TokenState.FRESH: 3600.0, TokenState.STALE: 600.0, TokenState.EXPIRED: 20.0}
        desk.clock.advance(LIFETIME_S - left[state])
        assert account.trust is trust
    assert account.state is state
    assert account.urgency is WHAT_FOLLOWS[state][account.trust]
    if (state, trust) != (TokenState.FRESH, Trust.TRUSTED):
        assert desk.flow.ready() is None


@pytest.mark.parametrize(
    ("first", "second", "level", "news"),
    [
        (Trust.REFUSED, Trust.REFUSED, Trust.REFUSED, False),
        (Trust.REFUSED, Trust.EXPOSED, Trust.EXPOSED, True),
        (Trust.EXPOSED, Trust.REFUSED, Trust.EXPOSED, False),
    ],
)
def test_trust_is_only_ever_lost(first: Trust, second: Trust, level: Trust, *, news: bool) -> None:
    """Until there is another token; and it is told once."""
    desk = Desk()
    desk.having("a")
    assert desk.account.distrust(desk.held, first, "POST /x")
    assert desk.account.distrust(desk.held, second, "POST /x") is news
    assert desk.account.trust is level


def test_a_token_that_is_no_longer_held_is_not_distrusted() -> None:
    """Its refusal says nothing of the one that took its place."""
    desk = Desk()
    desk.having("a")
    old = desk.held
    desk.having("b", 2)
    assert not desk.account.distrust(old, Trust.REFUSED)
    assert not desk.account.distrust(None, Trust.REFUSED)
    assert desk.account.trust is Trust.TRUSTED


def test_what_another_process_learned_of_the_token_counts_here() -> None:
    """Its record of the same token says that it was refused, and that attempts failed."""
    desk = Desk()
    record = desk.having("a")
    attempts = Backoff(3, desk.now + 20.0)
    trust = TokenTrust(Trust.REFUSED, "POST /x", desk.now)
    desk.account.saw(record.revised("theirs", trust=trust, attempts=attempts))
    assert desk.account.trust is Trust.REFUSED
    assert not desk.account.attempt_allowed()


def test_what_is_not_saved_yet_is_not_replaced_by_an_older_record() -> None:
    """What this process learned is younger than what stands in the store."""
    desk = Desk()
    record = desk.having("a")
    desk.account.did_not_help("GET /x", forced=False)
    desk.account.saw(record.revised("theirs"))
    assert desk.account.forced_wait("GET /x") == 30.0


def test_a_record_without_a_token_cannot_be_adopted() -> None:
    """There is nothing to use in it."""
    with pytest.raises(ValueError, match="no token"):
        Desk().account.adopt(Record(3))


def test_an_attempt_put_off_is_put_off_for_ten_minutes_at_most() -> None:
    """However long the server asks for."""
    desk = Desk()
    desk.having("a")
    desk.account.postpone(10_000.0)
    assert desk.account.known.attempts.until == desk.now + 600.0
    desk.account.postpone(1.0)
    assert desk.account.known.attempts.until == desk.now + 600.0


def test_what_did_not_help_is_news_once_for_each_kind() -> None:
    """While the wait lasts, however many requests find it out."""
    desk = Desk()
    desk.having("a")
    kinds = ["GET /v2/wallets", "GET /v2/wallets", "GET /v2/other"]
    assert [desk.account.did_not_help(kind, forced=False) for kind in kinds] == [True, False, True]
