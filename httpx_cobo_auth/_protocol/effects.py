"""What the flow asks for, and what it is told.

The flow is a generator of effects. It writes ``result = yield from Load()``, and is sent the
result, or has a ``CoboAuthError`` thrown into it. It does nothing else; whoever performs the
effects can be a client with sockets and stores, a test that steps the flow by hand, or a program
that explores every interleaving of several flows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.asking import Effect, Flow

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.freshness import ReplyAge
    from httpx_cobo_auth._protocol.records import Record, Version
    from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
    from httpx_cobo_auth._protocol.tokens import HeldToken, Token
    from httpx_cobo_auth.errors import CoboAuthError
    from httpx_cobo_auth.events import Event

__all__ = [
    "BeginWrite",
    "Confirm",
    "CorrectClock",
    "Delegate",
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


# ---------------------------------------------------------------------- the caller's request
@dataclass(frozen=True, slots=True)
class ResponseSummary:
    """What the flow has to know of the response to the caller's request.

    Attributes:
        status: HTTP status.
        error_code: Cobo's, where the response is one of its errors.
        seconds_off: how far the nonce was behind the server's verified time, beyond what the
            request's own duration explains; ``None`` where that is not known.
        empty: whether it has no body at all, as every response to a HEAD.
        server_time: seconds since the epoch that it says it was signed at, unverified; ``None``
            where it does not say so, or nobody asked.

    """

    status: int
    error_code: int | None = None
    seconds_off: float | None = None
    empty: bool = False
    server_time: float | None = None


@dataclass(slots=True, eq=False, repr=False)
class Send(Effect[ResponseSummary]):
    """Attach the token, sign anew, send the caller's request.

    The write entered by ``BeginWrite`` ends with the response's headers.

    Attributes:
        held: the token; ``None`` for a request that is only signed.
        sent: whether it was sent already, so that only its response is to be looked at.

    """

    held: HeldToken | None
    sent: bool = False


# -------------------------------------------------------------------------- token endpoint
@dataclass(frozen=True, slots=True)
class ExchangeReply:
    """The token endpoint answered.

    Attributes:
        status: HTTP status.
        body: ``None`` where it is longer than any reply of the protocol.
        server_time: seconds since the epoch at which Cobo signed it; ``None`` where its
            signature is missing or bad, or the environment has no key to verify it by.
        seconds_off: how far the nonce was behind ``server_time``, beyond what the request's
            own duration explains.
        retry_after: of the header, in seconds.
        age: how old it is; ``None`` where it does not tell.

    """

    status: int
    body: bytes | None = field(repr=False)
    server_time: float | None = None
    seconds_off: float | None = None
    retry_after: float | None = None
    age: ReplyAge | None = None


@dataclass(frozen=True, slots=True)
class ExchangeFault:
    """There is no reply.

    Attributes:
        error: why, without any secret.
        unsent: whether it is certain that the request did not arrive.

    """

    error: CoboAuthError
    unsent: bool


@dataclass(slots=True, eq=False, repr=False)
class Exchange(Effect["ExchangeReply | ExchangeFault"]):
    """Send a signed request to the token endpoint.

    Attributes:
        spend: the token whose refresh token is sent; ``None`` for ``org_implicit``.
        timeout: seconds within which the reply has to be there.
        again: whether to ask for ``org_implicit`` by a URL that says the same and is another to
            a cache.

    """

    spend: Token | None
    timeout: float
    again: bool = False


@dataclass(slots=True, eq=False, repr=False)
class CorrectClock(Effect[None]):
    """Count the nonces on from the server's time, ``seconds_off`` from ours."""

    seconds_off: float


# ---------------------------------------------------------------------- within the process
@dataclass(frozen=True, slots=True)
class Entry:
    """What came of waiting for a renewal: entered, or another one ended meanwhile, or neither.

    Attributes:
        entered: the permit was obtained, and ``Leave`` gives it back; or it was delegated, and ran
            for this very request.
        ended: somebody else's renewal ended while waiting.
        error: what it ended with, to be raised by all who waited for it.

    """

    entered: bool = False
    ended: bool = False
    error: CoboAuthError | None = None


@dataclass(slots=True, eq=False, repr=False)
class Delegate(Effect["Entry | None"]):
    """Have a renewal run on its own, and wait for it.

    The result is ``None`` where there is nobody to run it: with plain ``auth=``, or where no
    thread can be started. Then the caller renews by itself.

    Attributes:
        request: what is wanted.
        timeout: seconds to wait; 0 to start it only.
        until_confirmed: whether to wait only until ``Confirm``.

    """

    request: RenewalRequest
    timeout: float
    until_confirmed: bool = False


class Confirm(Effect[bool]):
    """Let those go on who wait only to learn whether another process has renewed: it has not.

    Returns whether to stop here, before anything is noted or sent: nobody waits for it any more.
    """

    __slots__ = ()


@dataclass(slots=True, eq=False, repr=False)
class Enter(Effect[Entry]):
    """Obtain the one renewal permit of this process.

    Attributes:
        timeout: seconds to wait while somebody else has it; 0 to try once.

    """

    timeout: float


@dataclass(slots=True, eq=False, repr=False)
class Leave(Effect[None]):
    """Give the permit back, the store's lock before it, and wake all who wait."""

    error: CoboAuthError | None = None


class BeginWrite(Effect[None]):
    """Enter a write as in flight, waiting while an exchange is under way."""

    __slots__ = ()


class EndWrite(Effect[None]):
    """Take the write back: it will not be sent now."""

    __slots__ = ()


@dataclass(slots=True, eq=False, repr=False)
class Drain(Effect[bool]):
    """Let no new write begin; wait some seconds for those in flight. Whether none is left."""

    timeout: float


# -------------------------------------------------------------------------------- the store
class Load(Effect["Record | None"]):
    """Read the record."""

    __slots__ = ()


@dataclass(slots=True, eq=False, repr=False)
class Save(Effect[None]):
    """Replace the record of the expected version."""

    record: Record
    expected: Version


@dataclass(slots=True, eq=False, repr=False)
class LockStore(Effect[bool]):
    """Take the store's lock. Whether it was obtained.

    Attributes:
        timeout: seconds to go on trying; 0 to try once.

    """

    timeout: float


class UnlockStore(Effect[None]):
    """Release the store's lock, if it is held."""

    __slots__ = ()


@dataclass(slots=True, eq=False, repr=False)
class Outlives(Effect[bool]):
    """Whether the store's lock will certainly still be held by then.

    Attributes:
        seconds: from now.

    """

    seconds: float


# ------------------------------------------------------------------------------------ others
@dataclass(slots=True, eq=False, repr=False)
class Sleep(Effect[None]):
    """Let seconds of real time pass."""

    seconds: float


@dataclass(slots=True, eq=False, repr=False)
class Emit(Effect[None]):
    """Tell the log and the user's handler."""

    event: Event
