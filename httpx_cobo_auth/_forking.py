"""At fork, nothing is inherited.

A child gets copies of locks that nobody in it will ever release, of waiters that belong to
threads it does not have, and of refresh tokens that work only once, for both together.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["forget_on_fork"]

_T = TypeVar("_T")
_resets: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()


def forget_on_fork(owner: _T, reset: Callable[[_T], None]) -> None:
    """Call ``reset(owner)`` in every forked child, for as long as ``owner`` lives."""
    _resets[owner] = reset


def _in_child() -> None:
    for owner, reset in list(_resets.items()):
        reset(owner)


if hasattr(os, "register_at_fork"):  # pragma: no branch - absent on Windows
    os.register_at_fork(after_in_child=_in_child)
