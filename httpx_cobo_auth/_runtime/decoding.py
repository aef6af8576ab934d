"""Decoding a body within a bound, whatever it unpacks to.

httpx decodes what has come in one go: some hundred bytes of gzip within gzip become 128 MiB.
Here no stage unpacks much more than the bound, which tells that the body is too long.

Which codings are known is httpx's choice, and as there a name that is none is passed over
(proxies write such as ``utf-8``). A body in a coding for which no library is installed that can
stop in the middle counts as one that cannot be decoded.
"""

from __future__ import annotations

import functools
import importlib
import io
import zlib
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.reply_body import ReplyBody

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["UndecodableError", "codings_of", "decode"]

_MAX_CODINGS = 5
"""As in httpx2."""
_MAX_WINDOW_LOG = 23
"""8 MiB, which every decoder of zstd has to support (RFC 8878, section 3.1.1.1.2). A frame may ask
for gigabytes before it has said anything."""


class UndecodableError(Exception):
    """The body is not in the coding that it says it is in, or needs what is not installed."""


def codings_of(header: str | None) -> list[str]:
    """Return those codings that ``Content-Encoding`` names and httpx knows, in their order."""
    named = [name.strip().lower() for name in (header or "").split(",")]
    return [name for name in named if name in _DECODERS]


def decode(body: ReplyBody, codings: list[str], limit: int | None = None) -> ReplyBody | None:
    """Return the body without its codings; ``None`` where it is longer than ``limit`` bytes.

    Between two codings it may be a little longer: packing what cannot be packed adds some.

    Raises:
        UndecodableError: see there. Nothing of the body is in it.

    """
    if len(codings) > _MAX_CODINGS:
        raise UndecodableError
    if not len(body):
        return body
    for left, coding in reversed(list(enumerate(codings))):
        bound = None if limit is None else limit + (limit // 8 if left else 0)
        unpacked = ReplyBody()
        _DECODERS[coding](body, unpacked, bound)
        if bound is not None and len(unpacked) > bound:
            return None
        body = unpacked
    return body if limit is None or len(body) <= limit else None


# Bytes of a body stand in no local of these: it may be a token reply, and any call may raise.
def _gzip(body: ReplyBody, into: ReplyBody, bound: int | None, wbits: int = 31) -> None:
    inflating = zlib.decompressobj(wbits)
    try:
        into.piece = inflating.decompress(bytes(body), 0 if bound is None else bound + 1)
    except zlib.error:
        raise UndecodableError from None
    into.keep()


def _deflate(body: ReplyBody, into: ReplyBody, bound: int | None) -> None:
    try:
        _gzip(body, into, bound, zlib.MAX_WBITS)
    except UndecodableError:  # Some servers leave the frame of zlib out, as httpx knows.
        _gzip(body, into, bound, -zlib.MAX_WBITS)


def _brotli(body: ReplyBody, into: ReplyBody, bound: int | None) -> None:
    brotli = _first_of("brotli", "brotlicffi")
    unpacking = brotli.Decompressor()
    unpack = getattr(unpacking, "process", None) or unpacking.decompress
    # Needs brotli 1.2: before it there was no stopping. It may exceed the limit twofold.
    bounded = {} if bound is None else {"output_buffer_limit": bound}
    try:
        into.piece = unpack(bytes(body), **bounded)
        while into.piece and (into.keep() <= bound if bound is not None else into.keep()):
            into.piece = unpack(b"", **bounded)
    except (brotli.error, TypeError):
        raise UndecodableError from None


def _zstd(body: ReplyBody, into: ReplyBody, bound: int | None) -> None:
    zstd = _first_of("compression.zstd", "backports.zstd", "zstandard")
    most = -1 if bound is None else bound + 1
    try:
        with _zstd_reader(zstd, io.BytesIO(bytes(body))) as reader:
            into.piece = reader.read(most)
    except (zstd.ZstdError, EOFError):
        raise UndecodableError from None
    into.keep()


def _zstd_reader(zstd: Any, packed: io.BytesIO) -> Any:  # noqa: ANN401 - one of three libraries
    if hasattr(zstd, "ZstdFile"):
        options = {zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG}
        return zstd.ZstdFile(packed, options=options)
    unpacking = zstd.ZstdDecompressor(max_window_size=1 << _MAX_WINDOW_LOG)
    return unpacking.stream_reader(packed, read_across_frames=True)


@functools.cache
def _first_of(*names: str) -> Any:  # noqa: ANN401 - a module
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise UndecodableError


_DECODERS: dict[str, Callable[[ReplyBody, ReplyBody, int | None], None]] = {
    "gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
