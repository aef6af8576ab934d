"""Events: those of a renewal are collected while permit and lock are held, reported afterwards."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypedDict

from httpx_cobo_auth.events import (
    ContentionSuspected,
    RenewalAwaited,
    RenewalFailed,
    RequestRefused,
    RequestReplayed,
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

__all__ = ["RenewalReports", "renewal_awaited", "request_refused", "request_replayed"]


class _Whose(TypedDict):
    base_url: str
    client_id: str
    org_id: str
    at: float


def _whose(account: Account) -> _Whose:
    key = account.key
    return {
        "base_url": key.base_url,
        "client_id": key.client_id,
        "org_id": key.org_id,
        "at": account.clock.time(),
    }


def renewal_awaited(account: Account, seconds: float) -> Event:
    """Return the event of a call that had to wait."""
    return RenewalAwaited(seconds=seconds, **_whose(account))


def request_replayed(account: Account, kind: str) -> Event:
    """Return the event of a request that was refused and is sent again."""
    return RequestReplayed(request=kind, **_whose(account))


def request_refused(account: Account, kind: str, status: int) -> Event:
    """Return the event of a refusal that the caller gets."""
    hold_off = account.forced_wait(kind)
    return RequestRefused(request=kind, status=status, hold_off=hold_off, **_whose(account))


class RenewalReports:
    """Collects events; a handler that is slow or makes requests must not hold up anybody."""

    def __init__(self, account: Account) -> None:
        """Start with none."""
        self._account = account
        self.events: list[Event] = []

    def issued(self, held: HeldToken, *, implicit: bool) -> None:
        """Cobo issued a token."""
        kind = TokenAcquired if implicit else TokenRenewed
        event = kind(
            generation=held.generation, expires_at=held.token.expires_at, **_whose(self._account)
        )
        self.events.append(event)

    def taken_over(self, held: HeldToken) -> None:
        """Somebody else's token was found in the store."""
        event = TokenTakenOver(
            generation=held.generation, expires_at=held.token.expires_at, **_whose(self._account)
        )
        self.events.append(event)

    def failed(self, error: CoboAuthError) -> None:
        """No token was issued."""
        usable = self._account.usable is not None
        # Without a traceback: whoever keeps the event must not keep requests and their bodies.
        event = RenewalFailed(error=copy.copy(error), still_usable=usable, **_whose(self._account))
        self.events.append(event)

    def save_failed(self, generation: int, error: CoboAuthError) -> None:
        """A record could not be saved."""
        event = SaveFailed(generation=generation, error=copy.copy(error), **_whose(self._account))
        self.events.append(event)

    def contention(self, hold_off: float) -> None:
        """Renewals come too often."""
        self.events.append(ContentionSuspected(hold_off=hold_off, **_whose(self._account)))
