"""What the stores have in common: secrets that no traceback shows, failures, versions.

A traceback may be shown together with the locals of its frames. So stored bytes travel in a
``Secret``, and what can fail while it handles them runs in ``attempt``, which lets go of the
exception, its frames and its context, and keeps a line of text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from httpx_cobo_auth.errors import StoreConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.records import Record, Version

__all__ = ["Secret", "Trouble", "attempt", "require_version"]

_T = TypeVar("_T")
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Secret:
    """Bytes that its ``repr`` does not show."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong, as text without any secret in it."""

    text: str


def attempt(
    call: Callable[[], _T], *errors: type[Exception], detailed: bool = True
) -> _T | Trouble:
    """Return what the call gives, or why it failed.

    Args:
        call: may handle secrets.
        errors: that are expected; any other is raised.
        detailed: whether to repeat what the error says; ``False`` gives its name alone.

    """
    try:
        return call()
    except errors as error:
        text = f"{type(error).__name__}: {error}" if detailed else type(error).__name__
        return Trouble(text[:_LONGEST_TEXT])


def require_version(stored: Record | None, record: Record, expected: Version) -> None:
    """Check that ``record`` may replace what is stored.

    Raises:
        StoreConflictError: another version is stored, or the record's generation is lower.

    """
    version: Version = stored.version if stored is not None else (0, None)
    if version != expected or record.generation < version[0]:
        message = "the record moved on since it was read"
        raise StoreConflictError(message)
