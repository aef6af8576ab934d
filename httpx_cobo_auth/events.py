"""What happened, told after it happened: the values that ``on_event`` is called with.

None holds a secret. The logger ``httpx_cobo_auth`` says the same in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx_cobo_auth.errors import CoboAuthError

__all__ = [
    "ContentionSuspected",
    "Event",
    "RenewalAwaited",
    "RenewalFailed",
    "RequestRefused",
    "RequestReplayed",
    "SaveFailed",
    "TokenAcquired",
    "TokenChanged",
    "TokenRenewed",
    "TokenTakenOver",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to the token of one organization.

    Attributes:
        base_url: of the environment.
        client_id: of the Portal App.
        org_id: of the organization.
        at: seconds since the epoch.

    """

    base_url: str
    client_id: str
    org_id: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChanged(Event):
    """Another token is in use.

    Attributes:
        generation: of the token; higher than that of the one before.
        expires_at: seconds since the epoch.

    """

    generation: int
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAcquired(TokenChanged):
    """Cobo issued a token by ``org_implicit``: a first one, or one of a new chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRenewed(TokenChanged):
    """Cobo issued a token for a refresh token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTakenOver(TokenChanged):
    """A token that somebody else had renewed was found in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalFailed(Event):
    """No token was issued.

    Attributes:
        error: why.
        still_usable: whether the current token goes on being used.

    """

    error: CoboAuthError
    still_usable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveFailed(Event):
    """A token was issued but could not be saved; it is used from memory and saved later.

    Attributes:
        generation: of the token.
        error: why.

    """

    generation: int
    error: CoboAuthError


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentionSuspected(Event):
    """Renewals succeed but are refused soon after: somebody else seems to renew as well.

    That somebody uses another store for the same organization, perhaps on another machine.

    Attributes:
        hold_off: seconds before the next forced renewal.

    """

    hold_off: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalAwaited(Event):
    """A call had to wait for a renewal, for a tenth of a second at least.

    Attributes:
        seconds: how long.

    """

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReplayed(Event):
    """Cobo refused a request because of its token or its nonce; it is sent again.

    Attributes:
        request: method, and path without identifiers.

    """

    request: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused(Event):
    """Cobo refused a request because of its credentials; the caller gets that response.

    Attributes:
        request: method, and path without identifiers.
        status: of the response.
        hold_off: seconds before such a request may force the next renewal; 0 if it may at once.

    """

    request: str
    status: int
    hold_off: float
