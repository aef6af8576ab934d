"""Reading answers from inside a flow, where they arrive unread.

An unread answer holds the connection that the exchange may need, so a refusal is read before
anything is waited for; but never more than a bounded part of it. To the caller it stays unread:
what came over the wire comes again, and then the rest, by whatever way it is read or streamed.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.reply_body import ReplyBody
from httpx_cobo_auth._runtime.decoding import UndecodableError, codings_of, decode
from httpx_cobo_auth._runtime.family import family_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx

__all__ = ["aread_answer", "atake_body", "read_answer", "take_body"]

_MAX_BODY_BYTES = 64 * 1024
_MAX_PACKED_BYTES = _MAX_BODY_BYTES + _MAX_BODY_BYTES // 8
"""Packing what cannot be packed adds a little."""


def read_answer(response: httpx.Response, *, whole: bool = False) -> bytes | None:
    """Return the body of an answer to the caller's request, which stays unread to the caller.

    Args:
        response: the answer, on whose stream all was read, or the first 64 KiB and a bit.
        whole: however long it is.

    Returns:
        The body, decoded; ``None`` where it is longer than 64 KiB, or cannot be decoded.

    """
    if response.is_stream_consumed or response.is_closed:
        return _kept(response, whole=whole)
    stream: Any = response.stream
    reading = _Reading(response, whole=whole)
    rest = iter(stream)
    for piece in rest:
        if reading.is_too_long_with(piece):
            response.stream = _replay(response).sync(reading.pieces, stream, rest)
            return None
    stream.close()
    response.stream = _replay(response).sync(reading.pieces, stream)
    return reading.decoded()


async def aread_answer(response: httpx.Response, *, whole: bool = False) -> bytes | None:
    """Return the body of an answer to the caller's request, as ``read_answer`` does."""
    if response.is_stream_consumed or response.is_closed:
        return _kept(response, whole=whole)
    stream: Any = response.stream
    reading = _Reading(response, whole=whole)
    rest = aiter(stream)
    async for piece in rest:
        if reading.is_too_long_with(piece):
            response.stream = _replay(response).asynchronous(reading.pieces, stream, rest)
            return None
    await stream.aclose()
    response.stream = _replay(response).asynchronous(reading.pieces, stream)
    return reading.decoded()


def take_body(response: httpx.Response, timeout: float) -> ReplyBody | None:
    """Take the body out of an answer of the token endpoint; ``None`` where it is too long.

    The answer itself stays behind without it, wherever it is kept.

    Raises:
        TimeoutError: it took longer than ``timeout`` seconds.
        DecodingError: of the answer's family: it cannot be decoded.

    """
    if response.is_stream_consumed:
        return _kept_reply(response)
    stream, codings = _cut_off(response)
    deadline = time.monotonic() + timeout
    body, limit = ReplyBody(), _wire_limit(codings)
    try:
        # Into an attribute, because the locals of a frame are what error trackers show.
        for body.piece in stream:
            if body.keep() > limit:
                return None
            if time.monotonic() > deadline:
                raise TimeoutError
    finally:
        stream.close()
    return _decoded_reply(response, body, codings)


async def atake_body(response: httpx.Response) -> ReplyBody | None:
    """Take the body out of an answer of the token endpoint; ``None`` where it is too long.

    Raises:
        DecodingError: of the answer's family: it cannot be decoded.

    """
    if response.is_stream_consumed:
        return _kept_reply(response)
    stream, codings = _cut_off(response)
    body, limit = ReplyBody(), _wire_limit(codings)
    pieces = aiter(stream)
    try:
        async for body.piece in pieces:  # as above
            if body.keep() > limit:
                return None
    finally:
        await _aclose(stream, pieces)
    return _decoded_reply(response, body, codings)


async def _aclose(stream: Any, pieces: Any) -> None:  # noqa: ANN401 - of either family
    # An async generator that is left half-way is closed by nobody else in time.
    aclose = getattr(pieces, "aclose", None)
    try:
        if aclose is not None:
            await aclose()
    finally:
        await stream.aclose()


class _Reading:
    """What has come of an answer so far."""

    __slots__ = ("_codings", "_left", "_whole", "pieces")

    def __init__(self, response: httpx.Response, *, whole: bool) -> None:
        self.pieces: list[bytes] = []
        self._codings = _codings(response)
        self._left = _wire_limit(self._codings)
        self._whole = whole

    def is_too_long_with(self, piece: bytes) -> bool:
        self.pieces.append(piece)
        self._left -= len(piece)
        return self._left < 0 and not self._whole

    def decoded(self) -> bytes | None:
        body = ReplyBody(b"".join(self.pieces))
        try:
            decoded = decode(body, self._codings, None if self._whole else _MAX_BODY_BYTES)
        except UndecodableError:
            return None
        return None if decoded is None else bytes(decoded)


def _codings(response: httpx.Response) -> list[str]:
    return codings_of(response.headers.get("Content-Encoding"))


def _wire_limit(codings: list[str]) -> int:
    return _MAX_PACKED_BYTES if codings else _MAX_BODY_BYTES


def _kept(response: httpx.Response, *, whole: bool) -> bytes | None:
    # It was read already: by an event hook, or it never was a stream.
    try:
        content = response.content
    except RuntimeError:  # StreamError of either family: consumed or closed, and not kept
        return None
    return content if whole or len(content) <= _MAX_BODY_BYTES else None


def _kept_reply(response: httpx.Response) -> ReplyBody | None:
    try:
        body = ReplyBody(response.content)
    except RuntimeError:  # as above
        return None
    return body if len(body) <= _MAX_BODY_BYTES else None


def _cut_off(response: httpx.Response) -> tuple[Any, list[str]]:
    """Leave a response with an empty body; return its stream, and how that is packed."""
    stream, codings = response.stream, _codings(response)
    response.stream = family_of(response).ByteStream(b"")
    # httpx reads what is left, which is nothing, and nothing is no frame of zstd.
    response.headers.pop("Content-Encoding", None)
    return stream, codings


def _decoded_reply(
    response: httpx.Response, body: ReplyBody, codings: list[str]
) -> ReplyBody | None:
    try:
        return decode(body, codings, _MAX_BODY_BYTES)
    except UndecodableError:
        message = "the token endpoint's reply cannot be decoded"
        error: Exception = family_of(response).DecodingError(message)
        raise error from None


class _Replayed:
    """A stream of what was read of an answer, and then of the rest, if any."""

    def __init__(
        self,
        pieces: list[bytes],
        stream: Any,  # noqa: ANN401 - of the answer's own family
        rest: Any = None,  # noqa: ANN401 - an iterator, or an async one
    ) -> None:
        self._pieces = pieces
        self._stream = stream
        self._rest = rest

    @property
    def elapsed(self) -> Any:  # noqa: ANN401 - httpx2 reads it off the stream, httpx does not
        return getattr(self._stream, "elapsed", None)


class _SyncReplayed(_Replayed):
    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._rest is not None:
            yield from self._rest

    def close(self) -> None:
        if self._rest is not None:
            self._stream.close()


class _AsyncReplayed(_Replayed):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._rest is not None:
            async for piece in self._rest:
                yield piece

    async def aclose(self) -> None:
        if self._rest is not None:
            await _aclose(self._stream, self._rest)


class _Streams:
    """The two kinds of streams, as a family's own."""

    def __init__(self, family: Any) -> None:  # noqa: ANN401 - a module, httpx or httpx2
        self.sync: Any = type("Replayed", (_SyncReplayed, family.SyncByteStream), {})
        self.asynchronous: Any = type("AsyncReplayed", (_AsyncReplayed, family.AsyncByteStream), {})


_streams_of = functools.cache(_Streams)


def _replay(response: httpx.Response) -> _Streams:
    return _streams_of(family_of(response))
