"""What a caller wants of a renewal, and when it has got it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.known import Urgency

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.settings import Settings
    from httpx_cobo_auth._protocol.tokens import HeldToken

__all__ = ["RenewalRequest"]


@dataclass(frozen=True, slots=True)
class RenewalRequest:
    """What a caller wants of a renewal.

    Attributes:
        urgency: why.
        instead_of: the token that will not do.
        waits: whether the caller waits for a renewal that somebody else has begun.
        kind: of the request that was refused, if one was.
        replayed: whether that request is about to be sent again.
        after_generation: with EXPLICIT, a token of this generation or lower will not do,
        after_exchange: unless a later exchange of this process than this one brought it.

    """

    urgency: Urgency
    instead_of: HeldToken | None = None
    waits: bool = True
    kind: str = ""
    replayed: bool = False
    after_generation: int = 0
    after_exchange: int = 0

    @property
    def optional(self) -> bool:
        """Whether the caller goes on with the current token if there is no new one."""
        return self.urgency in (Urgency.EARLY, Urgency.DOUBT)

    @property
    def forced(self) -> bool:
        """Whether a refusal asks for it, so that it counts as forced."""
        return bool(self.kind)

    def patience(self, settings: Settings) -> float:
        """Return the seconds for which the caller waits for somebody else's renewal."""
        if not self.waits:
            return 0.0
        limits = settings.timeouts
        return limits.early_exchange if self.urgency is Urgency.EARLY else settings.wait

    def met_by(self, account: Account, *, doubtful: bool = False) -> HeldToken | None:
        """Return the token in use, if that is what is wanted.

        One that may have died with an exchange is not, unless ``doubtful`` ones will do.
        """
        held = account.usable
        if held is None or (account.known.in_doubt and not doubtful):
            return None
        if self.urgency is Urgency.EXPLICIT:
            later = held.exchange > self.after_exchange
            return held if later or held.generation > self.after_generation else None
        old = self.instead_of
        return held if old is None or held.token.access_token != old.token.access_token else None
