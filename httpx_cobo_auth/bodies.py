"""Reading answers from inside a flow, where they arrive unread.

An unread answer holds the connection that the exchange may need, so a refusal is read before
anything is waited for; but never more than a bounded part of it, which the caller then gets
together with the rest.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth.family import family_of

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
    chunks, size, rest = [], 0, iter(stream)
    for chunk in rest:
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            response.stream = _unread(response, chunks, rest, stream)
            return None
    stream.close()
    response.stream = family_of(response).ByteStream(b"".join(chunks))
    return response.read()


async def aread_answer(response: httpx.Response) -> bytes | None:
    """Read the answer to the caller's request; ``None`` where it is too long."""
    if response.is_stream_consumed:
        return _content(response)
    stream: Any = response.stream
    chunks, size, rest = [], 0, aiter(stream)
    async for chunk in rest:
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            response.stream = _aunread(response, chunks, rest, stream)
            return None
    await stream.aclose()
    response.stream = family_of(response).ByteStream(b"".join(chunks))
    return await response.aread()


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
    chunks, size = [], 0
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
    chunks, size = [], 0
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


def _decoded(response: httpx.Response, raw: bytes) -> bytes:
    headers = {
        name: response.headers[name] for name in ("Content-Encoding",) if name in response.headers
    }
    return family_of(response).Response(200, headers=headers, content=raw).content


def _unread(
    response: httpx.Response, chunks: list[bytes], rest: Iterator[bytes], stream: Any  # noqa: ANN401
) -> Any:  # noqa: ANN401
    base = family_of(response).SyncByteStream

    class Unread(base):
        """What was read of an answer, and then the rest of it."""

        def __iter__(self) -> Iterator[bytes]:
            yield from chunks
            yield from rest

        def close(self) -> None:
            stream.close()

    return Unread()


def _aunread(
    response: httpx.Response,
    chunks: list[bytes],
    rest: AsyncIterator[bytes],
    stream: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    base = family_of(response).AsyncByteStream

    class Unread(base):
        """What was read of an answer, and then the rest of it."""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk
            async for chunk in rest:
                yield chunk

        async def aclose(self) -> None:
            await stream.aclose()

    return Unread()
