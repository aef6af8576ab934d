"""httpx and httpx2: two families of the same classes, which refuse each other's.

What belongs to a request is taken from the module that the request's own class comes from.
Types are written as httpx's; httpx2's have the same shape.
"""

from __future__ import annotations

import sys
from typing import Any

from httpx_cobo_auth.errors import ConfigurationError

__all__ = ["family_of", "is_closed", "require_client"]

_FAMILIES = ("httpx", "httpx2")


def family_of(thing: object) -> Any:  # noqa: ANN401 - a module, httpx or httpx2
    """Return the module, ``httpx`` or ``httpx2``, that a request or a client belongs to.

    Raises:
        TypeError: to neither.

    """
    kind = type(thing)
    for base in kind.__mro__:
        name = base.__module__.partition(".")[0]
        if name in _FAMILIES:
            return sys.modules[name]
    message = f"expected an object of httpx or httpx2, got {kind.__module__}.{kind.__qualname__}"
    raise TypeError(message)


def is_closed(client: object) -> bool:
    """Whether a client was closed, so that nothing can leave by it; ``None`` is no client."""
    return bool(getattr(client, "is_closed", False))


def require_client(client: object, kind: str) -> None:
    """Refuse anything but a client of that kind.

    Raises:
        ConfigurationError: it is something else.

    """
    if not any(base.__name__ == kind for base in type(client).__mro__):
        message = f"expected a {kind}, of httpx or httpx2, got a {type(client).__name__}"
        raise ConfigurationError(message)
