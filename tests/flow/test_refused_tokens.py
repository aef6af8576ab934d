"""A token that was refused: who renews it, when, who waits, and what counts as ineffective."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.effects import (
    BeginWrite,
    EndWrite,
    Enter,
    Entry,
    Exchange,
    Leave,
    Load,
    LockStore,
    ResponseSummary,
    Save,
    Send,
    UnlockStore,
)
from httpx_cobo_auth._protocol.records import TokenTrust, Trust
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth.errors import TokenEndpointError
from httpx_cobo_auth.events import TokenAcquired, TokenRenewed
from tests.flow.stepping import (
    ENTERED,
    FINE,
    LIFETIME_S,
    Desk,
    Sending,
    advance,
    ineffective,
    noted,
    perform,
    play,
    read,
    reply,
    write,
    written_down,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx_cobo_auth._protocol.effects import Effect
    from httpx_cobo_auth._protocol.records import Record
    from tests.flow.stepping import Step

REFUSED = ResponseSummary(401)
DEAD = ResponseSummary(500, 1000)
WAIT_S = 93.0
KIND = "GET /v2/wallets"


def held_off(*, shared: bool = False) -> tuple[Desk, Record]:
    """Have forced renewals wait, for another request that they did not help."""
    desk = Desk(shared=shared)
    stored = desk.having("a", throttle=ineffective("GET /v2/other", desk.now + 30.0))
    assert desk.account.forced_wait(KIND) == 30.0
    return desk, stored


def replaced(desk: Desk, stored: Record) -> list[Step]:
    """Ask by ``org_implicit``, for the refresh token may be spent; count nothing as forced."""
    return [
        *desk.until_noted(stored, glance=True),
        *desk.exchanged(stored, "b", None),
        TokenAcquired,
    ]


def shown_to_help(desk: Desk, stored: Record) -> Iterator[Step]:
    """Let all processes know at once that they need not wait any longer."""
    renewed = replace(desk.record("b", 2), throttle=stored.throttle)
    return written_down(renewed, throttle=RenewalThrottle(forced_at=stored.throttle.forced_at))


@pytest.mark.hazard(24)
@pytest.mark.parametrize("answer", [REFUSED, DEAD])
def test_a_lost_exchange_of_this_process_explains_it(answer: ResponseSummary) -> None:
    """It ended unseen while the read waited: a new token, though forced ones have to wait."""
    desk, stored = held_off()

    def ends_unseen() -> Entry:
        desk.account.begin()
        return Entry(ended=True)

    play(
        desk.flow.request(read()),
        (Sending("a"), answer),
        (Enter(WAIT_S), ends_unseen),
        *replaced(desk, noted(stored, desk.now)),
        (Sending("b"), FINE),
        *shown_to_help(desk, stored),
    )
    assert desk.account.known.throttle == RenewalThrottle()


@pytest.mark.hazard(24)
@pytest.mark.parametrize("answer", [REFUSED, DEAD])
def test_a_lost_exchange_of_another_process_explains_it(answer: ResponseSummary) -> None:
    """It died with its note in the store: a new token, though forced ones have to wait."""
    desk, stored = held_off(shared=True)
    play(
        desk.flow.request(read()),
        (Sending("a"), answer),
        *replaced(desk, noted(stored, desk.now)),
        (Sending("b"), FINE),
        *shown_to_help(desk, stored),
    )
    assert desk.account.known.throttle == RenewalThrottle()


def test_a_token_that_has_expired_by_the_server_explains_it() -> None:
    """Found by a machine whose clock is behind: its refusal tells the time, and forces nothing."""
    desk = Desk()
    held = replace(desk.record("a"), throttle=ineffective("GET /v2/other", desk.now + 30.0))
    desk.account.adopt(held)  # No answer has told the server's time yet.
    late = replace(DEAD, server_time=desk.now + LIFETIME_S)
    play(
        desk.flow.request(read()),
        (Sending("a"), late),
        *desk.until_noted(held, glance=True),
        (Exchange, reply("b", desk.now)),
        Save,
        Leave(),
        TokenRenewed,
        (Sending("b"), FINE),
        LockStore,
        UnlockStore,
    )
    assert not desk.account.known.throttle.forced_at


@pytest.mark.parametrize("answer", [REFUSED, DEAD])
def test_the_odd_refusals_of_another_program_hold_nobody_off_whose_token_worked(
    answer: ResponseSummary,
) -> None:
    """A read was accepted with this very token, so its refusal is news: a new token, at once."""
    desk, stored = held_off(shared=True)
    play(desk.flow.request(read()), (Sending("a"), FINE))
    assert desk.account.forced_wait(KIND) == 0.0
    assert desk.account.forced_wait("GET /v2/word") == 30.0
    throttle = stored.throttle.forced(desk.now)
    play(
        desk.flow.request(read()),
        (Sending("a"), answer),
        *desk.until_noted(stored, glance=True),
        *desk.exchanged(stored, "b", stored.token, throttle=throttle),
        TokenRenewed,
        (Sending("b"), FINE),
        *shown_to_help(desk, replace(stored, throttle=throttle)),
    )
    assert desk.account.forced_wait("GET /v2/word") == 0.0


def test_a_new_token_has_to_be_proven_anew() -> None:
    """Or a hundred kinds that break at once would force a hundred renewals."""
    desk, stored = held_off()
    play(desk.flow.request(read()), (Sending("a"), FINE))
    after = stored.throttle.did_not_help(desk.now, "GET /v2/word", forced=False)
    desk.account.adopt(replace(desk.record("b", 2), throttle=after))
    assert desk.account.forced_wait(KIND) == 30.0


def test_what_an_older_token_had_accepted_proves_nothing() -> None:
    """The answer came after another token had."""
    desk, stored = held_off()
    flow = desk.flow.request(read())
    advance(flow)
    desk.account.adopt(replace(desk.record("b", 2), throttle=stored.throttle))
    with pytest.raises(StopIteration):
        advance(flow, FINE)
    assert desk.account.forced_wait(KIND) == 30.0


def test_an_answer_of_a_server_in_trouble_proves_nothing() -> None:
    """A 503 may come from a gateway that knows no token; nor does it end its own kind's wait."""
    desk = Desk()
    desk.having("a", throttle=ineffective(KIND, desk.now + 30.0))
    play(desk.flow.request(read()), (Sending("a"), ResponseSummary(503)))
    play(desk.flow.request(read("/v2/word")), (Sending("a"), ResponseSummary(503)))
    assert desk.account.forced_wait(KIND) == 30.0
    assert desk.account.forced_wait("GET /v2/word") == 30.0


def test_a_record_of_what_works_does_not_grow_without_end() -> None:
    """Where identifiers look like words, the first 64 kinds count."""
    desk, _ = held_off()
    for number in range(100):
        word = chr(97 + number // 26) + chr(97 + number % 26)
        play(desk.flow.request(read(f"/v2/{word}")), (Sending("a"), FINE))
    assert desk.account.forced_wait("GET /v2/aa") == 0.0
    assert desk.account.forced_wait("GET /v2/dv") == 30.0


def test_a_refusal_that_a_lost_exchange_explains_is_not_counted_towards_contention() -> None:
    """Processes that are killed again and again are no second store."""
    desk = Desk(shared=True)
    stored = desk.having("a")
    play(
        desk.flow.request(read()),
        (Sending("a"), REFUSED),
        *replaced(desk, noted(stored, desk.now)),
        (Sending("b"), FINE),
    )
    assert desk.account.known.throttle.forced_at == ()


def test_a_write_that_a_lost_exchange_bounced_counts_nothing_as_ineffective() -> None:
    """The write is handed back; the renewal that follows was called for by the note."""
    desk = Desk()
    stored = noted(desk.having("a"), desk.now)
    play(
        desk.flow.request(write()),
        BeginWrite(),
        (Sending("a"), DEAD),
        # The exchange's outcome will say what is to be known.
        (LockStore(0.0), True),
        (Load(), stored),
        UnlockStore(),
    )
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored, early=True, glance=True),
        *desk.exchanged(stored, "b", None),
        TokenAcquired,
        (Sending("b"), FINE),
    )
    assert desk.account.forced_wait("POST /v2/transfer") == 0.0


def test_the_fifth_refusal_is_handed_over_though_others_go_on_renewing() -> None:
    """Three tokens taken over are no renewal of ours; the fourth stands for the forced one."""
    desk = Desk()
    desk.having("0", 0)
    generations = itertools.count(1)
    sent: list[str] = []

    def newer(_: Effect[Any]) -> Record:
        generation = next(generations)
        return desk.record(str(generation), generation)

    def answered(effect: Effect[Any]) -> ResponseSummary:
        assert isinstance(effect, Send)
        assert effect.held is not None
        sent.append(effect.held.token.access_token)
        assert len(sent) < 10
        return ResponseSummary(401, 2021)

    perform(desk.flow.request(read()), {Enter: ENTERED, Load: newer, Send: answered})
    assert sent == ["access-0", "access-1", "access-2", "access-3", "access-4"]


def test_a_missing_permission_is_handed_over_the_second_time() -> None:
    """Though yet another token came meanwhile: one that has no permission either, it seems."""
    desk = Desk()
    desk.having("a")
    flow = desk.flow.request(read())
    assert Sending("a").fits(next(flow))
    desk.having("b", 2)
    assert Sending("b").fits(advance(flow, ResponseSummary(403, 2025)))
    desk.having("c", 3)
    with pytest.raises(StopIteration):
        advance(flow, ResponseSummary(403, 2025))


def distrusting(trust: TokenTrust, **more: Any) -> Desk:  # noqa: ANN401 - fields of a record
    """Find a token in the store that somebody trusts no longer."""
    desk = Desk()
    desk.having("a", trust=trust, **more)
    return desk


DISTRUST = pytest.mark.parametrize(
    "trust",
    [
        TokenTrust(Trust.REFUSED),
        TokenTrust(Trust.REFUSED, "POST /v2/transfer"),
        TokenTrust(Trust.EXPOSED),
    ],
    ids=["refused", "write refused", "exposed"],
)


@pytest.mark.hazard(52)
@DISTRUST
def test_a_token_that_is_not_trusted_is_renewed_before_a_read_is_sent(trust: TokenTrust) -> None:
    """Whoever learned it, in whichever process: it would be refused, or is in others' hands."""
    flow = distrusting(trust).flow.request(read())
    assert advance(flow) == Enter(93.0)


@pytest.mark.hazard(45)
@DISTRUST
def test_a_token_that_is_not_trusted_is_renewed_before_a_write_is_sent(trust: TokenTrust) -> None:
    """It is not repeated, so it had better not be refused."""
    flow = distrusting(trust).flow.request(write())
    assert [advance(flow) for _ in range(3)] == [BeginWrite(), EndWrite(), Enter(93.0)]


@pytest.mark.hazard(46)
@DISTRUST
def test_attempts_that_failed_keep_others_from_trying_at_once(trust: TokenTrust) -> None:
    """In whichever process: the request goes out as it is, until the next attempt may be made."""
    desk = Desk()
    desk.having("a", trust=trust, attempts=Backoff(1, desk.now + 5.0))
    play(desk.flow.request(read()), (Sending("a"), FINE))
    desk.clock.advance(5.0)
    assert advance(desk.flow.request(read())) == Enter(93.0)


@pytest.mark.parametrize("left", [0.001, 0.5, 1.0, 30.0])
def test_nobody_renews_while_renewals_are_held_off(left: float) -> None:
    """However little of the wait is left, the token goes out as it is; after it, it does not."""
    desk = Desk()
    desk.having(
        "a",
        trust=TokenTrust(Trust.REFUSED, "POST /x"),
        throttle=ineffective("POST /x", desk.now + left),
    )
    play(desk.flow.request(read()), (Sending("a"), FINE))
    desk.clock.advance(left)
    assert advance(desk.flow.request(read())) == Enter(93.0)


def test_every_exchange_begun_is_counted() -> None:
    """One by one: by the count, a caller knows which ones it has heard the end of."""
    desk = Desk()
    counts: list[int] = []
    for _ in range(3):
        desk.account.begin()
        counts.append(desk.account.known.exchanges)
    assert counts == [1, 2, 3]


def test_an_exposed_token_is_replaced_although_forced_renewals_wait() -> None:
    """No request was refused, so what was in vain for another one says nothing about it."""
    desk = Desk()
    stored = desk.having(
        "a",
        trust=TokenTrust(Trust.EXPOSED),
        throttle=ineffective("GET /v2/other", desk.now + 30.0),
    )
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored, early=True),
        *desk.exchanged(stored, "b", stored.token),
        TokenRenewed,
        (Sending("b"), FINE),
    )
    assert desk.account.forced_wait("GET /v2/other") == 30.0


def test_what_another_flow_has_noted_already_is_not_written_down_again() -> None:
    """One renewal did not help once, for however many requests."""
    desk = Desk()
    stored = desk.having("a")
    kind = read().kind

    def another_was_refused_too() -> ResponseSummary:
        assert desk.account.did_not_help(kind, forced=True)
        return REFUSED

    play(
        desk.flow.request(read()),
        (Sending("a"), REFUSED),
        *desk.until_noted(stored, glance=True),
        *desk.exchanged(stored, "b", stored.token, throttle=RenewalThrottle((), (desk.now,))),
        TokenRenewed,
        (Sending("b"), another_was_refused_too),
    )
    assert desk.account.forced_wait(kind) == 30.0


def test_a_write_that_may_have_run_stays_the_cause_when_a_read_is_refused_as_well() -> None:
    """Its renewal still counts as in vain until that write is accepted."""
    desk = Desk()
    stored = desk.having("a")
    reading = desk.flow.request(read())
    assert advance(reading) is not None
    trust = TokenTrust(Trust.REFUSED, "POST /v2/transfer", desk.now)
    play(
        desk.flow.request(write()),
        BeginWrite(),
        (Sending("a"), DEAD),
        *written_down(stored, trust=trust),
    )
    advance(reading, REFUSED)
    with pytest.raises(TokenEndpointError):
        advance(reading, Entry(ended=True, error=TokenEndpointError("limited")))
    assert desk.account.known.trust == trust


def test_a_held_off_write_is_not_renewed_for() -> None:
    """A second bounced write goes on with its token: only its own acceptance ends the wait."""
    desk = Desk()
    desk.having(
        "a",
        trust=TokenTrust(Trust.REFUSED, "POST /v2/transfer"),
        throttle=ineffective("POST /v2/transfer", desk.now + 30.0),
    )
    play(desk.flow.request(read()), (Sending("a"), FINE))
