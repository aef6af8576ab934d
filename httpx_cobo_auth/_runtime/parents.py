"""What the code that runs now is inside of.

A request made in another's event hook must not wait for that one.

Contexts are copied into tasks and threads. What a hook only started is not inside of the request
whose hook it was: it goes on its own, and that request does not wait for it.
"""

from __future__ import annotations

import contextvars
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx_cobo_auth._runtime.exchange_watch import ExchangeWatch
    from httpx_cobo_auth._runtime.permits import Permit

__all__ = ["Parent", "inside", "parents"]


class Parent:
    """A request of ours that is being sent.

    Attributes:
        number: of its permit.
        identity: of the task or thread that sends it.
        watch: how far it has got, where that is known.

    """

    __slots__ = ("_permit", "identity", "number", "watch")

    def __init__(
        self, permit: Permit, identity: object, watch: ExchangeWatch | None = None
    ) -> None:
        self.number = permit.number
        self.identity = identity
        self.watch = watch
        self._permit = weakref.ref(permit)

    @property
    def is_over(self) -> bool:
        """Whether it has ended: its flow was interrupted, or closed from another task."""
        permit = self._permit()
        return permit is None or permit.is_released

    @property
    def in_hook(self) -> bool:
        """Whether a hook of it may be running just now."""
        return self.watch is None or not self.watch.on_its_way


parents: contextvars.ContextVar[tuple[Parent, ...]] = contextvars.ContextVar(
    "httpx_cobo_auth_parents", default=()
)


class inside:  # noqa: N801 - is used as a function; a generator would take thrice as long
    """Have what is done meanwhile be known to be inside of a request."""

    __slots__ = ("_parent", "_reset")

    def __init__(
        self, permit: Permit, identity: object, watch: ExchangeWatch | None = None
    ) -> None:
        self._parent = Parent(permit, identity, watch)

    def __enter__(self) -> None:
        """Be inside from now on."""
        around = parents.get()
        if around:
            around = tuple([parent for parent in around if not parent.is_over])
        self._reset = parents.set((*around, self._parent))

    def __exit__(self, *exception: object) -> None:
        """Be inside no longer."""
        try:  # noqa: SIM105 - ``suppress`` is an object more for each write
            parents.reset(self._reset)
        except ValueError:  # The flow is closed from another task: the number means nothing by now.
            pass
