"""What must not be copied out of the process."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["Confidential"]


class Confidential:
    """Base of what holds a secret: it cannot be pickled, and so neither copied."""

    __slots__ = ()

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        """Refuse: a pickle would hold the secret in the clear."""
        message = f"a {type(self).__name__} cannot be pickled or copied, because it holds a secret"
        raise TypeError(message)
