"""What a simulator remembers for the test to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from httpx_cobo_auth.testing._wire import TOKEN_PATH

if TYPE_CHECKING:
    from httpx_cobo_auth.testing._faults import FaultKind

__all__ = ["Counters", "IssuedToken", "LogEntry"]


class IssuedToken(NamedTuple):
    """A pair of tokens, as the endpoint issues it."""

    access_token: str
    """The bearer."""
    refresh_token: str
    """Works once."""
    expires_in: int
    """Seconds that the access token lives."""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"{type(self).__name__}(expires_in={self.expires_in})"


@dataclass(slots=True)
class Counters:
    """What has happened so far. The simulator counts under its lock; read at any time.

    Attributes:
        requests: requests to API paths that arrived.
        exchanges: requests to the token endpoint that arrived, good or bad.
        refreshes: exchanges by POST, that is with a refresh token.
        implicits: exchanges by GET, that is by ``org_implicit``.
        issued: access tokens issued.
        spent_refresh_reused: times that a spent refresh token was sent again.
        rejected: API requests that authentication refused.
        bounced_writes: writes among them that were refused for a dead token.
        executed_writes: writes that took effect.
        duplicate_request_ids: transfers whose ``request_id`` had been executed before.
        nonce_reused: requests with a nonce used before.
        bad_signatures: requests whose signature does not fit.
        queries_reencoded: requests whose signature fits only after the query was decoded and
            encoded again; of this package there are none.
        wrong_org: requests for something of another organization than the token's.

    """

    requests: int = 0
    exchanges: int = 0
    refreshes: int = 0
    implicits: int = 0
    issued: int = 0
    spent_refresh_reused: int = 0
    rejected: int = 0
    bounced_writes: int = 0
    executed_writes: int = 0
    duplicate_request_ids: int = 0
    nonce_reused: int = 0
    bad_signatures: int = 0
    queries_reencoded: int = 0
    wrong_org: int = 0


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One request that arrived, and what became of it.

    Attributes:
        method: in capitals.
        target: path and query, the bytes that were sent.
        headers: names and values, the bytes that were sent.
        body: the bytes that were sent.
        status: of the answer; ``None`` if it was dropped or withheld.
        org_id: the organization that the token, or the exchange, is about, if known.
        at: seconds since the epoch, by the simulator's clock.
        fault: the kind of the injected fault that it met, if any.
        issued: the tokens that it made the endpoint issue, whether they arrived or not.
        refused: whether it was no exchange, and answered as for a token that is not valid:
            by 401, or by 500 with ``error_code`` 1000, in earnest or by a fault.

    """

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = field(repr=False)
    status: int | None
    org_id: str | None
    at: float
    fault: FaultKind | None = None
    issued: IssuedToken | None = field(default=None, repr=False)
    refused: bool = False

    @property
    def for_token(self) -> bool:
        """Whether it went to the token endpoint."""
        return self.target.partition(b"?")[0] == TOKEN_PATH
