"""Reading answers from inside a flow, where they arrive unread.

An unread answer holds the connection that the exchange may need, so a refusal is read before
anything is waited for; but never more than a bounded part of it, which the caller then gets
together with the rest.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._runtime.family import family_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx

__all__ = ["aread_answer", "atake_body", "read_answer", "take_body"]

_MAX_BODY_BYTES = 64 * 1024


def read_answer(response: httpx.Response) -> bytes | None:
    """Read the answer to the caller's request; ``None`` where it is too long."""
    if response.is_stream_consumed:
        return _content(response)
    stream: Any = response.stream
    chunks: list[bytes] = []
    size, rest = 0, iter(stream)
    for chunk in rest:
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            response.stream = _unread(response, chunks, rest, stream)
            return None
    stream.close()
    response.stream = family_of(response).ByteStream(b"".join(chunks))
    content = response.read()
    response.stream = stream  # httpx2 reads the time elapsed off it.
    return content


async def aread_answer(response: httpx.Response) -> bytes | None:
    """Read the answer to the caller's request; ``None`` where it is too long."""
    if response.is_stream_consumed:
        return _content(response)
    stream: Any = response.stream
    chunks: list[bytes] = []
    size, rest = 0, aiter(stream)
    async for chunk in rest:
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            response.stream = _aunread(response, chunks, rest, stream)
            return None
    await stream.aclose()
    response.stream = family_of(response).ByteStream(b"".join(chunks))
    content = await response.aread()
    response.stream = stream  # httpx2 reads the time elapsed off it.
    return content


def take_body(response: httpx.Response, timeout: float) -> bytes | None:
    """Take the body out of an answer of the token endpoint; ``None`` where it is too long.

    The answer itself stays behind without it, wherever it is kept.

    Raises:
        TimeoutError: it took longer than ``timeout`` seconds.

    """
    if response.is_stream_consumed:
        return _content(response)
    stream: Any = response.stream
    response.stream = family_of(response).ByteStream(b"")
    deadline = time.monotonic() + timeout
    chunks: list[bytes] = []
    size = 0
    try:
        for chunk in stream:
            chunks.append(chunk)
            size += len(chunk)
            if size > _MAX_BODY_BYTES:
                return None
            if time.monotonic() > deadline:
                raise TimeoutError
    finally:
        stream.close()
    return _decoded(response, b"".join(chunks))


async def atake_body(response: httpx.Response) -> bytes | None:
    """Take the body out of an answer of the token endpoint; ``None`` where it is too long."""
    if response.is_stream_consumed:
        return _content(response)
    stream: Any = response.stream
    response.stream = family_of(response).ByteStream(b"")
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in stream:
            chunks.append(chunk)
            size += len(chunk)
            if size > _MAX_BODY_BYTES:
                return None
    finally:
        await stream.aclose()
    return _decoded(response, b"".join(chunks))


def _content(response: httpx.Response) -> bytes | None:
    # It was read already: by an event hook, or it never was a stream.
    try:
        content = response.content
    except RuntimeError:  # StreamError of either family: consumed, but not kept
        return None
    return content if len(content) <= _MAX_BODY_BYTES else None


def _decoded(response: httpx.Response, raw: bytes) -> bytes | None:
    headers = {
        name: response.headers[name] for name in ("Content-Encoding",) if name in response.headers
    }
    twin: httpx.Response = family_of(response).Response(200, headers=headers, content=raw)
    return _content(twin)


def _unread(
    response: httpx.Response,
    chunks: list[bytes],
    rest: Iterator[bytes],
    stream: Any,  # noqa: ANN401 - of the answer's own family, as is the result
) -> Any:  # noqa: ANN401
    """Give a stream of what was read of an answer, and then the rest of it."""

    def both(_self: object) -> Iterator[bytes]:
        yield from chunks
        yield from rest

    def close(_self: object) -> None:
        stream.close()

    members = {"__iter__": both, "close": close}
    return _stream_of(family_of(response).SyncByteStream, members, stream)


def _aunread(
    response: httpx.Response,
    chunks: list[bytes],
    rest: AsyncIterator[bytes],
    stream: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Give a stream of what was read of an answer, and then the rest of it."""

    async def both(_self: object) -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        async for chunk in rest:
            yield chunk

    async def aclose(_self: object) -> None:
        await stream.aclose()

    members = {"__aiter__": both, "aclose": aclose}
    return _stream_of(family_of(response).AsyncByteStream, members, stream)


def _stream_of(base: type, members: dict[str, Any], stream: object) -> Any:  # noqa: ANN401
    def elapsed(_self: object) -> object:
        return getattr(stream, "elapsed", None)

    # httpx2 reads the time elapsed off the stream.
    return type("Unread", (base,), {**members, "elapsed": property(elapsed)})()
