"""Org Access Tokens: the value, the states it passes through, and the reply it comes from.

States, by an injected clock::

    FRESH ──(renewal window)──▶ STALE ──(deadline, less a margin)──▶ EXPIRED      MISSING

A STALE token still works and should be renewed; an EXPIRED one may die on the way. Window
and margin are capped by a fraction of the token's lifetime, so that one that lives for
seconds causes no loop. The window's jitter is derived from the token itself: a fleet
spreads out, while all who share one token see it turn STALE at the same moment.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from httpx_cobo_auth._confidential import Confidential
from httpx_cobo_auth._protocol.reply_body import ReplyBody

if TYPE_CHECKING:
    from httpx_cobo_auth.clock import Clock

__all__ = [
    "DEFAULT_LIFETIME_S",
    "LONGEST_LIFETIME_S",
    "HeldToken",
    "Token",
    "TokenState",
    "parse_token_reply",
]

_WINDOW_S = 1200.0
_WINDOW_FRACTION = 1 / 4
_WINDOW_JITTER = 1 / 4
_MARGIN_S = 30.0
_LONGEST_SKEW_S = 60.0
_MARGIN_FRACTION = 1 / 10
_MAX_TOKEN_LENGTH = 4096
_NO_JSON = object()
LONGEST_LIFETIME_S = 366 * 24 * 3600
"""No token is believed to live longer than a year."""
DEFAULT_LIFETIME_S = 3600.0
"""Of a token whose reply does not say when it expires: an hour.

Every example of Cobo's says 43199 s, twelve hours. A token taken for shorter-lived than it is, is
renewed a few times more often than needed. One taken for longer-lived dies unnoticed, and the
write that meets it is refused.
"""
# RFC 6750 allows these in a bearer; anything else could break out of the header.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Confidential):
    """An Org Access Token together with the refresh token that came with it.

    A frozen value whose ``repr`` shows neither token. It cannot be pickled, because a
    pickle would hold both in the clear.

    Attributes:
        access_token: the bearer, 64 characters in Cobo's examples.
        refresh_token: works once, for 30 days; ``None`` where none was given.
        expires_at: seconds since the epoch, counted from when the exchange was sent.
        obtained_at: seconds since the epoch.
        scope: empty, for now.
        token_type: ``"Bearer"``.

    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False, default=None)
    expires_at: float
    obtained_at: float
    scope: str = ""
    token_type: str = "Bearer"  # noqa: S105 - a scheme's name, not a secret

    @property
    def lifetime(self) -> float:
        """Seconds from being obtained to being dead."""
        return max(0.0, self.expires_at - self.obtained_at)

    @property
    def renewal_window(self) -> float:
        """Seconds before ``expires_at`` during which the token is STALE."""
        jitter = hashlib.sha256(self.access_token.encode()).digest()[0] / 255
        widest = min(_WINDOW_S, self.lifetime * _WINDOW_FRACTION)
        return widest * (1 - _WINDOW_JITTER * jitter)

    @property
    def margin(self) -> float:
        """Seconds before ``expires_at`` from which on the token counts as EXPIRED."""
        return min(_MARGIN_S, self.lifetime * _MARGIN_FRACTION)

    def __copy__(self) -> Self:
        """Return itself: a frozen value needs no copy."""
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        """Return itself: a frozen value needs no copy."""
        return self


class TokenState(enum.Enum):
    """What a token is good for, by the clock."""

    FRESH = "fresh"
    """It works, and nothing needs to be done."""
    STALE = "stale"
    """It works, and should be renewed soon."""
    EXPIRED = "expired"
    """It is too old to be sent."""
    MISSING = "missing"
    """There is none."""


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A token as one process holds it, with deadlines on both of its own clocks.

    The wall clock may step, and the monotonic one means nothing in another process and stands
    still while the machine sleeps: the earlier of the two deadlines wins.

    Attributes:
        token: itself.
        generation: higher than that of the token before.
        exchange: the number of the exchange of this process that brought it; 0 where it was
            found in the store.
        unchecked: whether it was found in the store, and this machine's clock has not been
            compared with the server's yet.

    """

    token: Token
    generation: int
    exchange: int = 0
    unchecked: bool = False
    stale_wall: float = field(repr=False, default=0.0)
    stale_monotonic: float = field(repr=False, default=0.0)
    expired_wall: float = field(repr=False, default=0.0)
    expired_monotonic: float = field(repr=False, default=0.0)

    def timed(self, clock: Clock, server_ahead: float) -> HeldToken:
        """Return the token with deadlines, as seen from now.

        Args:
            clock: of this machine.
            server_ahead: seconds by which the server's clock is ahead of the wall clock.

        """
        token, wall, monotonic = self.token, clock.time(), clock.monotonic()
        now = wall + server_ahead
        # A clock that stepped back makes no token live longer than it was given; and one that
        # comes from the future has an age that nobody knows.
        left = min(token.expires_at - now, token.lifetime)
        if token.obtained_at > now + _LONGEST_SKEW_S:
            left = 0.0
        stale, expired = token.renewal_window, token.margin
        return replace(
            self,
            stale_wall=wall + left - stale,
            stale_monotonic=monotonic + left - stale,
            expired_wall=wall + left - expired,
            expired_monotonic=monotonic + left - expired,
        )

    def is_fresh(self, clock: Clock) -> bool:
        """Whether nothing needs to be done about it."""
        return clock.monotonic() < self.stale_monotonic and clock.time() < self.stale_wall

    def state(self, clock: Clock) -> TokenState:
        """Return what it is good for now."""
        if self.is_fresh(clock):
            return TokenState.FRESH
        if clock.monotonic() < self.expired_monotonic and clock.time() < self.expired_wall:
            return TokenState.STALE
        return TokenState.EXPIRED


def parse_token_reply(
    body: ReplyBody | bytes,
    *,
    sent_at: float,
    obtained_at: float,
    previous: Token | None,
    default_lifetime: float = DEFAULT_LIFETIME_S,
) -> Token | str:
    """Read a 2XX answer of the token endpoint.

    Returns the token or, as text without any of the reply in it, what is wrong with it. It
    does not raise, because a traceback would hold the reply.

    Args:
        body: of the answer; emptied, once it is read.
        sent_at: seconds since the epoch when the exchange was sent; the lifetime counts
            from here.
        obtained_at: seconds since the epoch when the answer was there.
        previous: the token whose refresh token was sent. A reply without one carries the
            old one on (RFC 6749, section 6).
        default_lifetime: seconds, for a reply without ``expires_in``: no field of it is marked
            as required in Cobo's OpenAPI.

    """
    reply = _Reply(body if isinstance(body, ReplyBody) else ReplyBody(body))
    del body
    problem = reply.problem()
    # The clock may have been set back meanwhile; that lengthens no life.
    since = min(sent_at, obtained_at)
    return reply.token(since, default_lifetime, previous) if problem is None else problem


class _Reply:
    """A token reply, read. What it holds never stands in a local of a frame."""

    __slots__ = ("_fields",)

    def __init__(self, body: ReplyBody) -> None:
        self._fields: Any = None
        try:
            self._fields = json.loads(bytes(body))
        except (ValueError, RecursionError):
            self._fields = _NO_JSON
        finally:
            body.empty()

    def __repr__(self) -> str:
        return "<a token reply, not shown>"

    def problem(self) -> str | None:
        """Return what is wrong with it."""
        if self._fields is _NO_JSON:
            return "it is not JSON"
        if not self._is_object():
            return "it is not a JSON object"
        checks: dict[str, bool] = {
            "access_token is missing or is no bearer token": self._is_token("access_token"),
            "refresh_token is not a token": self._lacks("refresh_token")
            or self._is_token("refresh_token"),
            "expires_in is not a whole number": self._lacks("expires_in")
            or type(self._fields["expires_in"]) is int,
            "expires_in is not a sensible number of seconds": self._lacks("expires_in")
            or self._is_lifetime(),
            "token_type is not Bearer": self._lacks("token_type") or self._is_bearer(),
            "scope is not text": self._lacks("scope") or isinstance(self._fields["scope"], str),
        }
        return next((problem for problem, fine in checks.items() if not fine), None)

    def _is_object(self) -> bool:
        return isinstance(self._fields, dict)

    def token(self, since: float, default_lifetime: float, previous: Token | None) -> Token:
        """Return the token, which lives from ``since`` on."""
        lacks_lifetime = self._lacks("expires_in")
        return Token(
            access_token=self._fields["access_token"],
            refresh_token=self._fields.get("refresh_token")
            or (previous.refresh_token if previous else None),
            expires_at=since + (default_lifetime if lacks_lifetime else self._fields["expires_in"]),
            obtained_at=since,
            scope=self._fields.get("scope") or "",
            token_type=self._fields.get("token_type") or "Bearer",
        )

    def _lacks(self, name: str) -> bool:
        return self._fields.get(name) is None

    def _is_token(self, name: str) -> bool:
        return (
            isinstance(self._fields.get(name), str)
            and len(self._fields[name]) <= _MAX_TOKEN_LENGTH
            and _BEARER.fullmatch(self._fields[name]) is not None
        )

    def _is_lifetime(self) -> bool:
        return (
            isinstance(self._fields["expires_in"], int)
            and 0 < self._fields["expires_in"] <= LONGEST_LIFETIME_S
        )

    def _is_bearer(self) -> bool:
        return (
            isinstance(self._fields["token_type"], str)
            and self._fields["token_type"].lower() == "bearer"
        )
