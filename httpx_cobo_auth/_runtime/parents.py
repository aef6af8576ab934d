"""What the code that runs now is inside of.

A request made in another's event hook must not wait for that one.

Contexts are copied into tasks and threads. What a hook only started is not inside of the request
whose hook it was: it goes on its own, and that request does not wait for it.
"""

from __future__ import annotations

import contextlib
import contextvars
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx_cobo_auth._runtime.exchange_watch import ExchangeWatch
    from httpx_cobo_auth._runtime.permits import Permit

__all__ = ["Parent", "inside", "parents"]


@dataclass(frozen=True, slots=True)
class Parent:
    """A request of ours that is being sent.

    Attributes:
        number: of its permit.
        identity: of the task or thread that sends it.
        watch: how far it has got, where that is known.

    """

    number: int
    identity: object
    watch: ExchangeWatch | None = None

    @property
    def in_hook(self) -> bool:
        """Whether a hook of it may be running just now."""
        return self.watch is None or not self.watch.on_its_way


parents: contextvars.ContextVar[tuple[Parent, ...]] = contextvars.ContextVar(
    "httpx_cobo_auth_parents", default=()
)


@contextmanager
def inside(permit: Permit, identity: object, watch: ExchangeWatch | None = None) -> Iterator[None]:
    """Have what is done meanwhile be known to be inside of a request."""
    reset = parents.set((*parents.get(), Parent(permit.number, identity, watch)))
    try:
        yield
    finally:
        # A flow can be closed from another task. The number means nothing by now.
        with contextlib.suppress(ValueError):
            parents.reset(reset)
