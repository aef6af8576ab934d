"""Stores that cannot be pickled, and say why."""

from __future__ import annotations

from typing import ClassVar, NoReturn

__all__ = ["Uncopied"]


class Uncopied:
    """Base of a store whose copy, here or in another process, could not be the same store."""

    _why_uncopied: ClassVar[str]

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        """Refuse, whoever asks: ``pickle`` or ``copy``."""
        name = type(self).__name__
        message = f"a {name} cannot be pickled or copied, because {self._why_uncopied}"
        raise TypeError(message)
