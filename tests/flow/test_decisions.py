"""What the flow does, line by line of the table in the design; every effect of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.effects import (
    BeginWrite,
    CorrectClock,
    Drain,
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
    Send,
    UnlockStore,
)
from httpx_cobo_auth._protocol.flow import Call, signed_flow
from httpx_cobo_auth._protocol.records import TokenTrust, Trust
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth.errors import (
    RedirectedError,
    RenewalTimeoutError,
    StoreUnavailableError,
    TokenEndpointError,
    TokenRefusedError,
)
from httpx_cobo_auth.events import RenewalFailed, TokenAcquired, TokenRenewed, TokenTakenOver
from tests.flow.stepping import (
    ENTERED,
    FINE,
    OWNER,
    WAITED_ELSEWHERE,
    WAITED_HERE,
    Desk,
    Sending,
    advance,
    call,
    fault,
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
    from httpx_cobo_auth._protocol.effects import Effect
    from httpx_cobo_auth._protocol.records import Record
    from tests.flow.stepping import Step

DEAD = ResponseSummary(500, 1000)
REFUSED = ResponseSummary(401, 2021)
NOT_TO_BE_HAD = False
TOO_FAST = "^tokens expire, or are replaced, faster than they can be used$"
DIED = "^somebody else renewed meanwhile, but that token has expired as well$"


# ------------------------------------------------------------------------------------- FRESH
@pytest.mark.parametrize("status", [200, 204, 302, 400, 404, 409, 429, 502, 503])
def test_a_fresh_read_is_sent_and_nothing_else(status: int) -> None:
    """No lock, no store, no gate."""
    desk = Desk()
    desk.having("a")
    play(desk.flow.request(read()), (Send(desk.held), ResponseSummary(status)))


def test_a_fresh_write_enters_itself_as_in_flight_and_nothing_else() -> None:
    """``BeginWrite`` and the request are all its effects: no seat, no store."""
    desk = Desk()
    desk.having("a")
    play(desk.flow.request(write()), BeginWrite(), (Send(desk.held), FINE))


def test_a_genuine_fault_says_nothing_about_the_token() -> None:
    """500 and 403 with other codes, or none, go to the caller; nothing is renewed."""
    desk = Desk()
    desk.having("a")
    play(desk.flow.request(read()), (Send(desk.held), ResponseSummary(500, 5000)))
    play(desk.flow.request(read()), (Send(desk.held), ResponseSummary(500)))
    play(desk.flow.request(read()), (Send(desk.held), ResponseSummary(403, 12)))
    assert desk.flow.ready() is desk.held


# ------------------------------------------------------------------------------------- STALE
def test_a_stale_read_renews_once_without_waiting_for_anybody() -> None:
    """Seat and lock are asked for with 0 s of patience; with both, it goes out with a new token."""
    desk = Desk()
    stored = desk.having("a")
    desk.grow_stale()
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored, early=True, patient=False),
        *desk.exchanged(stored, "b", stored.token),
        TokenRenewed,
        (Sending("b"), FINE),
    )


def test_a_stale_read_goes_on_while_somebody_else_renews() -> None:
    """Whoever has the seat or the store's lock, the read is sent at once with the current token."""
    desk = Desk()
    stored = desk.having("a")
    desk.grow_stale()
    # In this process:
    play(desk.flow.request(read()), (Enter(0.0), Entry()), (Sending("a"), FINE))
    # In another:
    play(
        desk.flow.request(read()),
        (Enter(0.0), ENTERED),
        (LockStore(0.0), False),
        Leave(),
        (Sending("a"), FINE),
    )
    assert desk.account.known.held is not None
    assert stored.token is desk.account.known.held.token


@pytest.mark.hazard(28)
def test_a_refused_early_attempt_is_reported_spaced_out_and_never_raised() -> None:
    """The read goes out all the same; the next one does not try again, one 31 s later does."""
    desk = Desk()
    stored = desk.having("a")
    desk.grow_stale()
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored, early=True, patient=False),
        (Exchange(stored.token, 10.0), fault(unsent=True)),
        Save(stored.revised(OWNER), (1, OWNER)),
        Leave,
        RenewalFailed,
        (Sending("a"), FINE),
    )
    stored = stored.revised(OWNER)
    # The next one does not try again at once ...
    play(desk.flow.request(read()), (Sending("a"), FINE))
    # ... but after a while.
    desk.clock.advance(31)
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored, early=True, patient=False),
        *desk.exchanged(stored, "b", stored.token),
        TokenRenewed,
        (Sending("b"), FINE),
    )


def test_a_stale_write_waits_for_the_lock_and_reads_again() -> None:
    """Another process renewed meanwhile: the old token may be dead, and writes bounce once."""
    desk = Desk()
    desk.having("a")
    desk.grow_stale()
    play(
        desk.flow.request(write()),
        BeginWrite(),
        EndWrite(),
        (Enter(10.0), ENTERED),
        (LockStore(10.0), True),
        (Load(), desk.record("b", 2)),
        Leave(),
        TokenTakenOver,
        BeginWrite(),
        (Sending("b"), FINE),
    )


def test_a_stale_write_goes_on_where_the_lock_is_not_to_be_had() -> None:
    """It waits 10 s for another process's renewal, and is then sent with the current token."""
    desk = Desk()
    desk.having("a")
    desk.grow_stale()
    play(
        desk.flow.request(write()),
        BeginWrite(),
        EndWrite(),
        (Enter(10.0), ENTERED),
        (LockStore(10.0), False),
        Leave(),
        BeginWrite(),
        (Sending("a"), FINE),
    )


# -------------------------------------------------------------------------- EXPIRED, MISSING
def test_with_an_expired_token_the_renewal_comes_first() -> None:
    """Nothing is sent with the dead token: the first request to go out carries the new one."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored),
        *desk.exchanged(stored, "b", stored.token),
        TokenRenewed,
        (Sending("b"), FINE),
    )


def test_with_an_expired_token_a_failure_is_raised() -> None:
    """Refused by refresh token and by ``org_implicit``: a typed error with Cobo's word for it."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    refused = ExchangeReply(400, b'{"error": "invalid_grant"}', server_time=desk.now)
    with pytest.raises(TokenRefusedError) as caught:
        play(
            desk.flow.request(read()),
            *desk.until_noted(stored),
            (Exchange(stored.token, 10.0), refused),
            (Load(), stored),
            (Exchange(None, 10.0), refused),
            Leave,
            RenewalFailed,
        )
    assert caught.value.error == "invalid_grant"


def test_with_an_expired_token_all_wait_for_one_renewal_for_a_finite_time() -> None:
    """After that a typed error says who was waited for: this process, or another one."""
    desk = Desk()
    desk.having("a")
    desk.expire()
    wait = desk.settings.wait
    with pytest.raises(RenewalTimeoutError, match=WAITED_HERE):
        play(desk.flow.request(read()), (Enter(wait), Entry()))
    with pytest.raises(RenewalTimeoutError, match=WAITED_ELSEWHERE):
        play(
            desk.flow.request(read()),
            (Enter(wait), ENTERED),
            (LockStore(45.0), False),
            Leave,
            RenewalFailed,
        )


def test_who_waited_takes_the_token_that_came() -> None:
    """The waiter sends its request with the other's new token, without a step of its own."""
    desk = Desk()
    desk.having("a")
    desk.expire()
    flow = desk.flow.request(read())
    assert isinstance(advance(flow), Enter)
    desk.having("b", 2)
    assert Sending("b").fits(advance(flow, Entry(ended=True)))


def test_who_waited_shares_the_failure_that_came() -> None:
    """Each raises an error of its own, for a traceback belongs to one caller."""
    desk = Desk()
    desk.having("a")
    desk.expire()
    error = TokenEndpointError("down", status=503)
    wait = desk.settings.wait
    with pytest.raises(TokenEndpointError) as caught:
        play(desk.flow.request(read()), (Enter(wait), Entry(ended=True, error=error)))
    assert caught.value is not error
    assert caught.value.status == 503


def test_who_waited_for_nothing_tries_anew() -> None:
    """The renewer was cancelled, say: it left no token and no error."""
    desk = Desk()
    stored = desk.having("a")
    desk.expire()
    play(
        desk.flow.request(read()),
        (Enter(desk.settings.wait), Entry(ended=True)),
        *desk.until_noted(stored),
        *desk.exchanged(stored, "b", stored.token),
        TokenRenewed,
        (Sending("b"), FINE),
    )


def test_a_first_token_is_asked_for_by_org_implicit() -> None:
    """Nothing in memory, nothing in the store: there is no refresh token to send."""
    desk = Desk()
    play(
        desk.flow.request(read()),
        *desk.until_noted(None, glance=True),
        *desk.exchanged(None, "a", None),
        TokenAcquired,
        (Sending("a"), FINE),
    )


def test_a_first_token_is_not_asked_for_where_the_store_has_one() -> None:
    """A look at the store, without its lock, is enough: a new process takes over what is there."""
    desk = Desk()
    play(
        desk.flow.request(read()),
        (Enter(desk.settings.wait), ENTERED),
        (Load(), desk.record("a")),
        Leave(),
        TokenTakenOver,
        (Sending("a"), FINE),
    )


def test_a_write_gets_its_token_first_and_is_in_flight_from_then_on() -> None:
    """Not during the exchange, or the renewal would drain it and so wait for itself."""
    desk = Desk()
    play(
        desk.flow.request(write()),
        BeginWrite(),
        EndWrite(),
        *desk.until_noted(None, glance=True),
        *desk.exchanged(None, "a", None),
        TokenAcquired,
        BeginWrite(),
        (Sending("a"), FINE),
    )


def test_tokens_that_die_before_a_write_is_sent_end_in_an_error() -> None:
    """They are dead when they come: that is not gone along with for ever."""
    desk = Desk()
    names = itertools.count(1)

    def slow(_: Effect[Any]) -> ExchangeReply:
        sent_at = desk.now
        desk.clock.advance(10)
        return reply(str(next(names)), sent_at, lifetime=5)

    rules = {Enter: ENTERED, LockStore: True, Drain: True, Outlives: True, Exchange: slow}
    with pytest.raises(RenewalTimeoutError, match=TOO_FAST):
        perform(desk.flow.request(write()), rules)
    assert next(names) == 5


def test_dead_tokens_that_somebody_else_saves_end_in_an_error() -> None:
    """The lock lapses each time, and what others renewed is dead when it is found."""
    desk = Desk()
    generations = itertools.count(1)

    def dead(_: Effect[Any]) -> Record:
        generation = next(generations)
        return desk.record(str(generation), generation, lifetime=0.0)

    refused = ExchangeReply(400, b"{}", server_time=desk.now)
    rules: dict[type, object] = {Enter: ENTERED, LockStore: True, Drain: True, Outlives: True}
    rules |= {Load: dead, Exchange: refused}
    with pytest.raises(RenewalTimeoutError, match=TOO_FAST):
        perform(desk.flow.request(read()), rules)
    assert next(generations) < 12


def test_a_dead_token_that_somebody_else_saves_is_no_answer_to_a_refusal() -> None:
    """An exchange has been sent: the flow must not end with its answer, so it raises."""
    desk = Desk()
    stored = desk.having("a")
    refused = ExchangeReply(400, b"{}", server_time=desk.now)
    rules: dict[type, object] = {Enter: ENTERED, LockStore: True, Drain: True, Outlives: True}
    found = iter([None, stored, desk.record("b", 2, lifetime=0.0)])

    def find(_: Load) -> Record | None:
        return next(found)

    rules |= {Load: find, Exchange: refused, Send: REFUSED}
    with pytest.raises(RenewalTimeoutError, match=DIED):
        perform(desk.flow.request(read()), rules)


def test_a_token_that_another_thread_brings_meanwhile_is_looked_at_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two readings of the account, neither of which takes a lock."""
    desk = Desk()

    def nothing_is_needed(*_: object, **__: object) -> None:
        monkeypatch.undo()
        desk.having("a")

    monkeypatch.setattr(desk.flow, "_wanted", nothing_is_needed)
    play(desk.flow.request(read()), (Sending("a"), FINE))


# ---------------------------------------------------------------------- 401 that can be cured
@pytest.mark.parametrize("answer", [REFUSED, ResponseSummary(401), ResponseSummary(401, None, 3.0)])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_401_is_cured_by_a_renewal_and_one_replay_whatever_the_method(
    method: str, answer: ResponseSummary
) -> None:
    """JSON or not: the request was refused before it ran."""
    desk = Desk()
    stored = desk.having("a")
    writes = method != "GET"
    throttle = desk.account.known.throttle.forced(desk.now)
    play(
        desk.flow.request(call(method)),
        *([BeginWrite()] if writes else []),
        (Sending("a"), answer),
        *desk.until_noted(stored, glance=True),
        *desk.exchanged(stored, "b", stored.token, throttle=throttle),
        TokenRenewed,
        *([BeginWrite()] if writes else []),
        (Sending("b"), FINE),
    )
    assert not desk.account.known.throttle.ineffective


def test_a_401_is_cured_by_a_newer_token_in_the_store() -> None:
    """Another process has renewed: its token is taken for the replay, and nothing is exchanged."""
    desk = Desk()
    desk.having("a")
    play(
        desk.flow.request(read()),
        (Sending("a"), REFUSED),
        (Enter(desk.settings.wait), ENTERED),
        (Load(), desk.record("b", 2)),
        Leave(),
        TokenTakenOver,
        (Sending("b"), FINE),
    )


def test_a_401_of_a_token_replaced_meanwhile_forces_nothing() -> None:
    """Superseded up to three times, the request is just sent again."""
    desk = Desk()
    desk.having("a")
    flow = desk.flow.request(read())
    effect = next(flow)
    for generation, (older, newer) in enumerate(pairwise("abcd"), 2):
        assert Sending(older).fits(effect)
        desk.having(newer, generation)
        effect = advance(flow, REFUSED)
    assert Sending("d").fits(effect)
    # After that, the token that came meanwhile stands for the forced renewal.
    desk.having("e", 5)
    effect = advance(flow, REFUSED)
    assert Sending("e").fits(effect)
    desk.having("f", 6)
    assert flow.send(REFUSED) == LockStore(0.0)
    assert flow.send(NOT_TO_BE_HAD) == UnlockStore()
    with pytest.raises(StopIteration):
        advance(flow)


def test_a_replay_that_is_refused_again_shows_that_the_renewal_did_not_help() -> None:
    """The record tells other processes; nobody forces another renewal for a while."""
    desk = Desk()
    stored = desk.having("a")
    forced = desk.account.known.throttle.forced(desk.now)
    after = forced.did_not_help(desk.now, "GET /v2/wallets", forced=True)
    renewed = desk.record("b", 2)
    play(
        desk.flow.request(read()),
        (Sending("a"), REFUSED),
        *desk.until_noted(stored, glance=True),
        *desk.exchanged(stored, "b", stored.token, throttle=forced),
        TokenRenewed,
        (Sending("b"), REFUSED),
        *written_down(replace(renewed, throttle=forced), throttle=after),
    )
    renewed = replace(renewed, throttle=after)
    assert desk.account.forced_wait("GET /v2/wallets") == 30.0
    # The next refusals look into the store, and that is all.
    for _ in range(2):
        play(
            desk.flow.request(read()),
            (Sending("b"), REFUSED),
            (Enter(desk.settings.wait), ENTERED),
            (Load(), renewed),
            Leave(),
        )


def test_a_request_of_the_same_kind_being_accepted_ends_the_wait() -> None:
    """Another one that is accepted says nothing about it."""
    desk = Desk()
    desk.having("a", throttle=ineffective("GET /v2/wallets", desk.now + 30.0))
    play(desk.flow.request(read("/v2/other")), (Sending("a"), FINE))
    assert desk.account.forced_wait("GET /v2/wallets") == 30.0
    play(desk.flow.request(read("/v2/wallets")), (Sending("a"), FINE))
    assert desk.account.forced_wait("GET /v2/wallets") == 0.0


def test_a_renewal_that_does_not_help_is_waited_for_longer_each_time() -> None:
    """30 s after the first, doubling, 600 s at most."""
    desk = Desk()
    waits: list[float] = []
    for _ in range(7):
        desk.account.did_not_help("GET /v2/wallets", forced=False)
        waits.append(desk.account.forced_wait("GET /v2/wallets"))
        desk.clock.advance(waits[-1])
    assert waits == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


# -------------------------------------------------------------------- 401 that cannot be cured
@pytest.mark.hazard(34)
@pytest.mark.parametrize("code", [2022, 2023, 2024])
@pytest.mark.parametrize("request_", [read(), write()], ids=["read", "write"])
def test_a_401_that_no_token_can_mend_is_handed_over(code: int, request_: Call) -> None:
    """2022, 2023 and 2024 with a clock less than 60 s off: no renewal, no replay, nothing noted."""
    desk = Desk()
    desk.having("a")
    play(
        desk.flow.request(request_),
        *([BeginWrite()] if request_.write else []),
        (Sending("a"), ResponseSummary(401, code, 59.0)),
    )
    assert desk.flow.ready() is desk.held


@pytest.mark.parametrize("off", [61.0, -3600.0])
@pytest.mark.parametrize("code", [None, 2022, 2024, 2021])
def test_a_clock_that_is_off_is_corrected_and_nothing_renewed(off: float, code: int) -> None:
    """More than 60 s, either way, by the server's verified time: one replay with the same token."""
    desk = Desk()
    desk.having("a")
    play(
        desk.flow.request(write()),
        BeginWrite(),
        (Sending("a"), ResponseSummary(401, code, off)),
        CorrectClock(off),
        BeginWrite(),
        (Sending("a"), FINE),
    )


def test_a_clock_is_corrected_once_for_a_request() -> None:
    """Where that did not help, the second 401 is the caller's."""
    desk = Desk()
    desk.having("a")
    play(
        desk.flow.request(read()),
        (Sending("a"), ResponseSummary(401, 2024, 100.0)),
        CorrectClock(100.0),
        (Sending("a"), ResponseSummary(401, 2024, 100.0)),
    )


def test_a_token_refused_after_the_clock_was_corrected_is_renewed_all_the_same() -> None:
    """A correction does not use up the replay that a curable 401 may have."""
    desk = Desk()
    stored = desk.having("a")
    play(
        desk.flow.request(read()),
        (Sending("a"), ResponseSummary(401, 2024, 100.0)),
        CorrectClock(100.0),
        (Sending("a"), REFUSED),
        *desk.until_noted(stored, glance=True),
        *desk.exchanged(
            stored, "b", stored.token, throttle=desk.account.known.throttle.forced(desk.now)
        ),
        TokenRenewed,
        (Sending("b"), FINE),
    )


def test_without_a_verified_time_no_clock_is_corrected() -> None:
    """An environment without a key says no time that can be trusted: the 401 is handed over."""
    desk = Desk(verified=False)
    desk.having("a")
    play(desk.flow.request(read()), (Sending("a"), ResponseSummary(401, 2024, None)))


def test_a_request_that_is_only_signed_has_its_clock_corrected_once() -> None:
    """Without a token, as in ``CoboAuth``, nothing but the clock is ever mended."""
    play(signed_flow(), (Send(None), FINE))
    play(signed_flow(), (Send(None), ResponseSummary(401, 2024)))
    play(
        signed_flow(),
        (Send(None), ResponseSummary(401, 2024, -100.0)),
        CorrectClock(-100.0),
        (Send(None), ResponseSummary(401, 2024, -100.0)),
    )


# --------------------------------------------------------------------------------- 500 / 1000
@pytest.mark.hazard(32)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_500_1000_on_a_read_is_as_a_curable_401(method: str) -> None:
    """Cobo says so that a token has expired; a read may run twice: renewed and replayed."""
    desk = Desk()
    stored = desk.having("a")
    play(
        desk.flow.request(call(method)),
        (Sending("a"), DEAD),
        *desk.until_noted(stored, glance=True),
        *desk.exchanged(
            stored, "b", stored.token, throttle=desk.account.known.throttle.forced(desk.now)
        ),
        TokenRenewed,
        (Sending("b"), FINE),
    )


@pytest.mark.hazard(40, 45)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY"])
def test_a_500_1000_on_a_write_ends_the_flow_and_the_next_one_renews_first(method: str) -> None:
    """It may have run. As nothing is replayed, nothing shows that the renewal helped."""
    desk = Desk()
    kind = f"{method} /v2/wallets"
    stored = desk.having("a")
    trust = TokenTrust(Trust.REFUSED, kind, desk.now)
    play(
        desk.flow.request(call(method)),
        BeginWrite(),
        (Sending("a"), DEAD),
        *written_down(stored, trust=trust),
    )
    throttle = ineffective(kind, desk.now + 30.0)
    play(
        desk.flow.request(read("/v2/other")),
        *desk.until_noted(stored.revised(OWNER, trust=trust), early=True, glance=True),
        *desk.exchanged(stored, "b", stored.token, throttle=throttle),
        TokenRenewed,
        (Sending("b"), FINE),
    )
    # A second time in a row is held off, but the request goes out.
    renewed = replace(desk.record("b", 2), throttle=throttle)
    play(
        desk.flow.request(call(method)),
        BeginWrite(),
        (Sending("b"), DEAD),
        *written_down(renewed, trust=trust),
    )
    play(desk.flow.request(read("/v2/other")), (Sending("b"), FINE))
    # It is that request which has to be accepted.
    play(desk.flow.request(call(method)), BeginWrite(), (Sending("b"), FINE))
    assert desk.account.forced_wait(kind) == 0.0


def test_a_write_after_a_refused_write_waits_for_the_renewal() -> None:
    """The second write renews before it is sent, and goes out with the new token."""
    desk = Desk()
    stored = desk.having("a")
    trust = TokenTrust(Trust.REFUSED, "POST /v2/transfer", desk.now)
    play(
        desk.flow.request(write()),
        BeginWrite(),
        (Sending("a"), DEAD),
        *written_down(stored, trust=trust),
    )
    throttle = ineffective("POST /v2/transfer", desk.now + 30.0)
    play(
        desk.flow.request(write()),
        BeginWrite(),
        EndWrite(),
        *desk.until_noted(stored.revised(OWNER, trust=trust), early=True, glance=True),
        *desk.exchanged(stored, "b", stored.token, throttle=throttle),
        TokenRenewed,
        BeginWrite(),
        (Sending("b"), FINE),
    )


def test_what_was_learned_is_written_later_where_the_store_is_busy() -> None:
    """The request is handed back at once; every five seconds another one tries to save it."""
    desk = Desk()
    stored = desk.having("a")
    trust = TokenTrust(Trust.REFUSED, "POST /v2/transfer", desk.now)
    attempts = Backoff(1, desk.now + 60.0)
    desk.account.saw(stored.revised("theirs", attempts=attempts))
    play(
        desk.flow.request(write()),
        BeginWrite(),
        (Sending("a"), DEAD),
        (LockStore(0.0), NOT_TO_BE_HAD),
        UnlockStore(),
    )
    play(desk.flow.request(read()), (Sending("a"), FINE))
    desk.clock.advance(5.0)
    play(
        desk.flow.request(read()),
        *written_down(stored, trust=trust, attempts=attempts),
        (Sending("a"), FINE),
    )


@pytest.mark.parametrize("step", ["lock", "load", "save"])
def test_a_store_that_cannot_be_written_fails_no_request(step: str) -> None:
    """What was learned stays in memory, for this process at least."""
    desk = Desk()
    stored = desk.having("a")
    down = StoreUnavailableError("down")
    steps: dict[str, list[Step]] = {
        "lock": [(LockStore(0.0), down)],
        "load": [(LockStore(0.0), True), (Load(), down)],
        "save": [(LockStore(0.0), True), (Load(), stored), (Save, down)],
    }
    play(
        desk.flow.request(write()),
        BeginWrite(),
        (Sending("a"), DEAD),
        *steps[step],
        UnlockStore(),
    )
    assert desk.account.trust is Trust.REFUSED


@pytest.mark.hazard(40, 52)
@pytest.mark.parametrize("request_", [read(), write()], ids=["read", "write"])
def test_a_token_sent_along_a_redirect_is_exposed_for_all(request_: Call) -> None:
    """The error is raised, and the record tells other processes not to use that token."""
    desk = Desk()
    stored = desk.having("a")
    trust = TokenTrust(Trust.EXPOSED, "", desk.now)
    with pytest.raises(RedirectedError):
        play(
            desk.flow.request(request_),
            *([BeginWrite()] if request_.write else []),
            (Sending("a"), RedirectedError("elsewhere")),
            *written_down(stored, trust=trust),
        )
    assert desk.account.trust is Trust.EXPOSED


def test_a_refused_write_says_nothing_about_a_newer_token() -> None:
    """The token was replaced while the write was under way: its 500 marks nothing for renewal."""
    desk = Desk()
    desk.having("a")
    flow = desk.flow.request(write())
    assert next(flow) == BeginWrite()
    assert Sending("a").fits(flow.send(None))
    desk.having("b", 2)
    with pytest.raises(StopIteration):
        advance(flow, DEAD)
    assert desk.flow.ready() is desk.held


@pytest.mark.parametrize("answer", [DEAD, REFUSED])
def test_a_write_is_replayed_after_a_500_1000_where_the_caller_asks_for_it(
    answer: ResponseSummary,
) -> None:
    """With ``cobo_replay`` a write is treated as a read: renewed, sent once more."""
    desk = Desk()
    stored = desk.having("a")
    play(
        desk.flow.request(write(replay=True)),
        BeginWrite(),
        (Sending("a"), answer),
        *desk.until_noted(stored, glance=True),
        *desk.exchanged(
            stored, "b", stored.token, throttle=desk.account.known.throttle.forced(desk.now)
        ),
        TokenRenewed,
        BeginWrite(),
        (Sending("b"), FINE),
    )


# ------------------------------------------------------------------------------ 403, 2025/4001
@pytest.mark.parametrize("code", [2025, 4001])
@pytest.mark.parametrize("request_", [read(), write()], ids=["read", "write"])
def test_a_missing_permission_looks_once_for_a_newer_token(code: int, request_: Call) -> None:
    """2025 or 4001 with a newer token stored: one replay; a second refusal is the caller's."""
    desk = Desk()
    desk.having("a")
    begin = [BeginWrite()] if request_.write else []
    play(
        desk.flow.request(request_),
        *begin,
        (Sending("a"), ResponseSummary(403, code)),
        (Enter(0.0), ENTERED),
        (Load(), desk.record("b", 2)),
        Leave(),
        TokenTakenOver,
        *begin,
        (Sending("b"), ResponseSummary(403, code)),
    )


@pytest.mark.parametrize("stored", ["same", "nothing", "down", "exchanging"])
def test_a_missing_permission_is_handed_over_where_there_is_no_newer_token(stored: str) -> None:
    """No lock, no exchange, no store error; for 5 s the next refusals do not even look."""
    desk = Desk()
    same = desk.having("a")
    found = {
        "same": same,
        "nothing": None,
        "down": StoreUnavailableError("down"),
        "exchanging": noted(desk.record("b", 2), desk.now),
    }[stored]
    play(
        desk.flow.request(read()),
        (Sending("a"), ResponseSummary(403, 2025)),
        (Enter(0.0), ENTERED),
        (Load(), found),
        Leave(),
    )
    # Looking is spaced.
    play(desk.flow.request(read()), (Sending("a"), ResponseSummary(403, 2025)))
    desk.clock.advance(5)
    play(
        desk.flow.request(read()), (Sending("a"), ResponseSummary(403, 2025)), (Enter(0.0), Entry())
    )


def test_a_missing_permission_of_a_token_replaced_meanwhile_means_replay() -> None:
    """The newer token is in memory already: the request is repeated without a look at the store."""
    desk = Desk()
    desk.having("a")
    flow = desk.flow.request(read())
    assert Sending("a").fits(next(flow))
    desk.having("b", 2)
    assert Sending("b").fits(advance(flow, ResponseSummary(403, 2025)))


def test_a_token_found_for_its_permissions_brings_its_throttle_along() -> None:
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
    assert desk.account.known.throttle == throttle


def test_a_first_token_found_brings_its_throttle_along() -> None:
    """The same where no token is held: the wait is not begun anew by every process."""
    desk = Desk()
    throttle = replace(ineffective("GET /x", desk.now + 30.0), forced_at=(desk.now,))
    found = replace(desk.record("a"), throttle=throttle)
    play(desk.flow.token(), (Enter(93.0), ENTERED), (Load(), found), Leave(), TokenTakenOver)
    assert desk.account.known.throttle == throttle


def test_nobody_replays_a_write_who_was_not_asked_to() -> None:
    """Whoever makes a call says so, or else it is not replayed."""
    assert not Call("POST", read().url, write=True).replay
