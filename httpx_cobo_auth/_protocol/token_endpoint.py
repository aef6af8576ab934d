"""Getting a token out of the token endpoint: which grant, how often, and when to stop.

A refresh token is sent once. Only where it certainly was not processed is it sent again; after
anything else ``org_implicit`` takes its place, which needs no refresh token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.effects import CorrectClock, Exchange, ExchangeFault, Flow, Sleep
from httpx_cobo_auth._protocol.freshness import Freshness, freshness_of
from httpx_cobo_auth._protocol.maintenance import newer_record
from httpx_cobo_auth._protocol.tokens import Token
from httpx_cobo_auth._protocol.verdicts import Outcome, classify_exchange

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.effects import ExchangeReply
    from httpx_cobo_auth._protocol.freshness import ReplyAge
    from httpx_cobo_auth._protocol.records import Record
    from httpx_cobo_auth._protocol.settings import Settings
    from httpx_cobo_auth._protocol.verdicts import ExchangeFailure
    from httpx_cobo_auth.errors import CoboAuthError

__all__ = ["Failed", "Issued", "exchange"]

_MAX_ATTEMPTS = 3
_FIRST_BACKOFF_S = 0.5
_LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Issued:
    """Cobo issued a token.

    Attributes:
        token: the new one.
        implicit: whether by ``org_implicit``.

    """

    token: Token
    implicit: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """Cobo issued no token.

    Attributes:
        error: why.
        unspent: whether nothing that was sent can have had an effect.

    """

    error: CoboAuthError
    unspent: bool


def exchange(
    account: Account, settings: Settings, spend: Token | None, *, early: bool
) -> Flow[Issued | Failed | Record]:
    """Ask for a token, by ``spend``'s refresh token or by ``org_implicit``.

    Returns a record instead where a refusal turned out to be due to somebody else, who saved a
    newer token meanwhile.
    """
    clock, limits = account.clock, settings.timeouts
    deadline = clock.monotonic() + (limits.early_exchange if early else limits.exchange)
    unspent, clock_corrected, attempt = True, False, 0
    first_age: ReplyAge | None = None
    held = account.known.held
    known = spend or (held.token if held else None)
    while True:
        sent_at = clock.time()
        timeout = min(limits.request, max(_LEAST_S, deadline - clock.monotonic()))
        again = first_age is not None
        reply = yield from Exchange(spend, timeout, again=again and spend is None)
        now = clock.time()
        freshness = _freshness(reply, first_age, refreshing=spend is not None)
        if freshness is Freshness.ASK_AGAIN:
            first_age = getattr(reply, "age", None)
            continue
        if freshness is Freshness.NEW:
            ahead = _server_ahead(reply, sent_at, now)
            if ahead is not None:
                account.server_is_ahead(ahead)
        ahead = account.known.server_ahead
        result = classify_exchange(
            reply,
            verified=settings.verified,
            spend=spend,
            sent_at=sent_at + ahead,
            now=now + ahead,
            default_lifetime=settings.default_lifetime,
            cached=freshness is Freshness.CACHED,
            known=known,
        )
        if isinstance(result, Token):
            return Issued(result, implicit=spend is None)
        outcome = result.outcome
        if outcome in (Outcome.UNKNOWN, Outcome.EXPOSED):
            unspent = False
        if outcome is Outcome.CLOCK_OFF and not clock_corrected:
            clock_corrected = True
            yield from CorrectClock(_seconds_off(reply))
            continue
        if outcome is Outcome.EXPOSED:
            return Failed(result.error, unspent)
        if spend is not None and outcome is not Outcome.UNPROCESSED:
            if outcome not in (Outcome.UNKNOWN, Outcome.CACHED):
                record = yield from newer_record(account)
                if record is not None:
                    return record
            spend, unspent, attempt = None, False, 0
            continue
        attempt += 1
        delay = _delay(result, attempt, settings.jitter())
        final = outcome in (Outcome.REFUSED, Outcome.CLOCK_OFF, Outcome.CACHED)
        late = clock.monotonic() + delay >= deadline
        if final or early or late or attempt >= _MAX_ATTEMPTS:
            return Failed(result.error, unspent)
        yield from Sleep(delay)


def _freshness(
    reply: ExchangeReply | ExchangeFault, first_age: ReplyAge | None, *, refreshing: bool
) -> Freshness:
    if isinstance(reply, ExchangeFault) or not 200 <= reply.status < 300:  # noqa: PLR2004 - 2XX
        return Freshness.NEW
    return freshness_of(reply.age, first_age, refreshing=refreshing)


def _server_ahead(reply: ExchangeReply | ExchangeFault, sent_at: float, now: float) -> float | None:
    """Return by how much the server's clock is ahead, as far as the round trip leaves no doubt."""
    if isinstance(reply, ExchangeFault) or not reply.server_time:
        return None
    if sent_at <= reply.server_time <= now:
        return 0.0
    return reply.server_time - (now if reply.server_time > now else sent_at)


def _delay(failure: ExchangeFailure, attempt: int, jitter: float) -> float:
    backoff = _FIRST_BACKOFF_S * 2.0 ** (attempt - 1)
    return max(backoff * (0.5 + jitter / 2), failure.retry_after or 0.0)


def _seconds_off(reply: ExchangeReply | ExchangeFault) -> float:
    return getattr(reply, "seconds_off", None) or 0.0
