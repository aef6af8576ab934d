"""What is left for a driver to do: the few things that differ between sync and async.

A performer yields an httpx request, to be sent by the client whose flow it is, or one of
these operations. It is sent the result, or has the exception thrown into it.
"""

from __future__ import annotations

import enum
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx


__all__ = [
    "AnyOp",
    "CallStore",
    "How",
    "Op",
    "Pause",
    "ReadAnswer",
    "SendOwn",
    "Steps",
    "TakeBody",
    "Waiting",
]


class Waiting(Protocol):
    """What a driver makes to wait by."""

    def wake(self) -> None:
        """End the waiting; from any thread, and harmless where nobody waits any more."""
        ...

    def wait(self, seconds: float) -> Any:  # noqa: ANN401 - awaitable for an async driver
        """Wait until woken, or for that long."""
        ...


class How(enum.Enum):
    """How to call a store."""

    DIRECT = enum.auto()
    THREAD = enum.auto()
    AWAIT = enum.auto()


class Op:
    """Base of the operations, to tell them from requests."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class SendOwn(Op):
    """Send a request by the driver's own client, unread. Result: the response."""

    request: httpx.Request
    timeout: float


@dataclass(frozen=True, slots=True)
class ReadAnswer(Op):
    """Read an answer to the caller. Result: the body, ``None`` where it is too long."""

    response: httpx.Response
    whole: bool = False


@dataclass(frozen=True, slots=True)
class TakeBody(Op):
    """Take the body out of an answer of the token endpoint. Result: as ``ReadAnswer``."""

    response: httpx.Response
    timeout: float


@dataclass(frozen=True, slots=True)
class CallStore(Op):
    """Call a method of the store.

    Attributes:
        method: bound to its arguments; gives an awaitable for an async store.
        how: where: at once, for it never waits; in a worker thread; or awaited.

    """

    method: Callable[[], Any]
    how: How


@dataclass(frozen=True, slots=True)
class Pause(Op):
    """Wait until woken, or until the time is over.

    Attributes:
        seconds: of real time.
        waiter: made by the driver; ``None`` to sit the time out.

    """

    seconds: float
    waiter: Waiting | None = None


AnyOp = SendOwn | ReadAnswer | TakeBody | CallStore | Pause
_T = TypeVar("_T")
Steps = Generator["httpx.Request | AnyOp", Any, _T]
"""What a driver goes through: requests of the flow and operations; it gives what it found."""
