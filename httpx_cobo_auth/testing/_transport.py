"""The simulator behind the transport interface of httpx, and of httpx2.

Which of the two a request belongs to is read off the request, so that neither is imported
for the other's sake. Answers come unread, as from a network.
"""

from __future__ import annotations

import sys
import time
from threading import Event
from typing import TYPE_CHECKING, NoReturn

import anyio
from anyio.lowlevel import checkpoint

from httpx_cobo_auth.testing._faults import until
from httpx_cobo_auth.testing._wire import Incoming, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import httpx

    Exchange = Callable[[Incoming], Outcome]

__all__ = ["respond", "respond_async"]

_ERRORS = {
    "refuse": ("ConnectError", "the simulator refused the connection"),
    "drop": ("ReadError", "the simulator dropped the connection"),
    "hang": ("ReadTimeout", "the simulator did not answer in time"),
}


def respond(exchange: Exchange, request: httpx.Request) -> httpx.Response:
    """Serve a sync client."""
    outcome = exchange(_incoming(request, request.read()))
    timeout = _read_timeout(request)
    deadline = None if timeout is None else time.monotonic() + timeout
    for pause in _pauses(outcome):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if isinstance(pause, Event):
            in_time = pause.wait(left)
        else:
            time.sleep(pause if left is None else min(pause, left))
            in_time = left is None or pause <= left
        if not in_time:
            _fail(request, "hang")
    return _response(request, outcome)


async def respond_async(exchange: Exchange, request: httpx.Request) -> httpx.Response:
    """Serve an async client, on asyncio or trio, without blocking its event loop."""
    body = await request.aread()
    await checkpoint()  # a network lets others run, on the way there and on the way back
    outcome = exchange(_incoming(request, body))
    await checkpoint()
    with anyio.move_on_after(_read_timeout(request)) as scope:
        for pause in _pauses(outcome):
            if isinstance(pause, Event):
                await until(pause.is_set)
            else:
                await anyio.sleep(pause)
    if scope.cancelled_caught:
        _fail(request, "hang")
    return _response(request, outcome)


def _incoming(request: httpx.Request, body: bytes) -> Incoming:
    headers = tuple(request.headers.raw)
    return Incoming(request.method, request.url.raw_path, headers, body)


def _read_timeout(request: httpx.Request) -> float | None:
    timeout: float | None = request.extensions.get("timeout", {}).get("read")
    return timeout


def _pauses(outcome: Outcome) -> tuple[float | Event, ...]:
    return () if outcome.failure == "hang" else outcome.pauses


def _response(request: httpx.Request, outcome: Outcome) -> httpx.Response:
    if outcome.failure is not None:
        _fail(request, outcome.failure)
    family = _family(request)
    answer = outcome.answer
    response: httpx.Response = family.Response(
        answer.status,
        headers=[*answer.headers, ("Content-Length", str(len(answer.body)))],
        stream=family.ByteStream(answer.body),
    )
    return response


def _fail(request: httpx.Request, failure: str) -> NoReturn:
    name, message = _ERRORS[failure]
    error: Exception = getattr(_family(request), name)(message, request=request)
    raise error


def _family(request: httpx.Request) -> ModuleType:
    return sys.modules[type(request).__module__.partition(".")[0]]
