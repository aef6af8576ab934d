"""Things that go wrong on purpose."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self, TypedDict

import anyio

from httpx_cobo_auth.testing._wire import Answer, Incoming, Refusal, body_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["Fault", "FaultDetails", "FaultKind", "Hold", "Plan", "Target", "until"]

FaultKind = Literal[
    "answer",
    "delay",
    "drop",
    "garbage",
    "hang",
    "huge",
    "redirect",
    "refuse",
    "tamper",
    "unsigned",
]
_WITHOUT_EFFECT = frozenset({"answer", "redirect", "refuse"})
_GARBAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
_HUGE_BYTES = 16 * 1024 * 1024
_OTHER_TROUBLE = 5000
_POLL_S = 0.001


class FaultDetails(TypedDict, total=False):
    """What ``CoboSimulator.inject`` takes beside kind and place.

    Attributes:
        effect: whether the request takes effect first (a token rotates, a transfer is made).
            Default: yes, except for ``answer`` and ``redirect``. Never for ``refuse``.
        status: of the answer. Default: 503 for ``answer``, 307 for ``redirect``, else what
            the request has earned.
        body: bytes, text, or anything for JSON. Default: an error in Cobo's shape.
        error_code: of that error; 5000 by default.
        headers: further headers.
        signed: ``False`` leaves the answer unsigned, as a gateway's would be.
        retry_after: seconds, for the header ``Retry-After``.
        delay_s: real seconds between effect and answer.
        url: where a ``redirect`` leads.

    """

    effect: bool
    status: int
    body: object
    error_code: int
    headers: Mapping[str, str]
    signed: bool
    retry_after: int
    delay_s: float
    url: str


@dataclass(frozen=True, slots=True)
class Target:
    """Which requests: ``"token"``, ``"api"`` or a path prefix (``"/v2/wallets"``); a method."""

    where: str
    method: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would never match."""
        if self.where not in {"token", "api"} and not self.where.startswith("/"):
            message = 'where must be "token", "api" or the beginning of a path'
            raise ValueError(message)

    def matches(self, incoming: Incoming) -> bool:
        """Return whether the request is meant."""
        if self.method not in {None, incoming.method}:
            return False
        if self.where.startswith("/"):
            return incoming.path.startswith(self.where.encode())
        return incoming.for_token == (self.where == "token")


@dataclass(slots=True, eq=False)
class Fault:
    """A fault in place; a context manager that removes it at the end.

    Attributes:
        hits: how many requests it has met.
        removed: set by ``remove()``; releases whoever hangs in it over a socket.

    """

    target: Target
    kind: FaultKind
    times: int | None = 1
    details: FaultDetails = field(default_factory=FaultDetails, repr=False)
    hits: int = 0
    removed: threading.Event = field(default_factory=threading.Event, repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.kind == "refuse" and self.effect:
            message = "a refused connection has no effect"
            raise ValueError(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    @property
    def effect(self) -> bool:
        """Whether the request takes effect before things go wrong."""
        return self.details.get("effect", self.kind not in _WITHOUT_EFFECT)

    @property
    def spent(self) -> bool:
        """Whether it meets no further request."""
        return self.removed.is_set() or self.hits == self.times

    @property
    def signed(self) -> bool:
        """Whether the answer carries a signature, right or wrong."""
        return self.details.get("signed", self.kind != "unsigned")

    @property
    def pauses(self) -> tuple[float | threading.Event, ...]:
        """What the answer has to wait for."""
        delay = (float(self.details["delay_s"]),) if "delay_s" in self.details else ()
        return (*delay, self.removed) if self.kind == "hang" else delay

    def remove(self) -> None:
        """End the fault."""
        self.removed.set()

    def instead(self, incoming: Incoming) -> Answer:
        """Answer with an error of the fault's own."""
        status = self.details.get("status", 307 if self.kind == "redirect" else 503)
        code: int | str = self.details.get("error_code", _OTHER_TROUBLE)
        if incoming.for_token and status < 500 and "error_code" not in self.details:  # noqa: PLR2004
            code = "invalid_grant"
        return Refusal(status, code, "injected fault").answer(for_token=incoming.for_token)

    def upon(self, incoming: Incoming, answer: Answer) -> Answer:
        """Turn an answer into what is sent."""
        details = self.details
        if self.kind in {"answer", "redirect"}:
            answer = self.instead(incoming)
        headers = [*answer.headers, *details.get("headers", {}).items()]
        if "retry_after" in details:
            headers.append(("Retry-After", str(details["retry_after"])))
        if "url" in details:
            headers.append(("Location", details["url"]))
        body = answer.body
        if self.kind == "garbage":
            body = _GARBAGE
        elif self.kind == "huge":
            body = json.dumps({"padding": "x" * _HUGE_BYTES}).encode()
        if "body" in details:
            body = body_of(details["body"])
        return Answer(details.get("status", answer.status), body, tuple(headers))


@dataclass(slots=True, eq=False)
class Hold:
    """Requests stopped between effect and answer; a context manager that lets go at the end.

    Attributes:
        arrived: set as soon as a request is being held.
        count: how many requests have been held.

    """

    target: Target
    arrived: threading.Event = field(default_factory=threading.Event, repr=False)
    count: int = 0
    released: threading.Event = field(default_factory=threading.Event, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let all requests go, those to come too."""
        self.released.set()

    def wait_arrived(self, count: int = 1, *, timeout_s: float = 10.0) -> None:
        """Wait until that many requests have been held.

        Raises:
            TimeoutError: they have not come in time.

        """
        deadline = time.monotonic() + timeout_s
        while self.count < count:
            if time.monotonic() > deadline:
                message = f"{self.count} of {count} requests arrived in {timeout_s} s"
                raise TimeoutError(message)
            time.sleep(_POLL_S)

    async def await_arrived(self, count: int = 1, *, timeout_s: float = 10.0) -> None:
        """Wait as ``wait_arrived`` does, without blocking the event loop."""
        with anyio.fail_after(timeout_s):
            await until(lambda: self.count >= count)


class Plan:
    """All faults and holds, in the order they were asked for. Not locked: the simulator is."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.holds: list[Hold] = []

    def take(self, incoming: Incoming, *, refusing: bool = False) -> Fault | None:
        """Return the first fault meant for the request: those that refuse, or the others."""
        self.faults = [fault for fault in self.faults if not fault.spent]
        for fault in self.faults:
            if (fault.kind == "refuse") == refusing and fault.target.matches(incoming):
                fault.hits += 1
                return fault
        return None

    def stop(self, incoming: Incoming) -> tuple[threading.Event, ...]:
        """Return what the request has to wait for."""
        self.holds = [hold for hold in self.holds if not hold.released.is_set()]
        stopping = [hold for hold in self.holds if hold.target.matches(incoming)]
        for hold in stopping:
            hold.count += 1
            hold.arrived.set()
        return tuple(hold.released for hold in stopping)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread, or another event loop, may bring about."""
    while not condition():  # noqa: ASYNC110 - an anyio.Event belongs to one event loop
        await anyio.sleep(_POLL_S)
