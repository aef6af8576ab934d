"""What is said when no token came of an exchange, word for word, and what is waited for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from httpx_cobo_auth._protocol.effects import Exchange, ExchangeFault, ExchangeReply, Sleep
from httpx_cobo_auth._protocol.signing import Ed25519Signer, canonical_query
from httpx_cobo_auth._protocol.token_endpoint import exchange
from httpx_cobo_auth._protocol.tokens import Token
from httpx_cobo_auth._protocol.verdicts import (
    ExchangeFailure,
    Outcome,
    classify_exchange,
    error_code_of,
)
from httpx_cobo_auth.errors import (
    ConfigurationError,
    TokenEndpointError,
    TokenRefusedError,
    UnsignableRequestError,
)
from tests.flow.stepping import Desk, play, reply

NOW = 1_800_000_000.0
SAID = {"error_code": 1000, "error": "odd", "error_description": "a\nb", "error_id": "e-7"}
IN_WORDS = "error_code 1000, error odd, error_description a?b, error_id e-7"
REFUSED = (
    f"Cobo refuses to issue a token (HTTP 400, {IN_WORDS}). Check that the "
    "organization still has the app installed (otherwise it has to install it again), "
    "and that client ID, app key and environment belong together"
)
SPENT = Token(access_token="access", refresh_token="refresh", expires_at=NOW, obtained_at=0.0)


def failure(
    status: int, body: bytes | None, *, signed: bool = True, retry_after: float | None = None
) -> ExchangeFailure:
    """Judge an answer of which no token comes."""
    server_time = NOW if signed else None
    answer = ExchangeReply(status, body, server_time=server_time, retry_after=retry_after)
    found = classify_exchange(answer, verified=True, spend=SPENT, sent_at=NOW, now=NOW)
    assert isinstance(found, ExchangeFailure)
    return found


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (429, f"the token endpoint limits the rate of requests (HTTP 429, {IN_WORDS})"),
        (
            400,
            REFUSED,
        ),
        (503, f"the token endpoint gave no usable answer (HTTP 503, {IN_WORDS})"),
    ],
)
def test_an_error_says_what_cobo_said(status: int, text: str) -> None:
    """Status, code and texts in one line, after what it means and before what to do."""
    assert str(failure(status, json.dumps(SAID).encode()).error) == text


@pytest.mark.parametrize(
    ("body", "signed", "text"),
    [
        (
            b"{}",
            False,
            "the token endpoint's reply is not signed by Cobo's key for this environment",
        ),
        (
            None,
            True,
            "the token endpoint's reply (HTTP 200) breaks the protocol: it is too long",
        ),
        (b"!", True, "the token endpoint's reply (HTTP 200) breaks the protocol: it is not JSON"),
        (
            b"[]",
            True,
            "the token endpoint's reply (HTTP 200) breaks the protocol: it is not a JSON object",
        ),
    ],
)
def test_a_success_without_a_token_says_why(body: bytes | None, text: str, *, signed: bool) -> None:
    """Whoever reads it has to know whether a gateway, Cobo or a limit of ours is to blame."""
    assert str(failure(200, body, signed=signed).error) == text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"access_token": None}, "access_token is missing or is no bearer token"),
        ({"refresh_token": 5}, "refresh_token is not a token"),
        ({"expires_in": 1.5}, "expires_in is not a whole number"),
        ({"expires_in": True}, "expires_in is not a whole number"),
        ({"expires_in": 0}, "expires_in is not a sensible number of seconds"),
        ({"expires_in": 366 * 24 * 3600 + 1}, "expires_in is not a sensible number of seconds"),
        ({"token_type": "mac"}, "token_type is not Bearer"),
        ({"scope": 5}, "scope is not text"),
    ],
)
def test_a_reply_that_breaks_the_protocol_is_told_by_its_field(
    change: dict[str, object], problem: str
) -> None:
    """The field, and what is the matter with it, without its value."""
    body = json.dumps({"access_token": "new", "expires_in": 60} | change).encode()
    text = f"the token endpoint's reply (HTTP 200) breaks the protocol: {problem}"
    assert str(failure(200, body).error) == text


@pytest.mark.parametrize("seconds", [1, 366 * 24 * 3600])
def test_the_shortest_and_the_longest_life_are_lives(seconds: int) -> None:
    """From a second to a leap year; the type may be missing, or written in any case."""
    for kind in ({}, {"token_type": "bearer"}, {"token_type": "BEARER"}, {"token_type": None}):
        body = json.dumps({"access_token": "new", "expires_in": seconds} | kind).encode()
        answer = ExchangeReply(200, body, server_time=NOW)
        token = classify_exchange(answer, verified=True, spend=None, sent_at=NOW, now=NOW + 1)
        assert isinstance(token, Token)
        assert token.expires_at == NOW + seconds
        assert token.obtained_at == NOW
        assert token.token_type == (kind.get("token_type") or "Bearer")
        assert token.scope == ""


@pytest.mark.parametrize("status", [199, 300])
def test_next_to_a_success_is_none(status: int) -> None:
    """A reply that holds a token is none, unless its status says so, too."""
    found = failure(status, b'{"access_token": "new", "expires_in": 60}')
    assert found.outcome is Outcome.UNKNOWN
    assert type(found.error) is TokenEndpointError


def test_an_outage_that_says_how_long_is_waited_for() -> None:
    """``Retry-After`` of a 503 counts, too, once ``org_implicit`` is tried again."""
    assert failure(503, b"", retry_after=7.0).retry_after == 7.0
    assert failure(429, b"", retry_after=7.0).retry_after == 7.0
    desk = Desk()
    play(
        exchange(desk.account, None, verified=True, early=False),
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
        exchange(desk.account, spend, verified=True, early=False), *([lost] if spent else []), final
    )
    assert failed.error.error_description == "[token], [token]"


def test_an_early_attempt_has_a_limit_of_its_own() -> None:
    """Shorter than a single request's, it bounds that."""
    desk = Desk()
    timeouts = replace(desk.account.settings.timeouts, early_exchange=3.0)
    desk.account.settings = replace(desk.account.settings, timeouts=timeouts)
    for early, limit in ((True, 3.0), (False, 10.0)):
        flow = exchange(desk.account, None, verified=True, early=early)
        assert next(flow) == Exchange(None, limit)


def test_what_did_not_arrive_was_not_processed_and_all_else_is_unknown() -> None:
    """The error of the transport is handed on as it is."""
    error = TokenEndpointError("the line is dead")
    for unsent, outcome in ((True, Outcome.UNPROCESSED), (False, Outcome.UNKNOWN)):
        fault = ExchangeFault(error, unsent)
        found = classify_exchange(fault, verified=True, spend=None, sent_at=NOW, now=NOW)
        assert found == ExchangeFailure(outcome, error)


def test_the_highest_and_the_lowest_code_are_codes() -> None:
    """A code is a number of 32 bits, as in Cobo's SDKs; what is larger is none."""
    for code in (2**31 - 1, 1 - 2**31):
        assert error_code_of(b'{"error_code": %d}' % code) == code
    for code in (2**31, -(2**31)):
        assert error_code_of(b'{"error_code": %d}' % code) is None


def test_a_secret_that_is_none_is_refused_in_so_many_words() -> None:
    """The error says what a secret is and does not repeat what was given."""
    with pytest.raises(ConfigurationError) as refused:
        Ed25519Signer("5ec2e7")
    assert str(refused.value) == (
        "the secret (app_secret, api_secret) must be an Ed25519 seed of 64 hex digits, without "
        "anything around it; what was given has 6 characters (it is not repeated here). It is the "
        "private half of the key pair that you generated; Cobo knows only the public key"
    )


def test_a_query_that_cannot_be_signed_is_refused_in_so_many_words() -> None:
    """The error says what a query has to be, and why."""
    with pytest.raises(UnsignableRequestError) as refused:
        canonical_query(b"name=%ff")
    assert str(refused.value) == (
        "the query must be percent-encoded UTF-8, or it cannot be signed as it is sent"
    )


def test_a_scope_is_kept() -> None:
    """Cobo gives none so far; whatever it will give is handed on as it is."""
    body = b'{"access_token": "new", "expires_in": 60, "scope": "read write"}'
    answer = ExchangeReply(200, body, server_time=NOW)
    token = classify_exchange(answer, verified=True, spend=None, sent_at=NOW, now=NOW)
    assert isinstance(token, Token)
    assert token.scope == "read write"


def test_what_cobo_said_is_kept_up_to_a_length() -> None:
    """Five hundred characters of each text, and not one more."""
    body = json.dumps({"error_description": "x" * 501}).encode()
    error = failure(400, body).error
    assert isinstance(error, TokenRefusedError)
    assert error.error_description == "x" * 500
