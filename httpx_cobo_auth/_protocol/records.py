"""What a store keeps: one record for each environment, client and organization.

A record's *version*, a generation and the note of an exchange under way, is what saving
compares: it replaces the version that the caller read, or nothing.

The note is written before a refresh token leaves and removed together with its outcome.
Whoever finds a note while holding the lock knows that its owner died, or lost the lock:
that refresh token may be spent, and is never sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.throttle import RenewalThrottle

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.tokens import Token

__all__ = ["PendingExchange", "Record", "StoreKey", "Version"]


@dataclass(frozen=True, slots=True)
class StoreKey:
    """Whose token it is. A token is never used for a key other than its own.

    Attributes:
        base_url: of the environment; the name would not do, for two can have the same.
        client_id: of the Portal App.
        org_id: of the organization that installed it.

    """

    base_url: str
    client_id: str
    org_id: str


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
"""Generation, and the owner of the noted exchange; ``(0, None)`` where there is no record."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a store keeps for one key.

    Attributes:
        generation: one more with every token saved or forgotten; never goes back.
        token: ``None`` before the first one, and after it was forgotten.
        note: of the exchange under way, if any.
        spacing: of forced renewals.

    """

    generation: int = 0
    token: Token | None = None
    pending: PendingExchange | None = None
    throttle: RenewalThrottle = RenewalThrottle()

    @property
    def version(self) -> Version:
        """What a save that replaces this record has to expect."""
        return self.generation, self.pending.owner if self.pending else None

    def with_pending(self, pending: PendingExchange | None) -> Record:
        """Give the same record with that note."""
        return replace(self, pending=pending)
