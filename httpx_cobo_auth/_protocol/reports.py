"""The events of one renewal: collected while permit and lock are held, reported afterwards."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypedDict

from httpx_cobo_auth.events import (
    ContentionSuspected,
    RenewalFailed,
    SaveFailed,
    TokenAcquired,
    TokenRenewed,
    TokenTakenOver,
)

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.tokens import HeldToken
    from httpx_cobo_auth.errors import CoboAuthError
    from httpx_cobo_auth.events import Event

__all__ = ["RenewalReports"]


class _Whose(TypedDict):
    base_url: str
    client_id: str
    org_id: str
    at: float


class RenewalReports:
    """Collects events; a handler that is slow or makes requests must not hold up anybody."""

    def __init__(self, account: Account) -> None:
        """Start with none."""
        self._account = account
        self.events: list[Event] = []

    def _whose(self) -> _Whose:
        key = self._account.key
        return {
            "base_url": key.base_url,
            "client_id": key.client_id,
            "org_id": key.org_id,
            "at": self._account.clock.time(),
        }

    def issued(self, held: HeldToken, *, implicit: bool) -> None:
        """Cobo issued a token."""
        kind = TokenAcquired if implicit else TokenRenewed
        event = kind(generation=held.generation, expires_at=held.token.expires_at, **self._whose())
        self.events.append(event)

    def taken_over(self, held: HeldToken) -> None:
        """Somebody else's token was found in the store."""
        event = TokenTakenOver(
            generation=held.generation, expires_at=held.token.expires_at, **self._whose()
        )
        self.events.append(event)

    def failed(self, error: CoboAuthError) -> None:
        """No token was issued."""
        usable = self._account.usable is not None
        # Without a traceback: whoever keeps the event must not keep requests and their bodies.
        event = RenewalFailed(error=copy.copy(error), still_usable=usable, **self._whose())
        self.events.append(event)

    def save_failed(self, generation: int, error: CoboAuthError) -> None:
        """A record could not be saved."""
        event = SaveFailed(generation=generation, error=copy.copy(error), **self._whose())
        self.events.append(event)

    def contention(self, hold_off: float) -> None:
        """Renewals come too often."""
        self.events.append(ContentionSuspected(hold_off=hold_off, **self._whose()))
