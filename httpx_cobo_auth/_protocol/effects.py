"""What the flow asks for, and what it is told.

The flow is a generator of effects: it yields one of these, and is sent its result, or has a
``CoboAuthError`` thrown into it. It does nothing else; whoever performs the effects can be a
driver with sockets and stores, a test that steps it by hand, or a program that explores every
interleaving of several flows.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Record, Version
    from httpx_cobo_auth._protocol.tokens import HeldToken, Token
    from httpx_cobo_auth.errors import CoboAuthError
    from httpx_cobo_auth.events import Event

__all__ = [
    "BeginWrite",
    "CorrectClock",
    "Drain",
    "Effect",
    "Emit",
    "EndWrite",
    "Enter",
    "Entry",
    "Exchange",
    "ExchangeFault",
    "ExchangeReply",
    "Flow",
    "Leave",
    "Load",
    "LockStore",
    "Outlives",
    "ResponseSummary",
    "Save",
    "Send",
    "Sleep",
    "UnlockStore",
]

_T = TypeVar("_T")


# ---------------------------------------------------------------------- the caller's request
@dataclass(slots=True)  # Not frozen: one is made for every request, and that takes longer.
class Send:
    """Attach the token, sign anew, send the caller's request. Result: ``ResponseSummary``.

    The write entered by ``BeginWrite`` ends with the answer's headers.
    """

    held: HeldToken | None


@dataclass(frozen=True, slots=True)
class ResponseSummary:
    """How the server answered the caller's request.

    Attributes:
        status: HTTP status.
        error_code: Cobo's, where the answer is one of its errors.
        seconds_off: how far the nonces lag behind the server's verified time; ``None``
            where that is not known.

    """

    status: int
    error_code: int | None = None
    seconds_off: float | None = None


# -------------------------------------------------------------------------- token endpoint
@dataclass(frozen=True, slots=True)
class Exchange:
    """Send a signed request to the token endpoint. Result: ``ExchangeAnswer | ExchangeFault``.

    Attributes:
        spend: the token whose refresh token is sent; ``None`` for ``org_implicit``.
        timeout: seconds within which the answer has to be there.

    """

    spend: Token | None
    timeout: float


@dataclass(frozen=True, slots=True)
class ExchangeReply:
    """The token endpoint answered.

    Attributes:
        status: HTTP status.
        body: ``None`` where it is longer than any answer of the protocol.
        server_time: seconds since the epoch at which Cobo signed it; ``None`` where its
            signature is missing or bad, or the environment has no key to verify it by.
        seconds_off: how far the nonces lag behind ``server_time``.
        retry_after: of the header, in seconds.

    """

    status: int
    body: bytes | None = field(repr=False)
    server_time: float | None = None
    seconds_off: float | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class ExchangeFault:
    """There is no answer.

    Attributes:
        error: why, without any secret.
        unsent: whether it is certain that the request did not arrive.

    """

    error: CoboAuthError
    unsent: bool


@dataclass(frozen=True, slots=True)
class CorrectClock:
    """Count the nonces on from the server's time, ``seconds_off`` from ours."""

    seconds_off: float


# ---------------------------------------------------------------------- within the process
@dataclass(frozen=True, slots=True)
class Enter:
    """Take the one seat of a renewer in this process. Result: ``Entry``.

    Attributes:
        timeout: seconds to wait while somebody else has it; 0 to try once.

    """

    timeout: float


@dataclass(frozen=True, slots=True)
class Entry:
    """What came of ``Enter``: entered, or somebody else left meanwhile, or neither.

    Attributes:
        entered: the seat is taken; ``Leave`` gives it back.
        ended: somebody else's renewal ended while waiting.
        error: what it ended with, to be raised by all who waited for it.

    """

    entered: bool = False
    ended: bool = False
    error: CoboAuthError | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Give the seat back, and the store's lock with it, and wake all who wait."""

    error: CoboAuthError | None = None


@dataclass(frozen=True, slots=True)
class BeginWrite:
    """Enter a write as in flight, waiting while an exchange is under way."""


@dataclass(frozen=True, slots=True)
class EndWrite:
    """Take the write back: it will not be sent now."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Let no new write begin; wait for those in flight. Result: whether none is left.

    Attributes:
        timeout: seconds.

    """

    timeout: float


# -------------------------------------------------------------------------------- the store
@dataclass(frozen=True, slots=True)
class Load:
    """Read the record. Result: ``Record | None``."""


@dataclass(frozen=True, slots=True)
class Save:
    """Replace the record of the expected version."""

    record: Record
    expected: Version


@dataclass(frozen=True, slots=True)
class LockStore:
    """Take the store's lock. Result: whether it was to be had.

    Attributes:
        timeout: seconds to go on trying; 0 to try once.

    """

    timeout: float


@dataclass(frozen=True, slots=True)
class UnlockStore:
    """Release the store's lock."""


@dataclass(frozen=True, slots=True)
class Outlives:
    """Result: whether the store's lock will certainly still be held by then.

    Attributes:
        seconds: from now.

    """

    seconds: float


# ------------------------------------------------------------------------------------ others
@dataclass(frozen=True, slots=True)
class Sleep:
    """Let time pass.

    Attributes:
        seconds: of real time.

    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the user and the log."""

    event: Event


Effect = (
    Send
    | Exchange
    | CorrectClock
    | Enter
    | Leave
    | BeginWrite
    | EndWrite
    | Drain
    | Load
    | Save
    | LockStore
    | UnlockStore
    | Outlives
    | Sleep
    | Emit
)

Flow = Generator[Effect, Any, _T]
"""A part of the flow: it yields effects, and returns what it found out."""
