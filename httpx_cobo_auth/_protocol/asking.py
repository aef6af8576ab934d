"""How the flow asks for something: what all effects are, and what a flow is made of."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar

__all__ = ["Effect", "Flow"]

_R = TypeVar("_R")


class Effect(Generic[_R]):
    """Something to be done; ``_R`` is what comes of it.

    What a data class would have generated for each effect is here once: the import is faster.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        """Whether it is the same effect, with the same fields."""
        return isinstance(other, type(self)) and _fields(self) == _fields(other)

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # as of a data class that is not frozen

    def __repr__(self) -> str:
        """Show it with its fields."""
        shown = ", ".join(f"{name}={value!r}" for name, value in _fields(self).items())
        return f"{type(self).__name__}({shown})"

    def __iter__(self) -> Flow[_R]:
        """Ask for it, and return what comes of it."""
        result: _R = yield self
        return result


def _fields(effect: Effect[Any]) -> dict[str, object]:
    names: tuple[str, ...] = effect.__slots__
    return {name: getattr(effect, name) for name in names}


Flow = Generator[Effect[Any], Any, _R]
"""A part of the flow: it yields effects, and returns what it found out."""
