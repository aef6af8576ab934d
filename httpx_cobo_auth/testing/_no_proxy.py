"""While a simulator is on a loopback socket, no client looks for it behind a proxy."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["reached_directly"]

_NAMES = ("NO_PROXY", "no_proxy")
_lock = threading.Lock()
_hosts: list[str] = []
"""Of the simulators that are served right now."""
_before: dict[str, str | None] = {}
"""What the variables were without them."""


@contextlib.contextmanager
def reached_directly(host: str) -> Generator[None]:
    """Exempt a host from the proxies that the environment names (``NO_PROXY``).

    Clients that are made meanwhile go by that, and so do the programs that are started.
    """
    with _lock:
        if not _hosts:
            _before.update({name: os.environ.get(name) for name in _NAMES})
        _hosts.append(host)
        _write()
    try:
        yield
    finally:
        with _lock:
            _hosts.remove(host)
            _write()


def _write() -> None:
    for name, value in _before.items():
        hosts = [*filter(None, [value]), *dict.fromkeys(_hosts)] if value != "*" else ["*"]
        if value is None and not _hosts:
            os.environ.pop(name, None)
        else:
            os.environ[name] = ",".join(hosts)
