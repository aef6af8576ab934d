"""Cobo's call to an app's callback URL, after an organization has approved something.

Cobo calls ``POST <callback_url>?approval_result=1&org_id=<uuid>``: 1 after an installation, 2
after a change of settings, which needs a new token at once. The documentation names no
authentication of this call, so anybody on the internet can make it. Believing it costs an
exchange, and an exchange may end the token that requests under way carry. So calls are
spaced: the first one counts at once, those that follow are put off, and put together.

Like the flow, this only decides. When and where to renew is for the app's framework to do.
"""

from __future__ import annotations

import enum
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from httpx_cobo_auth._forking import forget_on_fork
from httpx_cobo_auth.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from httpx_cobo_auth.clock import Clock

__all__ = ["Approval", "ApprovalCallback", "ApprovalResult"]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FIRST_PAUSE_S = 30.0
_LONGEST_PAUSE_S = 600.0
_QUIET_S = 2 * _LONGEST_PAUSE_S


class ApprovalResult(enum.Enum):
    """What an organization has approved (Cobo's documentation, ``approval_result``)."""

    INSTALLED = "1"
    """The app has been installed."""
    CHANGED = "2"
    """Settings of the app have been changed."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What a call says, and what to do about it.

    Attributes:
        result: what was approved, if the call is genuine.
        org_id: a UUID in lower case.
        renew_in: seconds after which to renew the organization's token; ``None`` where
            there is nothing to do, or where a renewal that was put off is still to come.

    """

    result: ApprovalResult
    org_id: str
    renew_in: float | None = None


class ApprovalCallback:
    """Reads callbacks, and spaces the renewals that they ask for.

    Result 2 of a known organization asks for a renewal: the first at once, the next no
    sooner than 30 s after that, then 60 s, doubling to 10 min; 20 min of quiet begin anew.
    Calls that come while a renewal is put off are served by it. Each process counts for
    itself.

    Result 1 asks for none: an organization's first request gets a token by itself. That it
    really has the app installed is proven by Cobo issuing one, and not by this call.

    Example:
        >>> callback = ApprovalCallback(known={"e3986401-…"}.__contains__)
        >>> approval = callback.take({"approval_result": "2", "org_id": "e3986401-…"})

    Args:
        known: tells whether an organization, by its ID in lower case, is one of the app's.
        clock: where the time is read; by default the machine's own.

    """

    def __init__(self, *, known: Callable[[str], bool], clock: Clock | None = None) -> None:
        """Have heard of nobody yet."""
        self._known = known
        self._clock = clock or SystemClock()
        self._reset()
        forget_on_fork(self, ApprovalCallback._reset)

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._renewals: dict[str, tuple[int, float]] = {}

    def take(self, parameters: Mapping[str, object]) -> Approval | None:
        """Read a call; never raises for what is in it.

        Answer alike for known and unknown organizations, so that nobody can ask which are.

        Args:
            parameters: of the query string.

        Returns:
            ``None`` where this is no call of Cobo's; answer it with 400.

        """
        result, org_id = parameters.get("approval_result"), parameters.get("org_id")
        if result not in ("1", "2") or not isinstance(org_id, str):
            return None
        org_id = org_id.lower()
        if _UUID.fullmatch(org_id) is None:
            return None
        approved = ApprovalResult(result)
        if approved is not ApprovalResult.CHANGED or not self._known(org_id):
            return Approval(approved, org_id)
        return Approval(approved, org_id, self._renew_in(org_id))

    def _renew_in(self, org_id: str) -> float | None:
        now = self._clock.monotonic()
        with self._mutex:
            count, latest = self._renewals.get(org_id, (0, float("-inf")))
            if latest > now:
                return None
            if latest < now - _QUIET_S:
                count, latest = 0, float("-inf")
            due = max(now, latest + min(_FIRST_PAUSE_S * 2.0 ** (count - 1), _LONGEST_PAUSE_S))
            # Counted no further than matters, so that no power grows out of bounds.
            self._renewals[org_id] = (min(count + 1, 16), due)
        return due - now
