"""Values compared by what they say, whichever objects say it: what makes two states equal.

A suspended generator is read frame by frame: where it stands, and its locals. That is the
whole of it as long as nothing else is on its frames' stacks; the flow's ``for`` loops keep
what they count in a local as well.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from httpx_cobo_auth.account import Account
from httpx_cobo_auth.errors import CoboAuthError
from httpx_cobo_auth.events import Event
from httpx_cobo_auth.flow import CoboFlow
from httpx_cobo_auth.news import Newsroom
from httpx_cobo_auth.renewal import Renewal
from httpx_cobo_auth.settings import Settings, Timeouts

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable

__all__ = ["OWNER", "Numbered", "frozen", "frozen_generator", "owners_in"]

OWNER = "owner-"
"""What the names of noted exchanges begin with here."""

_T = TypeVar("_T")


class Numbered(Generic[_T]):
    """Gives a number to each value that differs from all before it."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.values: list[_T] = []

    def __getitem__(self, number: int) -> _T:
        return self.values[number]

    def number(self, frozen_value: Hashable, value: _T) -> int:
        """Give the number of the value that was frozen so; the first such value stays."""
        number = self._numbers.setdefault(frozen_value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


def frozen(value: object) -> Hashable:  # noqa: PLR0911 - one line for each kind
    """Give something equal for equal values.

    Raises:
        TypeError: a kind of value that nobody thought of, which might make states differ.

    """
    match value:
        case None | bool() | int() | float() | str() | bytes() | enum.Enum():
            return value
        case tuple() | list():
            items: tuple[Any, ...] | list[Any] = value
            return tuple(frozen(item) for item in items)
        case CoboAuthError() | Event():
            return type(value).__name__, str(value) if isinstance(value, CoboAuthError) else ""
        case Renewal():
            return frozen(value.news), frozen(value._need), value._attempted
        case Newsroom():
            return frozen(value.events)
        case CoboFlow() | Account() | Settings() | Timeouts():
            return type(value).__name__
        case _ if type(value).__name__ == "Clock":
            return "Clock"
        case _ if dataclasses.is_dataclass(value):
            fields = dataclasses.fields(value)
            return type(value).__name__, *(frozen(getattr(value, each.name)) for each in fields)
    message = f"when are two of {type(value)} equal?"
    raise TypeError(message)


def frozen_generator(generator: Generator[Any, Any, Any]) -> Hashable:
    """Give where a suspended generator stands, and all that it knows."""
    frames: list[Hashable] = []
    inner: Any = generator
    while inner is not None:
        frame = inner.gi_frame
        known = tuple((name, frozen(value)) for name, value in frame.f_locals.items())
        frames.append((frame.f_code.co_name, frame.f_lasti, known))
        inner = inner.gi_yieldfrom
    return tuple(frames)


def owners_in(frozen_value: Hashable) -> frozenset[str]:
    """Give the names of noted exchanges that occur in something frozen."""
    if isinstance(frozen_value, tuple):
        items: tuple[Hashable, ...] = frozen_value
        return frozenset[str]().union(*map(owners_in, items))
    is_owner = isinstance(frozen_value, str) and frozen_value.startswith(OWNER)
    return frozenset({frozen_value}) if is_owner else frozenset()
