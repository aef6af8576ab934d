"""Events, as lines of the log, and handed on to the user's handler."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, cast

from httpx_cobo_auth.events import (
    ContentionSuspected,
    RenewalFailed,
    SaveFailed,
    TokenAcquired,
    TokenRenewed,
    TokenTakenOver,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from httpx_cobo_auth.events import Event

__all__ = ["log"]

_RAISED = "on_event raised for %s"
_logger = logging.getLogger("httpx_cobo_auth")


def log(event: Event, on_event: Callable[[Event], object] | None) -> Awaitable[object] | None:
    """Tell the log and the user's handler; one that raises breaks nothing.

    Returns what has to be awaited, if the handler is async.
    """
    level, text, values = _words(event)
    extra = {
        "cobo_event": type(event).__name__,
        "cobo_org_id": event.org_id,
        "cobo_base_url": event.base_url,
    }
    _logger.log(level, text, *values, extra=extra)
    if on_event is None:
        return None
    try:
        result = on_event(event)
    except Exception:
        _logger.exception(_RAISED, type(event).__name__)
        return None
    return (
        _awaited(event, cast("Awaitable[object]", result)) if inspect.isawaitable(result) else None
    )


async def _awaited(event: Event, result: Awaitable[object]) -> None:
    try:
        await result
    except Exception:
        _logger.exception(_RAISED, type(event).__name__)


def _words(event: Event) -> tuple[int, str, tuple[object, ...]]:
    whose = f"organization {event.org_id} at {event.base_url}"
    match event:
        case TokenAcquired():
            return logging.INFO, "acquired token %d of %s", (event.generation, whose)
        case TokenRenewed():
            return logging.INFO, "renewed token %d of %s", (event.generation, whose)
        case TokenTakenOver():
            text = "using token %d of %s, which another process renewed"
            return logging.INFO, text, (event.generation, whose)
        case RenewalFailed():
            left = "keeping the current one" if event.still_usable else "there is none to use"
            text = "could not renew the token of %s; %s: %s"
            return logging.WARNING, text, (whose, left, event.error)
        case SaveFailed():
            text = "could not save token %d of %s; using it from memory: %s"
            return logging.WARNING, text, (event.generation, whose, event.error)
        case ContentionSuspected():
            text = (
                "the token of %s is refused repeatedly soon after it was renewed; another program "
                "seems to renew it from another store. Waiting %.0f s before the next renewal"
            )
            return logging.WARNING, text, (whose, event.hold_off)
        case _:
            return logging.INFO, "%s of %s", (type(event).__name__, whose)
