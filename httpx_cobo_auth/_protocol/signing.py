"""Cobo's request signature: what is signed is what is sent.

``text = METHOD|PATH|NONCE|QUERY|BODY``; the signature is Ed25519 over ``SHA256(SHA256(text))``,
in hex (Cobo's documentation, "Authentication"). PATH and QUERY stand in it as they do on the
wire, percent-encoding included. The query goes out in the form that the official SDK gives
it: blank values dropped, the rest encoded by ``urllib.parse.urlencode``.
"""

from __future__ import annotations

import re
import threading
from hashlib import sha256 as _sha256
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlencode

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from httpx_cobo_auth._confidential import Confidential
from httpx_cobo_auth._forking import forget_on_fork
from httpx_cobo_auth.errors import ConfigurationError, UnsignableRequestError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from httpx_cobo_auth.clock import Clock

__all__ = [
    "Ed25519Signer",
    "NonceSource",
    "Signer",
    "canonical_query",
    "nonces_of",
    "request_digest",
    "signer_from",
    "verified_time",
]

_SIGNATURE_BYTES = 64
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
_CANONICAL_QUERY = re.compile(rb"[\w.~-]+=[\w.~+-]+(?:&[\w.~-]+=[\w.~+-]+)*")
_MILLISECONDS_FROM = 100_000_000_000


@runtime_checkable
class Signer(Protocol):
    """The app's key, wherever it is: in memory, in a KMS or in an HSM.

    Called from many threads. A signer that blocks, blocks the event loop of an async client
    as well.
    """

    @property
    def public_key(self) -> str:
        """The Ed25519 public key (Cobo's app key or API key), 64 hex digits."""
        ...

    def sign(self, digest: bytes, /) -> bytes:
        """Give the Ed25519 signature, 64 bytes, over these 32 bytes as they are."""
        ...


class Ed25519Signer(Confidential):
    """A key in memory, signed with by libsodium (PyNaCl).

    Args:
        secret: the Ed25519 seed (Cobo's app secret or API secret), 64 hex digits.

    Raises:
        ConfigurationError: it is anything else.

    """

    __slots__ = ("_secret_key", "public_key")

    public_key: str
    """64 hex digits."""

    def __init__(self, secret: str) -> None:
        """Derive the key pair."""
        try:
            pair = _key_pair(secret)
        finally:
            del secret  # A traceback with locals must not show it.
        if pair is None:
            message = (
                "the secret must be an Ed25519 seed of 64 hex digits, as Cobo's Portal shows "
                "it; what was given is not (it is not repeated here)"
            )
            raise ConfigurationError(message)
        self.public_key, self._secret_key = pair[0].hex(), pair[1]

    def sign(self, digest: bytes) -> bytes:
        """Give the signature over these bytes."""
        return crypto_sign(digest, self._secret_key)[:_SIGNATURE_BYTES]

    def __repr__(self) -> str:
        """Show the public key only; also of one whose making fails, to who shows locals."""
        return f"Ed25519Signer(public_key={getattr(self, 'public_key', None)!r})"


def _key_pair(secret: object) -> tuple[bytes, bytes] | None:
    if not isinstance(secret, str) or not _HEX_KEY.fullmatch(secret):
        return None
    return crypto_sign_seed_keypair(bytes.fromhex(secret))


def signer_from(secret: str | Signer) -> Signer:
    """Give the signer, made from a secret of 64 hex digits where that was given."""
    try:
        return secret if isinstance(secret, Signer) else Ed25519Signer(secret)
    finally:
        del secret


class NonceSource:
    """Milliseconds since the epoch, every one of them once.

    Counts from the wall clock at the start by the monotonic clock, so that a wall clock that
    steps changes nothing; always higher than the one before, except after a correction.
    """

    def __init__(self, clock: Clock) -> None:
        """Start from what the clocks say now."""
        self._clock = clock
        self._base = clock.time() - clock.monotonic()
        self._reset()
        forget_on_fork(self, NonceSource._reset)

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """Give a nonce."""
        with self._mutex:
            # Read in here, or a time read before a correction would outlive it.
            now = int((self._base + self._clock.monotonic()) * 1000)
            self._last = nonce = now if now > self._last else self._last + 1
        return nonce

    @property
    def base(self) -> float:
        """What is added to the monotonic clock; another after each correction."""
        return self._base

    def seconds_behind(self, server_time: float, base: float | None = None) -> float:
        """Tell by how many seconds the nonces lag, or lagged with that base, behind the server."""
        return server_time - ((self._base if base is None else base) + self._clock.monotonic())

    def correct_by(self, seconds: float, base: float | None = None) -> None:
        """Count on from a time that many seconds ahead of ours.

        With ``base``, only if it has not been corrected since: of many requests that were
        refused for the same clock, one corrects it.
        """
        with self._mutex:
            if base is None or base == self._base:
                self._base += seconds
                self._last = 0


_sources: dict[tuple[str, Hashable, int], NonceSource] = {}


def nonces_of(signer: Signer, environment: Hashable, clock: Clock) -> NonceSource:
    """Give this process's one source of nonces for a key at an environment.

    One for all auth objects that have the key, also those made anew for every request: two
    sources would give the same millisecond twice, and each would have to learn by a refusal
    that the local clock is wrong.
    """
    whose = signer.public_key, environment, id(clock)  # The source keeps the clock, so its id.
    source = _sources.get(whose)
    return _sources.setdefault(whose, NonceSource(clock)) if source is None else source


def canonical_query(query: bytes) -> bytes:
    """Bring a raw query string into the official SDK's form, in which it is signed and sent.

    Blank values fall away, as documented; parameters keep their order and may repeat.

    Raises:
        UnsignableRequestError: it cannot be decoded without loss.

    """
    if not query or _CANONICAL_QUERY.fullmatch(query):
        return query
    try:
        return urlencode(parse_qsl(query.decode("ascii"), errors="strict")).encode("ascii")
    except (UnicodeError, ValueError):
        message = "the query must be percent-encoded UTF-8, or it cannot be signed as it is sent"
        raise UnsignableRequestError(message) from None


def request_digest(method: str, path: bytes, nonce: str, query: bytes, body: bytes) -> bytes:
    """Give the 32 bytes that are signed for a request."""
    text = b"%b|%b|%b|%b|%b" % (method.encode(), path, nonce.encode(), query, body)
    return _sha256(_sha256(text).digest()).digest()


def verified_time(
    response_key: str, body: bytes, timestamp: str | None, signature: str | None
) -> float | None:
    """Give the time at which Cobo signed an answer, or ``None`` where it did not.

    The signature (``Biz-Resp-Signature``, hex) is Ed25519 over
    ``SHA256(SHA256(body + "|" + Biz-Timestamp))``, as in the official SDK.

    Returns:
        Seconds since the epoch; 0.0 where the timestamp is signed, but is no number.

    """
    if not timestamp or not signature:
        return None
    text = b"|".join((body, timestamp.encode()))
    digest = _sha256(_sha256(text).digest()).digest()
    try:
        VerifyKey(bytes.fromhex(response_key)).verify(digest, bytes.fromhex(signature))
    except (CryptoError, ValueError, TypeError):
        return None
    if not timestamp.isascii() or not timestamp.isdecimal():
        return 0.0
    number = int(timestamp[:20])
    return number / 1000 if number >= _MILLISECONDS_FROM else float(number)
