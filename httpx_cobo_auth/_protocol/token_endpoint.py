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

__all__ = ["Failed", "Issued", "TokenEndpoint", "exchange"]

_MAX_ATTEMPTS = 3
_FIRST_BACKOFF_S = 0.5
_LEAST_S = 1.0
_MILLISECOND = 0.001
"""The server's timestamps are cut off to it."""


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
    endpoint = TokenEndpoint(account, settings, spend, deadline)
    attempt = 0
    while True:
        result = yield from endpoint.ask(spend)
        if isinstance(result, Token):
            return Issued(result, implicit=spend is None)
        outcome = result.outcome
        if outcome is Outcome.EXPOSED:
            return Failed(result.error, unspent=False)
        if spend is not None and outcome is not Outcome.UNPROCESSED:
            if outcome not in (Outcome.UNKNOWN, Outcome.CACHED):
                record = yield from newer_record(account)
                if record is not None:
                    return record
            spend, attempt, endpoint.unspent = None, 0, False
            continue
        attempt += 1
        delay = _delay(result, attempt, settings.jitter())
        final = outcome in (Outcome.REFUSED, Outcome.CLOCK_OFF, Outcome.CACHED)
        late = clock.monotonic() + delay >= deadline
        if final or early or late or attempt >= _MAX_ATTEMPTS:
            return Failed(result.error, endpoint.unspent)
        yield from Sleep(delay)


class TokenEndpoint:
    """Asks the token endpoint, and again where only a clock or a cache was in the way.

    Attributes:
        unspent: whether nothing that was sent can have had an effect.

    """

    def __init__(
        self, account: Account, settings: Settings, spend: Token | None, deadline: float
    ) -> None:
        self.unspent = True
        self._account = account
        self._settings = settings
        self._deadline = deadline
        self._clock_corrected = False
        self._first_age: ReplyAge | None = None
        held = account.known.held
        self._known = spend or (held.token if held else None)

    def ask(self, spend: Token | None) -> Flow[Token | ExchangeFailure]:
        """Ask for a token, and return it, or what came instead."""
        account, settings, clock = self._account, self._settings, self._account.clock
        while True:
            sent_at = clock.time()
            left = max(_LEAST_S, self._deadline - clock.monotonic())
            again = spend is None and self._first_age is not None
            reply = yield from Exchange(spend, min(settings.timeouts.request, left), again=again)
            now = clock.time()
            freshness = _freshness(reply, self._first_age, refreshing=spend is not None)
            if freshness is Freshness.ASK_AGAIN:
                self._first_age = getattr(reply, "age", None)
                continue
            if freshness is Freshness.NEW:
                account.server_is_ahead(_server_ahead(reply, sent_at, now))
            ahead = account.known.ahead_now(clock)
            result = classify_exchange(
                reply,
                verified=settings.verified,
                spend=spend,
                sent_at=sent_at + ahead,
                now=now + ahead,
                default_lifetime=settings.default_lifetime,
                cached=freshness is Freshness.CACHED,
                known=self._known,
            )
            if isinstance(result, Token):
                return result
            if result.outcome is Outcome.UNKNOWN:
                self.unspent = False
            if result.outcome is not Outcome.CLOCK_OFF or self._clock_corrected:
                return result
            self._clock_corrected = True
            yield from CorrectClock(_seconds_off(reply))


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
    if sent_at - _MILLISECOND <= reply.server_time <= now:
        return 0.0
    return reply.server_time - (now if reply.server_time > now else sent_at)


def _delay(failure: ExchangeFailure, attempt: int, jitter: float) -> float:
    backoff = _FIRST_BACKOFF_S * 2.0 ** (attempt - 1)
    return max(backoff * (0.5 + jitter / 2), failure.retry_after or 0.0)


def _seconds_off(reply: ExchangeReply | ExchangeFault) -> float:
    return getattr(reply, "seconds_off", None) or 0.0
