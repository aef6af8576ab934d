"""What a caller wants of a renewal, and when it has got it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.tokens import HeldToken

__all__ = ["RenewalRequest", "Urgency"]


class Urgency(enum.Enum):
    """Why a new token is wanted."""

    EARLY = enum.auto()
    """The current one is STALE."""
    DOUBT = enum.auto()
    """The current one may be dead."""
    REQUIRED = enum.auto()
    """There is none, or it is EXPIRED."""
    FORCED = enum.auto()
    """The current one was refused."""
    EXPLICIT = enum.auto()
    """The user asks for it."""


@dataclass(frozen=True, slots=True)
class RenewalRequest:
    """What a caller wants of a renewal.

    Attributes:
        urgency: why.
        instead_of: the token that will not do.
        patient: whether to wait for somebody else's renewal, as a write does.
        cause: the request that was refused, where it is not about to be repeated.
        sent_after: seconds since the epoch; a token asked for earlier will not do.

    """

    urgency: Urgency
    instead_of: HeldToken | None
    patient: bool = True
    cause: str = ""
    sent_after: float = float("-inf")

    @property
    def optional(self) -> bool:
        """Whether the caller goes on with the current token if there is no new one."""
        return self.urgency in (Urgency.EARLY, Urgency.DOUBT)

    @property
    def forced(self) -> bool:
        """Whether a refusal asks for it, so that it counts as forced."""
        return self.urgency is Urgency.FORCED or bool(self.cause)

    def met_by(self, account: Account, *, doubtful: bool = False) -> HeldToken | None:
        """Give the token in use, if that is what is wanted.

        One that may have died with an exchange is not, unless ``doubtful`` ones will do.
        """
        held = account.usable
        if held is None or (account.begun and not doubtful):
            return None
        if held.token.obtained_at < self.sent_after:
            return None
        old = self.instead_of
        return held if old is None or held.token.access_token != old.token.access_token else None
