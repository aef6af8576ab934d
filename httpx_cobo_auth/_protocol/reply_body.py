"""The body of a token reply, on its way from the socket to a ``Token``.

Access and refresh token stand in it in the clear. An error tracker shows the locals of every
frame that an exception passes, by ``repr`` or, for text, bytes, lists and mappings, by what is in
them. So the body is never a local of its own: it stays inside of this, which shows nothing.
"""

from __future__ import annotations

from httpx_cobo_auth._confidential import Confidential

__all__ = ["ReplyBody"]


class ReplyBody(Confidential):
    """Bytes that show their number, and nothing else.

    Read them by ``bytes(body)``, as an argument of what takes them, and not into a variable.

    Attributes:
        piece: what came last from the wire: ``for body.piece in stream: body.keep()``.

    """

    __slots__ = ("_pieces", "_size", "piece")

    def __init__(self, content: bytes = b"") -> None:
        """Hold these bytes."""
        self.piece = content
        self._pieces: list[bytes] = [content]
        self._size = len(content)

    def keep(self) -> int:
        """Add the piece that came last, and return how many bytes there are by now."""
        self._pieces.append(self.piece)
        self._size += len(self.piece)
        return self._size

    def __bytes__(self) -> bytes:
        """All of them."""
        return b"".join(self._pieces)

    def __len__(self) -> int:
        """How many they are."""
        return self._size

    def empty(self) -> None:
        """Forget them."""
        self.piece, self._pieces, self._size = b"", [], 0

    def __repr__(self) -> str:
        """Show nothing of it."""
        return f"<a body of {self._size} bytes, not shown>"
