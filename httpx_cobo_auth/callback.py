"""What Cobo sends to an app: webhook events, callback messages, approvals.

Webhook events and callback messages are signed as Cobo's answers are: see ``verify_signed``.

The call after an organization has approved something is not signed. Cobo calls
``POST <callback_url>?approval_result=1&org_id=<uuid>``: 1 after an installation, 2 after a change
of settings, which needs a new token at once. The documentation names no authentication of this
call, so anybody on the internet can make it. Believing it costs an exchange, and an exchange may
end the token that requests under way carry. So calls are spaced: the first one counts at once,
those that follow are put off, and put together.

Like the flow, ``ApprovalCallback`` only decides. When and where to renew is for the app's
framework to do.
"""

from __future__ import annotations

import enum
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from httpx_cobo_auth._forking import forget_on_fork
from httpx_cobo_auth._protocol.identity import canonical_org_id
from httpx_cobo_auth._protocol.signing import signature_headers, verified_time
from httpx_cobo_auth.clock import SystemClock
from httpx_cobo_auth.environment import environment_named
from httpx_cobo_auth.errors import ConfigurationError, ResponseSignatureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment

__all__ = ["Approval", "ApprovalCallback", "ApprovalResult", "verify_signed"]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FIRST_PAUSE_S = 30.0
_LONGEST_PAUSE_S = 600.0
_QUIET_S = 2 * _LONGEST_PAUSE_S


def verify_signed(
    body: bytes | bytearray | memoryview,
    headers: Mapping[str, object] | Iterable[tuple[str | bytes, str | bytes]],
    environment: Environment | str,
    *,
    max_age: float | None = None,
    clock: Clock | None = None,
) -> float:
    """Check that a webhook event or a callback message comes from Cobo, and return when.

    Cobo may send an event twice, and out of order: the time and the IDs in the event tell.

    Example:
        >>> verify_signed(await request.body(), request.headers, "dev", max_age=300)
        1800000000.123

    Args:
        body: the bytes as they were received. JSON that was parsed and dumped again has others.
        headers: of the request, as a mapping or as pairs; in either spelling, ``Biz-Timestamp``
            and ``Biz-Resp-Signature`` or ``BIZ_TIMESTAMP`` and ``BIZ_RESP_SIGNATURE``, in any
            case; or a WSGI environment (Django's ``request.META``).
        environment: whose key must have signed: ``"prod"``, ``"dev"``, ``"sandbox"`` or an
            ``Environment``.
        max_age: seconds before now at which it may have been signed at most; by default any. Set
            it where somebody who has seen an event could send it again; Cobo repeats one that was
            not answered up to 10 times (events) or 30 times (messages), signed anew or not: the
            documentation does not say.
        clock: where the time is read; by default the machine's own.

    Returns:
        When Cobo signed it, in seconds since the epoch.

    Raises:
        ResponseSignatureError: it is not signed, or by another key, or it is too old.
        ConfigurationError: the environment has no key to verify by, or there is no such one.
        TypeError: the body is not bytes.

    """
    _require_bytes(body)
    key = environment_named(environment).response_key
    if key is None:
        message = "verify_signed needs an environment with a response_key to verify by"
        raise ConfigurationError(message)
    given = _by_name(headers)
    signed = signature_headers(lambda name: given.get(name.lower()))
    if None in signed:
        # As WSGI hands headers over, in either spelling.
        signed = signature_headers(lambda name: given.get(f"http_{name.lower()}"))
    time = verified_time(key, bytes(body), *signed)
    if time is None:
        how = "not signed" if None in signed else "not signed by Cobo's key of this environment"
        message = f"what was received is {how}; it may be forged"
        raise ResponseSignatureError(message)
    if max_age is not None and not (clock or SystemClock()).time() - time <= max_age:
        message = f"what was received was signed more than {max_age:g} s ago; it may be sent again"
        raise ResponseSignatureError(message)
    return time


def _require_bytes(body: object) -> None:
    if not isinstance(body, bytes | bytearray | memoryview):
        message = f"body must be the bytes as they were received, not {type(body).__name__}"
        raise TypeError(message)


def _by_name(
    headers: Mapping[str, object] | Iterable[tuple[str | bytes, str | bytes]],
) -> dict[str, str]:
    """Return headers by name in lower case; of one that is there twice the values joined."""
    # Mappings of web frameworks are not all registered as such.
    items = getattr(headers, "items", None)
    pairs = cast("Iterable[tuple[object, object]]", headers if items is None else items())
    found: dict[str, str] = {}
    for name, value in pairs:
        if isinstance(name, str | bytes) and isinstance(value, str | bytes):
            key, text = _text(name).lower(), _text(value)
            found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


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
        org_id: a UUID in lower case, as auth objects and stores have it too.
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
        # Stricter than what a program may give: Cobo sends a UUID with dashes.
        if _UUID.fullmatch(org_id.lower()) is None:
            return None
        org_id = canonical_org_id(org_id)
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
