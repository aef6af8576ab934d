"""Which grant is asked for, how often, and when to stop: the exchange, stepped by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth._protocol.effects import (
    CorrectClock,
    Exchange,
    ExchangeFault,
    ExchangeReply,
    Load,
    Sleep,
)
from httpx_cobo_auth._protocol.token_endpoint import Failed, Issued, exchange
from httpx_cobo_auth.errors import (
    RedirectedError,
    StoreUnavailableError,
    TokenEndpointError,
    TokenRefusedError,
    TokenReplyError,
)
from tests.flow.stepping import Desk, fault, noted, play, reply

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.effects import Flow
    from httpx_cobo_auth._protocol.tokens import Token
    from tests.flow.stepping import Step


class Endpoint(Desk):
    """A desk with a token to spend, and answers of the token endpoint."""

    def __init__(self, *, verified: bool = True) -> None:
        super().__init__(verified=verified)
        self.stored = self.having("a")
        assert self.stored.token is not None
        self.spend: Token = self.stored.token

    def exchange(self, spend: Token | None, *, early: bool = False) -> Flow[Any]:
        """Begin one."""
        return exchange(self.account, self.settings, spend, early=early)

    def says(self, status: int, body: bytes = b"{}", **more: Any) -> ExchangeReply:  # noqa: ANN401 - its fields
        """Answer, signed."""
        return ExchangeReply(status, body, server_time=self.now, **more)


@pytest.mark.parametrize("status", [200, 201, 299])
def test_a_refresh_token_gets_the_next_token(status: int) -> None:
    """Any 2XX will do, and the token counts as renewed, not as issued anew."""
    desk = Endpoint()
    issued = play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), reply("b", desk.now, status=status)),
    )
    assert issued == Issued(desk.token("b"), implicit=False)


@pytest.mark.hazard(23)
def test_a_reply_without_a_refresh_token_carries_the_old_one_on() -> None:
    """RFC 6749 leaves it out where it does not change: the old one is kept for the next renewal."""
    desk = Endpoint()
    issued = play(
        desk.exchange(desk.spend), (Exchange(desk.spend, 10.0), reply("b", desk.now, refresh=False))
    )
    assert issued.token.refresh_token == "refresh-a"


def test_what_was_certainly_not_processed_is_sent_again_with_backoff() -> None:
    """A connection refused and a 429 leave the refresh token unspent: again after 0.5 s and 1 s."""
    desk = Endpoint()
    issued = play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), fault(unsent=True)),
        Sleep(0.5),
        (Exchange(desk.spend, 10.0), desk.says(429)),
        Sleep(1.0),
        (Exchange(desk.spend, 10.0), reply("b", desk.now)),
    )
    assert not issued.implicit


def test_three_attempts_are_enough_and_the_refresh_token_is_unspent() -> None:
    """Never sent, so it may be sent by the next renewal."""
    desk = Endpoint()
    failed = play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), fault(unsent=True)),
        Sleep(0.5),
        (Exchange(desk.spend, 10.0), fault(unsent=True)),
        Sleep(1.0),
        (Exchange(desk.spend, 10.0), fault(unsent=True)),
    )
    assert isinstance(failed, Failed)
    assert failed.unspent


def test_an_early_attempt_is_one_attempt() -> None:
    """A renewal that could as well come later tries nothing again, whatever it may."""
    desk = Endpoint()
    failed = play(
        desk.exchange(desk.spend, early=True), (Exchange(desk.spend, 10.0), desk.says(429))
    )
    assert failed.unspent


@pytest.mark.parametrize(
    ("retry_after", "slept"), [(0.0, 0.5), (0.2, 0.5), (3.0, 3.0), (29.9, 29.9)]
)
def test_a_retry_after_within_the_time_limit_is_waited_for(
    retry_after: float, slept: float
) -> None:
    """Up to the 30 s of an exchange it counts, where it is longer than the backoff."""
    desk = Endpoint()
    play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), desk.says(429, retry_after=retry_after)),
        Sleep(slept),
        (Exchange(desk.spend, 10.0), reply("b", desk.now)),
    )


def test_a_longer_retry_after_is_raised_with_the_time() -> None:
    """From 30 s on nobody waits with the lock in hand: the error carries the time."""
    desk = Endpoint()
    failed = play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), desk.says(429, retry_after=30.0)),
    )
    assert failed.unspent
    assert failed.error.retry_after == 30.0


@pytest.mark.hazard(1)
def test_the_time_limit_bounds_attempts_and_their_timeouts() -> None:
    """30 s for all: after 23.5 s a request may take 6.5 s, and a last one no more than 1 s."""
    desk = Endpoint()
    flow = desk.exchange(desk.spend)
    assert next(flow) == Exchange(desk.spend, 10.0)
    desk.clock.advance(23)
    assert flow.send(fault(unsent=True)) == Sleep(0.5)
    desk.clock.advance(0.5)
    assert flow.send(None) == Exchange(desk.spend, 6.5)
    desk.clock.advance(6.5)
    # Its fate is unknown; and org_implicit, though late, is worth a second.
    assert flow.send(fault(unsent=False)) == Exchange(None, 1.0)
    with pytest.raises(StopIteration) as ended:
        flow.send(fault(unsent=True))
    assert not ended.value.value.unspent


FATES = {
    "no answer": fault(unsent=False),
    "500": ExchangeReply(500, b"{}", server_time=1.0),
    "502 of a gateway": ExchangeReply(502, b"<html>"),
    "503": ExchangeReply(503, b"{}", server_time=1.0),
    "redirect": ExchangeReply(307, b"", server_time=1.0),
    "nothing": ExchangeReply(200, b"", server_time=1.0),
    "a list": ExchangeReply(200, b"[]", server_time=1.0),
    "too long": ExchangeReply(200, None),
    "unsigned 200": ExchangeReply(200, b"{}"),
    "unsigned 400": ExchangeReply(400, b"{}"),
    "unsigned 401": ExchangeReply(401, b"{}"),
}


@pytest.mark.hazard(24)
@pytest.mark.parametrize("fate", FATES.values(), ids=FATES)
def test_a_refresh_token_of_unknown_fate_is_never_sent_again(
    fate: ExchangeReply | ExchangeFault,
) -> None:
    """Unsigned refusals count as such where the key is known: they come from elsewhere."""
    desk = Endpoint()
    issued = play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), fate),
        (Exchange(None, 10.0), reply("b", desk.now)),
    )
    assert issued.implicit


def test_org_implicit_is_tried_three_times_of_its_own() -> None:
    """Attempts with the refresh token do not count; the last reply, an empty one, is typed."""
    desk = Endpoint()
    failed = play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), fault(unsent=True)),
        Sleep(0.5),
        (Exchange(desk.spend, 10.0), fault(unsent=False)),
        (Exchange(None, 10.0), desk.says(503)),
        Sleep(0.5),
        (Exchange(None, 10.0), desk.says(503)),
        Sleep(1.0),
        (Exchange(None, 10.0), desk.says(200)),
    )
    assert type(failed.error) is TokenReplyError
    assert not failed.unspent


def test_an_early_attempt_falls_back_to_org_implicit_once() -> None:
    """One attempt with the refresh token, one without, and the former counts as spent."""
    desk = Endpoint()
    failed = play(
        desk.exchange(desk.spend, early=True),
        (Exchange(desk.spend, 10.0), fault(unsent=False)),
        (Exchange(None, 10.0), fault(unsent=True)),
    )
    assert not failed.unspent


@pytest.mark.parametrize("found", ["same", "nothing", "down", "pending", "older"])
def test_a_refused_refresh_token_with_nothing_newer_in_the_store_is_replaced_once(
    found: str,
) -> None:
    """One look at the store, one ``org_implicit``; refused as well, its error is the one raised."""
    desk = Endpoint()
    stored: dict[str, Step] = {
        "same": desk.stored,
        "nothing": None,
        "down": StoreUnavailableError("down"),
        "pending": noted(desk.record("b", 2), desk.now),
        "older": desk.record("b", 0),
    }
    failed = play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), desk.says(400, b'{"error": "invalid_grant"}')),
        (Load(), stored[found]),
        (Exchange(None, 10.0), desk.says(403, b'{"error": "access_denied"}')),
    )
    assert type(failed.error) is TokenRefusedError
    assert failed.error.error == "access_denied"
    assert not failed.unspent


def test_a_refusal_due_to_somebody_else_ends_with_their_token() -> None:
    """A newer record in the store explains the 400: it is the result, and nothing more is asked."""
    desk = Endpoint()
    newer = desk.record("b", 2)
    found = play(
        desk.exchange(desk.spend), (Exchange(desk.spend, 10.0), desk.says(400)), (Load(), newer)
    )
    assert found is newer


def test_a_nonce_refused_for_its_time_is_corrected_and_the_refresh_token_kept() -> None:
    """Refused before it was looked at: it is as good as before."""
    desk = Endpoint()
    issued = play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), desk.says(401, seconds_off=3600.0)),
        CorrectClock(3600.0),
        (Exchange(desk.spend, 10.0), reply("b", desk.now)),
    )
    assert not issued.implicit


def test_a_nonce_is_corrected_once() -> None:
    """By the hour that the server says; still off, the refusal takes its course without another."""
    desk = Endpoint()
    off = desk.says(401, seconds_off=3600.0)
    failed = play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), off),
        CorrectClock(3600.0),
        (Exchange(desk.spend, 10.0), off),
        (Load(), desk.stored),
        (Exchange(None, 10.0), off),
    )
    assert type(failed.error) is TokenRefusedError


def test_a_redirected_exchange_is_exposed_and_ends_at_once() -> None:
    """No retry, no ``org_implicit``: what was sent may be in a stranger's hands, thus spent."""
    desk = Endpoint()
    failed = play(
        desk.exchange(desk.spend),
        (Exchange(desk.spend, 10.0), ExchangeFault(RedirectedError("away"), unsent=False)),
    )
    assert type(failed.error) is RedirectedError
    assert not failed.unspent


@pytest.mark.parametrize("code", [2010, 2026])
@pytest.mark.parametrize("status", [400, 403, 500])
def test_too_many_requests_by_cobos_code_is_not_processed(status: int, code: int) -> None:
    """2010 and 2026 mean that under any status, and the error keeps Cobo's code, message and id."""
    desk = Endpoint()
    body = b'{"error_code": %d, "error_message": "slow down", "error_id": "id-1"}' % code
    failed = play(
        desk.exchange(desk.spend, early=True), (Exchange(desk.spend, 10.0), desk.says(status, body))
    )
    assert failed.unspent
    assert type(failed.error) is TokenEndpointError
    assert (failed.error.status, failed.error.error_code) == (status, code)
    assert (failed.error.error_message, failed.error.error_id) == ("slow down", "id-1")


@pytest.mark.parametrize(("jitter", "first"), [(0.0, 0.25), (0.5, 0.375), (1.0, 0.5)])
def test_the_backoff_is_spread_over_its_upper_half(jitter: float, first: float) -> None:
    """From a half of it to all of it, so that a crowd does not come back at once; then doubled."""
    desk = Desk()
    desk.settings = replace(desk.settings, jitter=lambda: jitter)
    play(
        exchange(desk.account, desk.settings, None, early=False),
        (Exchange(None, 10.0), fault(unsent=True)),
        Sleep(first),
        (Exchange(None, 10.0), fault(unsent=True)),
        Sleep(2 * first),
        (Exchange(None, 10.0), reply("b", desk.now)),
    )


def test_an_outage_that_says_how_long_is_waited_for() -> None:
    """``Retry-After`` of a 503 counts, too, once ``org_implicit`` is tried again."""
    desk = Desk()
    play(
        exchange(desk.account, desk.settings, None, early=False),
        (Exchange(None, 10.0), ExchangeReply(503, b"", retry_after=7.0)),
        Sleep(7.0),
        (Exchange(None, 10.0), reply("b", desk.now)),
    )


@pytest.mark.parametrize("spent", [True, False])
def test_no_error_repeats_a_token_that_we_know(*, spent: bool) -> None:
    """The one just spent or, where none was, the one in use: a server that quotes it is cut."""
    desk = Desk()
    desk.having("held")
    spend = desk.token("spent") if spent else None
    name = "spent" if spent else "held"
    said = json.dumps({"error_description": f"access-{name}, refresh-{name}"}).encode()
    final = Exchange(None, 10.0), ExchangeReply(400, said, server_time=desk.now)
    lost = Exchange(spend, 10.0), ExchangeReply(503, said)
    failed = play(
        exchange(desk.account, desk.settings, spend, early=False), *([lost] if spent else []), final
    )
    assert failed.error.error_description == "[token], [token]"


def test_an_early_attempt_has_a_limit_of_its_own() -> None:
    """Shorter than a single request's, it bounds that."""
    desk = Desk()
    timeouts = replace(desk.settings.timeouts, early_exchange=3.0)
    desk.settings = replace(desk.settings, timeouts=timeouts)
    for early, limit in ((True, 3.0), (False, 10.0)):
        flow = exchange(desk.account, desk.settings, None, early=early)
        assert next(flow) == Exchange(None, limit)
