"""What a store keeps: one record for each environment, client and organization.

The next request may come from another process, another auth object, or tomorrow's cron run. So
whatever it has to know is in the record: the token, how far it is trusted, an exchange that
began, failed attempts, and how often renewals were forced.

The *pending exchange* is saved before a refresh token leaves, and removed together with its
outcome. Whoever finds one while holding the lock knows that its owner died, or lost the lock:
that refresh token may have been used, and is never sent again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.backoff import NO_FAILURES, Backoff
from httpx_cobo_auth._protocol.throttle import RenewalThrottle

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.tokens import Token

__all__ = [
    "TRUSTED",
    "PendingExchange",
    "Record",
    "StoreKey",
    "TokenTrust",
    "Trust",
    "Version",
]


@dataclass(frozen=True, slots=True)
class StoreKey:
    """Whose token it is. A token is never used for a key other than its own.

    Attributes:
        base_url: of the environment; its name is not unique.
        client_id: of the Portal App.
        org_id: of the organization that installed it.

    """

    base_url: str
    client_id: str
    org_id: str


class Trust(enum.Enum):
    """How far a token is trusted, whatever the clock says."""

    TRUSTED = "trusted"
    """Nothing speaks against it."""
    REFUSED = "refused"
    """A request was refused with it, and not sent again."""
    EXPOSED = "exposed"
    """It was sent where it should not have been."""
    UNKNOWN = "unknown"
    """An exchange began, and nobody knows its end: it may have died with that."""


@dataclass(frozen=True, slots=True)
class TokenTrust:
    """How far the record's token is trusted.

    Attributes:
        level: TRUSTED, REFUSED or EXPOSED. UNKNOWN is not saved: a pending exchange says so.
        kind: of the request that was refused (method, and path without identifiers).
        at: when that was, in seconds since the epoch.

    """

    level: Trust = Trust.TRUSTED
    kind: str = ""
    at: float = 0.0


TRUSTED = TokenTrust()


@dataclass(frozen=True, slots=True)
class PendingExchange:
    """An exchange has begun.

    Attributes:
        owner: unlike any other exchange's.
        begun_at: seconds since the epoch.

    """

    owner: str
    begun_at: float


Version = tuple[int, str | None]
"""Generation and revision; ``(0, None)`` where there is no record."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a store keeps for one key. Stores need nothing of it but ``version``.

    Attributes:
        generation: one more with every token saved or forgotten; never goes back.
        token: ``None`` before the first one, and after it was forgotten.
        pending: the exchange under way, if any.
        throttle: of forced renewals.
        trust: how far the token is trusted.
        attempts: renewals before the token expired that failed in a row, and when the next may
            be tried, in seconds since the epoch.
        revision: unlike that of any other save of this generation; ``None`` for the save that
            brought the token.
        server_ahead: seconds by which the server's clock was ahead of that of the machine that
            got the token. Until another machine has compared its own clock, it goes by this one:
            they may be wrong together.

    """

    generation: int = 0
    token: Token | None = None
    pending: PendingExchange | None = None
    throttle: RenewalThrottle = RenewalThrottle()
    trust: TokenTrust = TRUSTED
    attempts: Backoff = NO_FAILURES
    revision: str | None = None
    server_ahead: float = 0.0

    @property
    def version(self) -> Version:
        """What a save that replaces this record has to expect."""
        revision = self.revision
        if revision is None and self.pending is not None:
            revision = self.pending.owner
        return self.generation, revision

    def revised(self, revision: str, **changes: Any) -> Record:  # noqa: ANN401 - as of replace
        """Return the record with other fields, as a save of its own within the generation."""
        return replace(self, revision=revision, **changes)

    def with_pending(self, pending: PendingExchange) -> Record:
        """Return the record with an exchange that begins."""
        return replace(self, pending=pending, revision=pending.owner)
