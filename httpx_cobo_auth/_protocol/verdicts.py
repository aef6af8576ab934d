"""What a response means: to the caller's request, and to a token request.

Statuses and codes: Cobo's documentation, "Error codes" and "Authentication with Cobo OAuth".
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from httpx_cobo_auth._protocol.effects import ExchangeFault
from httpx_cobo_auth._protocol.tokens import DEFAULT_LIFETIME_S, Token, parse_token_reply
from httpx_cobo_auth.errors import (
    CoboAuthError,
    RedirectedError,
    ResponseSignatureError,
    TokenEndpointError,
    TokenRefusedError,
    TokenReplyError,
)

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.effects import ExchangeReply, ResponseSummary

__all__ = [
    "READ_STATUSES",
    "ExchangeFailure",
    "Outcome",
    "Verdict",
    "classify_exchange",
    "classify_response",
    "error_code_of",
]

READ_STATUSES = frozenset({401, 403, 500})
"""Answers whose body matters; every other one is the caller's alone."""

_INCURABLE = frozenset({2022, 2023, 2024})
_NO_PERMISSION = frozenset({2025, 4001})
_TOO_MANY = frozenset({2010, 2026})
_EXPIRED_OR_WORSE = 1000
_CLOCK_TOLERANCE_S = 60.0
_LONGEST_TEXT = 500
_HIGHEST_CODE = 2**31 - 1

_UNAUTHORIZED = 401
_FORBIDDEN = 403
_TOO_MANY_REQUESTS = 429


class Verdict(enum.Enum):
    """What the response to the caller's request says about our credentials."""

    ACCEPTED = enum.auto()
    """Nothing that another token could change."""
    REFUSED = enum.auto()
    """The token was refused before the request ran."""
    REFUSED_OR_FAILED = enum.auto()
    """500/1000: the token is dead, or else the request may have run."""
    FORBIDDEN = enum.auto()
    """A permission is missing; perhaps a newer token has it."""
    CLOCK_OFF = enum.auto()
    """Refused, and the nonce is far from the server's time."""
    INCURABLE = enum.auto()
    """Refused for what no token cures: key, signature, address, environment."""


def classify_response(response: ResponseSummary) -> Verdict:
    """Return what the response to the caller's request means."""
    if response.status not in READ_STATUSES:
        return Verdict.ACCEPTED
    if response.status == _UNAUTHORIZED:
        if _clock_is_off(response.seconds_off):
            return Verdict.CLOCK_OFF
        return Verdict.INCURABLE if response.error_code in _INCURABLE else Verdict.REFUSED
    if response.status == _FORBIDDEN:
        forbidden = response.error_code in _NO_PERMISSION
        return Verdict.FORBIDDEN if forbidden else Verdict.ACCEPTED
    if response.error_code == _EXPIRED_OR_WORSE or response.empty:
        # The code of a response to HEAD stands in a body that it does not have.
        return Verdict.REFUSED_OR_FAILED
    return Verdict.ACCEPTED


def error_code_of(body: bytes) -> int | None:
    """Return the ``error_code`` of one of Cobo's errors, ``None`` where it is no such thing."""
    return _code_in(_json_object(body))


class Outcome(enum.Enum):
    """What is known of a failed exchange."""

    UNPROCESSED = enum.auto()
    """It certainly was not processed: the refresh token is as good as before."""
    CLOCK_OFF = enum.auto()
    """It was refused because the nonce is far from the server's time."""
    UNKNOWN = enum.auto()
    """It may have been processed: that refresh token is never sent again."""
    REFUSED = enum.auto()
    """Cobo refused it."""
    EXPOSED = enum.auto()
    """It was redirected, and went who knows where."""
    CACHED = enum.auto()
    """A cache on the way answered it, with a token of before."""


@dataclass(frozen=True, slots=True)
class ExchangeFailure:
    """No token came of an exchange.

    Attributes:
        outcome: what is known of it.
        error: to be raised, if nothing else helps.
        retry_after: seconds to wait at least; ``None`` where the server did not say.

    """

    outcome: Outcome
    error: CoboAuthError
    retry_after: float | None = None


def classify_exchange(
    answer: ExchangeReply | ExchangeFault,
    *,
    verified: bool,
    spend: Token | None,
    sent_at: float,
    now: float,
    default_lifetime: float = DEFAULT_LIFETIME_S,
    cached: bool = False,
    known: Token | None = None,
) -> Token | ExchangeFailure:
    """Return what came of a token request.

    Args:
        answer: of the token endpoint, or why there is none.
        verified: whether the environment has a key, so that an answer which is not signed
            by it comes from somebody else.
        spend: the token whose refresh token was sent; ``None`` for ``org_implicit``.
        sent_at: when, in seconds since the epoch.
        now: seconds since the epoch.
        default_lifetime: seconds that a token lives whose reply does not say so.
        cached: whether a cache answered in the endpoint's place.
        known: another token that an error must not repeat.

    """
    if isinstance(answer, ExchangeFault):
        if isinstance(answer.error, RedirectedError):
            return ExchangeFailure(Outcome.EXPOSED, answer.error)
        outcome = Outcome.UNPROCESSED if answer.unsent else Outcome.UNKNOWN
        return ExchangeFailure(outcome, answer.error)
    if cached:
        message = (
            "the token endpoint's reply is older than the request for it: a cache on the way "
            "answered. Exclude /oauth/token from caching"
        )
        return ExchangeFailure(Outcome.CACHED, TokenReplyError(message, status=answer.status))
    signed = not verified or answer.server_time is not None
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - what 2XX means
        return _classify_error(answer, _said(answer, spend, known), signed=signed)
    if answer.body is not None and not signed:
        message = "the token endpoint's reply is not signed by Cobo's key for this environment"
        return ExchangeFailure(Outcome.UNKNOWN, ResponseSignatureError(message))
    result: Token | str = "it is too long"
    if answer.body is not None:
        result = parse_token_reply(
            answer.body,
            sent_at=sent_at,
            obtained_at=now,
            previous=spend,
            default_lifetime=default_lifetime,
        )
    return result if isinstance(result, Token) else _broken_reply(answer.status, result)


def _broken_reply(status: int, reason: str) -> ExchangeFailure:
    message = f"the token endpoint's reply (HTTP {status}) breaks the protocol: {reason}"
    return ExchangeFailure(Outcome.UNKNOWN, TokenReplyError(message, status=status))


def _classify_error(
    answer: ExchangeReply, said: dict[str, Any], *, signed: bool
) -> ExchangeFailure:
    status = answer.status
    if status == _TOO_MANY_REQUESTS or (signed and said["error_code"] in _TOO_MANY):
        message = f"the token endpoint limits the rate of requests ({_in_words(status, said)})"
        error = TokenEndpointError(message, status=status, retry_after=answer.retry_after, **said)
        return ExchangeFailure(Outcome.UNPROCESSED, error, answer.retry_after)
    if 400 <= status < 500 and signed:  # noqa: PLR2004 - what 4XX means
        if status == _UNAUTHORIZED and _clock_is_off(answer.seconds_off):
            outcome = Outcome.CLOCK_OFF
        else:
            outcome = Outcome.REFUSED
        message = (
            f"Cobo refuses to issue a token ({_in_words(status, said)}). Check that the "
            "organization still has the app installed (otherwise it has to install it again), "
            "and that client ID, app key and environment belong together"
        )
        return ExchangeFailure(outcome, TokenRefusedError(message, status=status, **said))
    message = f"the token endpoint gave no usable answer ({_in_words(status, said)})"
    error = TokenEndpointError(message, status=status, retry_after=answer.retry_after, **said)
    return ExchangeFailure(Outcome.UNKNOWN, error, answer.retry_after)


def _said(answer: ExchangeReply, *tokens: Token | None) -> dict[str, Any]:
    """Return the fields of either error shape, without any token that it may repeat."""
    secrets = [
        secret
        for token in tokens
        if token is not None
        for secret in (token.refresh_token, token.access_token)
        if secret
    ]
    fields = _json_object(answer.body or b"")
    said: dict[str, Any] = {"error_code": _code_in(fields)}
    for name in ("error", "error_description", "error_message", "error_id"):
        text = fields.get(name)
        said[name] = _clean(text, secrets) if isinstance(text, str) else None
    return said


def _clean(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "[token]")
    # Whatever else it says belongs on one line of a log.
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST_TEXT])


def _in_words(status: int, said: dict[str, Any]) -> str:
    parts = [f"HTTP {status}"]
    parts += [f"{name} {value}" for name, value in said.items() if value is not None]
    return ", ".join(parts)


def _clock_is_off(seconds_off: float | None) -> bool:
    return seconds_off is not None and abs(seconds_off) > _CLOCK_TOLERANCE_S


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _code_in(fields: dict[str, Any]) -> int | None:
    code = fields.get("error_code")
    fits = isinstance(code, int) and not isinstance(code, bool) and abs(code) <= _HIGHEST_CODE
    return code if fits else None
