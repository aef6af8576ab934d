"""The part of a simulator that knows organizations, their keys and their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.identity import canonical_org_id
from httpx_cobo_auth.testing._settings import Settings

if TYPE_CHECKING:
    from httpx_cobo_auth.testing._core import Core
    from httpx_cobo_auth.testing._records import IssuedToken

__all__ = ["Organizations"]


class Organizations(Settings):
    """What a test does to organizations, instead of Cobo's Portal.

    Methods are about the simulator's first organization by default; one that was never added is
    a ``ValueError``.
    """

    _core: Core

    def add_org(self, org_id: str) -> None:
        """Add an organization that has the app installed."""
        with self._core.lock:
            org_id = canonical_org_id(org_id)
            self._core.tokens.organizations[org_id] = True
            self._core.waas.add_org(org_id)

    def add_api_key(self, public_key: str, org_id: str | None = None) -> None:
        """Add an API key of an organization: its requests need no token.

        Args:
            public_key: in hex; 64 digits of Ed25519, or 66 of SECP256K1 (needs ``cryptography``).
            org_id: the first organization by default.

        Raises:
            ValueError: it is no such key, or the organization was never added.

        """
        with self._core.lock:
            org_id = self._known(org_id)
            self._core.org_of_key[self._core.gate.add_key(public_key)] = org_id

    def uninstall(self, org_id: str | None = None) -> None:
        """Let an organization uninstall the app: its tokens die, it gets no new ones."""
        with self._core.lock:
            org_id = self._known(org_id)
            self._core.tokens.organizations[org_id] = False
            self._core.tokens.revoke(org_id)
            self._core.tokens.expire_refresh(org_id)

    def install(self, org_id: str | None = None) -> None:
        """Let an organization install the app again; its old tokens stay dead."""
        with self._core.lock:
            self._core.tokens.organizations[self._known(org_id)] = True

    def issue_token(self, org_id: str | None = None) -> IssuedToken:
        """Issue a pair of tokens without any request."""
        with self._core.lock:
            return self._core.tokens.issue(self._known(org_id))

    def revoke_tokens(self, org_id: str | None = None) -> None:
        """End an organization's access tokens before their time."""
        with self._core.lock:
            self._core.tokens.revoke(self._known(org_id))

    def expire_refresh_token(self, org_id: str | None = None) -> None:
        """End an organization's refresh token before its time."""
        with self._core.lock:
            self._core.tokens.expire_refresh(self._known(org_id))

    def _known(self, org_id: str | None) -> str:
        org_id = canonical_org_id(org_id or self.org_id)
        if org_id not in self._core.tokens.organizations:
            message = "no such organization: add_org() it first"
            raise ValueError(message)
        return org_id
