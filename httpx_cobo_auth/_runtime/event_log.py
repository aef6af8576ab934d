"""Events, as lines of the log, and handed on to the user's handler."""

from __future__ import annotations

import inspect
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, cast

from httpx_cobo_auth.events import (
    ContentionSuspected,
    Event,
    RenewalAwaited,
    RenewalFailed,
    RequestRefused,
    RequestReplayed,
    SaveFailed,
    TokenAcquired,
    TokenRenewed,
    TokenTakenOver,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["log"]

_LINES: dict[type[Event], tuple[int, str]] = {
    TokenAcquired: (logging.INFO, "acquired token {event.generation} of {whose}"),
    TokenRenewed: (logging.INFO, "renewed token {event.generation} of {whose}"),
    TokenTakenOver: (
        logging.INFO,
        "using token {event.generation} of {whose}, which another process renewed",
    ),
    RenewalFailed: (
        logging.WARNING,
        "could not renew the token of {whose}; {left}: {event.error}",
    ),
    SaveFailed: (
        logging.WARNING,
        "could not save token {event.generation} of {whose}; using it from memory: {event.error}",
    ),
    ContentionSuspected: (
        logging.WARNING,
        (
            "the token of {whose} is refused repeatedly soon after it was renewed; another program "
            "seems to renew it from another store. Waiting {event.hold_off:.0f} s before the next "
            "renewal"
        ),
    ),
    RenewalAwaited: (
        logging.DEBUG,
        "waited {event.seconds:.1f} s for a token of {whose}",
    ),
    RequestReplayed: (
        logging.INFO,
        "Cobo refused the credentials of {event.request} of {whose}; sending it again",
    ),
    RequestRefused: (
        logging.INFO,
        (
            "Cobo refused the credentials of {event.request} of {whose} (HTTP {event.status}); "
            "returning its response{held_off}"
        ),
    ),
}
_RAISED = "on_event raised for %s"
_OF_REQUESTS = (RenewalAwaited, RequestReplayed, RequestRefused)
# Whether a handler is being called here. What becomes of its own requests is only logged: one that
# makes a request for each event would otherwise be called without end.
_telling = ContextVar("_telling", default=False)
_logger = logging.getLogger("httpx_cobo_auth")


def log(event: Event, on_event: Callable[[Event], object] | None) -> Awaitable[None] | None:
    """Tell the log and the user's handler; one that raises breaks nothing.

    Returns what has to be awaited, if the handler is async.
    """
    level, text = _words(event)
    extra = {
        "cobo_event": type(event).__name__,
        "cobo_org_id": event.org_id,
        "cobo_base_url": event.base_url,
    }
    _logger.log(level, "%s", text, extra=extra)
    if on_event is None or (_telling.get() and isinstance(event, _OF_REQUESTS)):
        return None
    outer = _telling.set(True)
    try:
        result = on_event(event)
    except Exception:
        _logger.exception(_RAISED, type(event).__name__)
        return None
    finally:
        _telling.reset(outer)
    return (
        _awaited(event, cast("Awaitable[object]", result)) if inspect.isawaitable(result) else None
    )


async def _awaited(event: Event, result: Awaitable[object]) -> None:
    outer = _telling.set(True)
    try:
        await result
    except Exception:
        _logger.exception(_RAISED, type(event).__name__)
    finally:
        _telling.reset(outer)


def _words(event: Event) -> tuple[int, str]:
    level, text = _LINES.get(type(event), (logging.INFO, "{name} of {whose}"))
    whose = f"organization {event.org_id} at {event.base_url}"
    left = "keeping the current one"
    if not getattr(event, "still_usable", True):
        left = "there is none to use"
    wait = getattr(event, "hold_off", 0.0)
    held_off = f". No renewal for such a request before {wait:.0f} s have passed" if wait else ""
    name = type(event).__name__
    return level, text.format(event=event, name=name, whose=whose, left=left, held_off=held_off)
