"""What can be set on a simulator, and what a client has to know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict

from httpx_cobo_auth.testing.clock import ManualClock

if TYPE_CHECKING:
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment

__all__ = ["Credentials", "NonceCheck", "Settings"]

NonceCheck = bool | Literal["lenient", "age", "once", "increasing"]


class Credentials(TypedDict):
    """The arguments that make a ``CoboOAuth``, of either family, a client of the simulator.

    Attributes:
        client_id: the simulator's.
        app_secret: the simulator's; hex.
        org_id: the simulator's first organization.
        environment: where the simulator is: in memory, or on a socket while it is served.
        clock: the simulator's time.

    """

    client_id: str
    app_secret: str
    org_id: str
    environment: Environment
    clock: Clock


def _running_clock() -> Clock:
    return ManualClock(running=True)


@dataclass(kw_only=True, repr=False, eq=False)
class Settings:
    """Identity and behaviour; the behaviour may be changed at any time.

    Attributes:
        client_id: the Portal App's client ID.
        app_secret: the app's Ed25519 seed in hex; the documentation's example by default.
        org_id: the organization that has the app installed from the beginning.
        token_lifetime: seconds that access tokens issued from now on live.
        tell_expires_in: whether token replies have ``expires_in``: the documentation does not
            mark it as required.
        expired_status: how a dead access token shows itself: 500 with ``error_code`` 1000,
            as documented, or 401 with 2025.
        rotation_kills: whether issuing a token ends the organization's previous one at once.
        reuse_revokes: whether a spent refresh token, seen again, kills all tokens of its
            organization.
        check_nonce: what is demanded of a nonce, for each key by itself:

            - ``"lenient"``: what Cobo documents. Any text; 13 digits are milliseconds, and must
              be fresh. Another request may have the same one (the official SDKs reuse a
              millisecond); the very same request sent again is refused.
            - ``True``: fresh milliseconds, each once, as this package sends them.
            - ``"increasing"``: the same, and each later than those before, as of a client whose
              requests come one after another.
            - ``"once"``: any text, each once; 13 digits must be fresh here as well.
            - ``"age"``: fresh milliseconds; they may repeat, as between processes, and so may
              the request.
            - ``False``: nothing.
        max_skew_s: seconds that milliseconds may be away from the simulator's clock to be fresh.
        signature_headers: in which spelling answers and webhooks carry their signature:
            ``Biz-Resp-Signature``, ``BIZ_RESP_SIGNATURE`` or, as both are in use, in each.
        clock: the simulator's time; by default a running ``ManualClock``.

    """

    client_id: str = "cobo-simulator-client-id"
    # The example of Cobo's documentation: public, and no key to anything.
    app_secret: str = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"  # noqa: S105
    org_id: str = "e3986401-4aec-480a-973d-e775a4518413"
    token_lifetime: int = 43199
    tell_expires_in: bool = True
    expired_status: Literal[500, 401] = 500
    rotation_kills: bool = True
    reuse_revokes: bool = True
    check_nonce: NonceCheck = "lenient"
    max_skew_s: float = 60.0
    signature_headers: Literal["both", "hyphenated", "underscored"] = "both"
    clock: Clock = field(default_factory=_running_clock)
