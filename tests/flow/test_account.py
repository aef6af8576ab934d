"""How long failures keep further attempts away: exact seconds, for each kind of failure."""

from __future__ import annotations

import pytest

from httpx_cobo_auth._protocol.records import Record
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth.errors import TokenEndpointError
from tests.flow.stepping import Desk

ERROR = TokenEndpointError("the line is dead")


def allowed_after(desk: Desk) -> float:
    """Seconds until an early attempt may be made, to the millisecond."""
    begun = desk.clock.monotonic()
    while not desk.account.early_allowed():
        desk.clock.advance(0.125)
    return desk.clock.monotonic() - begun


def hold_after(desk: Desk) -> float:
    """Seconds until a failure is remembered no more."""
    begun = desk.clock.monotonic()
    while desk.account.held_failure() is not None:
        desk.clock.advance(0.125)
    return desk.clock.monotonic() - begun


def test_early_attempts_are_spaced_by_half_a_minute() -> None:
    """A token that lives for hours is good for a while yet."""
    desk = Desk()
    desk.having("a")
    desk.account.early_failed()
    assert allowed_after(desk) == 30.0


def test_early_attempts_are_spaced_by_a_quarter_of_a_short_window() -> None:
    """A token that lives for a minute has a window of seconds: four attempts fit into it."""
    desk = Desk()
    desk.account.adopt(desk.record("a", lifetime=60.0))
    window = desk.held.token.renewal_window
    assert 11.0 < window < 15.0
    desk.account.early_failed()
    assert window / 4 <= allowed_after(desk) < window / 4 + 0.125


def test_without_a_token_nothing_is_spaced_but_what_the_server_asks_for() -> None:
    """There is nothing to go on with meanwhile."""
    desk = Desk()
    desk.account.early_failed()
    assert allowed_after(desk) == 0.0
    desk.account.early_failed(at_least=7.0)
    assert allowed_after(desk) == 7.0


def test_attempts_for_a_token_in_doubt_come_sooner_at_first() -> None:
    """After 1 s, 2 s, 4 s and so on, up to the usual half minute; success begins anew."""
    desk = Desk()
    desk.having("a")
    pauses: list[float] = []
    for _ in range(7):
        desk.account.early_failed(in_doubt=True)
        pauses.append(allowed_after(desk))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    desk.account.recovered()
    desk.account.early_failed(in_doubt=True)
    assert allowed_after(desk) == 1.0


def test_what_the_server_asks_for_is_longer_than_any_pause() -> None:
    """``Retry-After`` counts where it is longer."""
    desk = Desk()
    desk.having("a")
    desk.account.early_failed(in_doubt=True, at_least=120.0)
    assert allowed_after(desk) == 120.0


def test_a_failure_is_remembered_from_the_second_on_and_ever_longer() -> None:
    """Not at all, then 1 s, 2 s and so on, up to half a minute; success begins anew."""
    desk = Desk()
    holds: list[float] = []
    for _ in range(8):
        desk.account.failed(ERROR, at_least=0.0)
        holds.append(hold_after(desk))
    assert holds == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    desk.account.recovered()
    desk.account.failed(ERROR, at_least=0.0)
    assert hold_after(desk) == 0.0


def test_a_failure_is_remembered_as_long_as_asked_for() -> None:
    """The first as well, and beyond the half minute."""
    desk = Desk()
    desk.account.failed(ERROR, at_least=90.0)
    assert desk.account.held_failure() is ERROR
    assert hold_after(desk) == 90.0


def test_a_new_exchange_lets_early_attempts_be_made_at_once() -> None:
    """Its end is in doubt until it is known: whoever comes next must not be kept away."""
    desk = Desk()
    desk.having("a")
    desk.account.early_failed()
    desk.account.begin()
    assert desk.account.early_allowed()


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
    assert not desk.account.unsaved_due()
    desk.account.keep_unsaved(desk.record("a"), (0, None))
    desk.clock.advance(4.875)
    assert not desk.account.unsaved_due()
    desk.clock.advance(0.125)
    assert desk.account.unsaved_due()


def test_with_another_token_nothing_of_the_old_one_is_in_the_way() -> None:
    """Neither that it was refused, nor that attempts to renew it failed a moment ago."""
    desk = Desk()
    desk.having("a")
    desk.account.refuse(desk.held, "GET /x")
    desk.account.early_failed()
    desk.account.failed(ERROR, at_least=60.0)
    settled = [desk.account.settled]
    desk.having("b", 2)
    settled.append(desk.account.settled)
    assert settled == [False, True]
    assert desk.account.early_allowed()
    assert desk.account.held_failure() is None


def test_a_spacing_that_was_reset_does_not_come_back_from_the_store() -> None:
    """The stored record still has it until the next save; reading that brings no wait back."""
    desk = Desk()
    account = desk.account
    account.vain("GET /x")
    stored = Record(1, desk.token("a"), throttle=account.throttle)
    account.accepted("GET /x")
    account.saw(stored)
    assert account.forced_wait() == 0.0
    assert account.throttle.ineffective_count == 0


@pytest.mark.parametrize("forgotten", [False, True])
def test_at_first_nothing_is_known(*, forgotten: bool) -> None:
    """Nor that anything stands in the way of the first token; ``forget`` brings that back."""
    desk = Desk()
    account = desk.account
    if forgotten:
        desk.having("a", 7)
        account.begin()
        account.refuse(desk.held, "GET /x")
        account.early_failed()
        account.may_look()
        account.failed(TokenEndpointError("the line is dead"), at_least=60.0)
        account.keep_unsaved(desk.record("b"), (7, None))
        account.vain("GET /x")
        account.forget()
    assert account.settled
    assert account.held is None
    assert account.refused_cause == ""
    assert account.epoch == 0
    assert account.next_generation == 1
    assert account.throttle == RenewalThrottle(0, 0.0, "", ())
    assert account.early_allowed()
    assert account.may_look()
    assert account.held_failure() is None
