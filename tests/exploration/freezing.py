"""Values compared by what they say, whichever objects say it: what makes two states equal.

A suspended generator is read frame by frame: where it stands, and its locals. That is the
whole of it as long as nothing else is on its frames' stacks; the flow's ``for`` loops keep
what they count in a local as well.
"""

from __future__ import annotations

import dataclasses
import enum
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from httpx_cobo_auth._protocol.account import Account
from httpx_cobo_auth._protocol.asking import Effect
from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.flow import CoboFlow
from httpx_cobo_auth._protocol.notes import Note
from httpx_cobo_auth._protocol.records import StoreKey, TokenTrust
from httpx_cobo_auth._protocol.renewal import Renewal
from httpx_cobo_auth._protocol.reports import RenewalReports
from httpx_cobo_auth._protocol.settings import Settings, Timeouts
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.token_endpoint import TokenEndpoint
from httpx_cobo_auth._protocol.tokens import HeldToken, Token
from httpx_cobo_auth.errors import CoboAuthError
from httpx_cobo_auth.events import Event

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable

__all__ = ["OWNER", "Clock", "Numbered", "frozen", "frozen_generator"]

OWNER = "owner-"
"""What the names of noted exchanges begin with here."""

_T = TypeVar("_T")


class Clock:
    """The time of everybody in the model; it moves by moves only."""

    now = 0.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now

    monotonic = time


class Numbered(Generic[_T]):
    """Gives a number to each value that differs from all before it."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.values: list[_T] = []

    def __getitem__(self, number: int) -> _T:
        return self.values[number]

    def number(self, frozen_value: Hashable, value: _T) -> int:
        """Return the number of the value that was frozen so; the first such value stays."""
        number = self._numbers.setdefault(frozen_value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


def frozen(value: object, owners: set[str] | None = None) -> Hashable:  # noqa: C901, PLR0911, PLR0912 - a line for each kind
    """Return something equal for equal values.

    Args:
        value: to be frozen.
        owners: gets the names of noted exchanges that occur in it.

    Raises:
        TypeError: a kind of value that nobody thought of, which might make states differ.

    """
    if isinstance(value, str):
        if owners is not None and value.startswith(OWNER):
            owners.add(value)
        return value
    match value:
        case None | bool() | int() | float() | bytes() | enum.Enum():
            return value
        case frozenset():
            return cast("frozenset[object]", value)
        case Token() | HeldToken() | StoreKey() | TokenTrust() | Backoff() | RenewalThrottle():
            return value
        case tuple() | list():
            items = cast("tuple[object, ...] | list[object]", value)
            return tuple([frozen(item, owners) for item in items])
        case Effect():
            return _frozen_fields(cast("object", value), value.__slots__, owners)
        case FunctionType():
            return value.__qualname__
        case CoboAuthError():
            return type(value).__name__, str(value)
        case Renewal() | Note() | TokenEndpoint():
            return tuple([(name, frozen(of, owners)) for name, of in vars(value).items()])
        case RenewalReports():
            return tuple([type(event).__name__ for event in value.events])
        case Event() | CoboFlow() | Account() | Settings() | Timeouts() | Clock():
            return type(value).__name__
        case _:
            return _frozen_fields(value, _names_of_fields(type(value)), owners)


def _frozen_fields(value: object, names: tuple[str, ...], owners: set[str] | None) -> Hashable:
    return type(value).__name__, *[frozen(getattr(value, name), owners) for name in names]


_fields: dict[type[object], tuple[str, ...]] = {}


def _names_of_fields(kind: type[object]) -> tuple[str, ...]:
    names = _fields.get(kind)
    if names is None:
        if not dataclasses.is_dataclass(kind):
            message = f"when are two of {kind} equal?"
            raise TypeError(message)
        names = _fields[kind] = tuple(each.name for each in dataclasses.fields(kind))
    return names


def frozen_generator(
    generator: Generator[Any, Any, Any], owners: set[str] | None = None
) -> Hashable:
    """Return where a suspended generator stands, and all that it knows."""
    frames: list[Hashable] = []
    inner: Any = generator
    while inner is not None:
        frame = inner.gi_frame
        # Sorted, for locals come in the order in which somebody first looked at them.
        known = tuple(
            [(name, frozen(value, owners)) for name, value in sorted(frame.f_locals.items())]
        )
        frames.append((frame.f_code.co_name, frame.f_lasti, known))
        inner = inner.gi_yieldfrom
    return tuple(frames)
