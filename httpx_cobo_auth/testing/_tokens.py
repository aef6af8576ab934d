"""The token endpoint: who has which token, and what rotation does to it."""

from __future__ import annotations

import secrets
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from httpx_cobo_auth.testing._records import IssuedToken
from httpx_cobo_auth.testing._wire import Answer, Incoming, Refusal, json_answer, json_object

if TYPE_CHECKING:
    from httpx_cobo_auth.testing._records import Counters
    from httpx_cobo_auth.testing._settings import Settings

__all__ = ["TokenBook"]

_REFRESH_LIFETIME_S = 30 * 24 * 3600


class _State(Enum):
    LIVE = auto()
    SPENT = auto()
    DEAD = auto()


@dataclass(slots=True, repr=False)
class _Grant:
    org_id: str
    expires_at: float  # by the monotonic clock: setting the wall clock ends no token
    state: _State = _State.LIVE


class TokenBook:
    """All organizations and their tokens. Not locked: the simulator is.

    ``organizations`` says of each organization whether it has the app installed.
    """

    def __init__(self, settings: Settings, counters: Counters) -> None:
        self.organizations = {settings.org_id: True}
        self._settings = settings
        self._counters = counters
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}
        self._live_access: defaultdict[str, list[_Grant]] = defaultdict(list)
        self._live_refresh: dict[str, _Grant] = {}

    def answer(self, incoming: Incoming) -> tuple[Answer, IssuedToken]:
        """Serve one exchange, well signed by the app's key; tell, too, what it issued.

        Raises:
            Refusal: with OAuth's error names.

        """
        if incoming.method == "GET":
            form: dict[str, object] = {**incoming.parameters}
            grant_type, field = "org_implicit", "org_id"
        elif incoming.method == "POST":
            form = json_object(incoming.body)
            grant_type, field = "refresh_token", "refresh_token"
        else:
            raise Refusal(405, "invalid_request", "GET or POST")
        value = form.get(field)
        if form.get("client_id") != self._settings.client_id:
            raise Refusal(401, "invalid_client", "client_id is not this app's")
        if form.get("grant_type") != grant_type:
            raise Refusal(400, "unsupported_grant_type", f"grant_type must be {grant_type}")
        if not isinstance(value, str) or not value:
            raise Refusal(400, "invalid_request", f"{field} is missing")
        issued = self._implicit(value) if field == "org_id" else self._rotate(value)
        content = {"token_type": "Bearer", "scope": "", **issued._asdict()}
        if not self._settings.tell_expires_in:
            del content["expires_in"]
        return json_answer(200 if field == "org_id" else 201, content), issued

    def issue(self, org_id: str) -> IssuedToken:
        """Issue a pair; the organization's earlier refresh tokens are spent by it."""
        self._end_refresh(org_id, _State.SPENT)
        if self._settings.rotation_kills:
            self.revoke(org_id)
        lifetime = self._settings.token_lifetime
        issued = IssuedToken(secrets.token_hex(32), secrets.token_hex(32), lifetime)
        now = self._settings.clock.monotonic()
        access = _Grant(org_id, now + lifetime)
        refresh = _Grant(org_id, now + _REFRESH_LIFETIME_S)
        self._access[issued.access_token] = access
        self._refresh[issued.refresh_token] = refresh
        self._live_access[org_id].append(access)
        self._live_refresh[org_id] = refresh
        self._counters.issued += 1
        return issued

    def revoke(self, org_id: str) -> None:
        """End the organization's access tokens."""
        for grant in self._live_access.pop(org_id, ()):
            grant.state = _State.DEAD

    def expire_refresh(self, org_id: str) -> None:
        """End the organization's refresh token, as 30 days would."""
        self._end_refresh(org_id, _State.DEAD)

    def bearer(self, incoming: Incoming) -> tuple[str | None, bool]:
        """Return the organization of the bearer, if known, and whether the token is alive."""
        scheme, _, token = (incoming.header(b"Authorization") or "").partition(" ")
        grant = self._access.get(token) if scheme == "Bearer" else None
        return (grant.org_id, self._alive(grant)) if grant is not None else (None, False)

    def org_of(self, incoming: Incoming) -> str | None:
        """Return the organization that an exchange is about, if known."""
        if incoming.method == "GET":
            return incoming.parameters.get("org_id")
        grant = self._refresh.get(str(json_object(incoming.body).get("refresh_token")))
        return grant.org_id if grant is not None else None

    def _end_refresh(self, org_id: str, state: _State) -> None:
        grant = self._live_refresh.pop(org_id, None)
        if grant is not None:
            grant.state = state

    def _alive(self, grant: _Grant) -> bool:
        now = self._settings.clock.monotonic()
        return grant.state is _State.LIVE and now < grant.expires_at

    def _implicit(self, org_id: str) -> IssuedToken:
        if not self.organizations.get(org_id, False):
            raise Refusal(403, "access_denied", "the organization has not installed this app")
        return self.issue(org_id)

    def _rotate(self, refresh_token: str) -> IssuedToken:
        grant = self._refresh.get(refresh_token)
        if grant is None:
            raise Refusal(400, "invalid_grant", "refresh_token is not known")
        if grant.state is _State.SPENT:
            self._counters.spent_refresh_reused += 1
            if self._settings.reuse_revokes:
                self.revoke(grant.org_id)
                self.expire_refresh(grant.org_id)
            raise Refusal(400, "invalid_grant", "refresh_token was used before")
        if not self.organizations[grant.org_id]:
            raise Refusal(403, "access_denied", "the organization has not installed this app")
        if not self._alive(grant):
            raise Refusal(400, "invalid_grant", "refresh_token has expired")
        return self.issue(grant.org_id)
