"""Cobo's signatures: of requests, where what is signed is what is sent, and of what Cobo sends.

``text = METHOD|PATH|NONCE|QUERY|BODY``; the signature is over ``SHA256(SHA256(text))``, in hex
(Cobo's documentation, "Authentication"): Ed25519 for the keys of apps and most API keys, ECDSA
over secp256k1 for other API keys (``secp256k1.py``).

PATH stands in it as on the wire, percent-encoding included. So it does in Cobo's SDKs for Python
and JavaScript; those for Go and Java sign the decoded path. The two agree wherever a path has no
percent-encoding: avoid odd characters in paths.

QUERY goes out in the form that the official Python SDK gives it: blank values dropped, the rest
encoded by ``urllib.parse.urlencode``. The server re-encodes what it receives before it verifies
(Cobo's other SDKs sign one form and send another, and that works), and this form stays what it
is when re-encoded. Parameters may repeat and keep their order, also where the Python SDK would
keep the last one only.
"""

from __future__ import annotations

import re
from hashlib import sha256 as _sha256
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlencode

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from httpx_cobo_auth._confidential import Confidential
from httpx_cobo_auth._protocol.key_text import key_bytes, what_a_secret_is
from httpx_cobo_auth.errors import ConfigurationError, UnsignableRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.reply_body import ReplyBody

__all__ = [
    "Ed25519Signer",
    "Signer",
    "canonical_query",
    "request_digest",
    "signature_headers",
    "signer_from",
    "verified_time",
]

_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_CANONICAL_QUERY = re.compile(rb"[\w.~-]+=[\w.~+-]+(?:&[\w.~-]+=[\w.~+-]+)*")
_MILLISECONDS_FROM = 100_000_000_000
_SIGNATURE_HEADERS = (
    ("Biz-Timestamp", "Biz-Resp-Signature"),
    ("BIZ_TIMESTAMP", "BIZ_RESP_SIGNATURE"),
)


@runtime_checkable
class Signer(Protocol):
    """The app's key or API key, wherever it is: in memory, in a KMS or in an HSM.

    Called from many threads. A signer that blocks, blocks the event loop of an async client
    as well.
    """

    @property
    def public_key(self) -> str:
        """The public key as Cobo knows it, in hex.

        64 digits for Ed25519; 66 for SECP256K1, where it is the compressed point.
        """
        ...

    def sign(self, digest: bytes, /) -> bytes:
        """Return the signature over these 32 bytes as they are.

        64 bytes for Ed25519; DER of up to 72 for SECP256K1, with the lower ``s``.
        """
        ...


class Ed25519Signer(Confidential):
    """A key in memory, signed with by libsodium (PyNaCl).

    The secret of a SECP256K1 API key has 64 hex digits too, and cannot be told apart by looking:
    read as this kind it gives a valid public key that Cobo does not know, and each request is
    refused with code 2024. Such a key is for ``Secp256k1Signer``.

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
            message = "" if pair else what_a_secret_is("an Ed25519 seed", secret)
        finally:
            del secret  # A traceback with locals must not show it.
        if pair is None:
            raise ConfigurationError(message)
        self.public_key, self._secret_key = pair[0].hex(), pair[1]

    def sign(self, digest: bytes) -> bytes:
        """Return the signature over these bytes: 64 bytes."""
        return crypto_sign(digest, self._secret_key)[:_SIGNATURE_BYTES]

    def __repr__(self) -> str:
        """Show the public key only; also of one whose making fails, to who shows locals."""
        return f"Ed25519Signer(public_key={getattr(self, 'public_key', None)!r})"


def _key_pair(secret: object) -> tuple[bytes, bytes] | None:
    seed = key_bytes(secret)
    return None if seed is None else crypto_sign_seed_keypair(seed)


def signer_from(secret: str | Signer) -> Signer:
    """Return the signer, made from a secret of 64 hex digits where that was given."""
    try:
        return secret if isinstance(secret, Signer) else Ed25519Signer(secret)
    finally:
        del secret


def canonical_query(query: bytes) -> bytes:
    """Return a raw query string in the official SDK's form, in which it is signed and sent.

    Blank values fall away, as documented; parameters keep their order and may repeat. What is
    returned stays as it is when decoded and encoded again (``parse_qsl``, ``urlencode``).

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
    """Return the 32 bytes that are signed for a request."""
    # In one line: a body may hold a refresh token, which is not to stand in one more local.
    return _sha256(
        _sha256(b"%b|%b|%b|%b|%b" % (method.encode(), path, nonce.encode(), query, body)).digest()
    ).digest()


def signature_headers(get: Callable[[str], str | None]) -> tuple[str | None, str | None]:
    """Return timestamp and signature of what Cobo sent; ``None`` twice where it has no pair.

    Two spellings are in use: ``Biz-Timestamp`` and ``Biz-Resp-Signature`` (Cobo's SDKs for
    Python, JavaScript and Go), ``BIZ_TIMESTAMP`` and ``BIZ_RESP_SIGNATURE`` (its SDK for Java,
    and the documentation of webhooks). The hyphenated one counts where both are there. One that
    is there several times, as where a gateway spells both alike, counts once if all are the same.

    Args:
        get: returns a header by its name in whatever case; of several the values, by commas.

    """
    for name, other in _SIGNATURE_HEADERS:
        timestamp, signature = _one_of(get(name)), _one_of(get(other))
        if timestamp and signature:
            return timestamp, signature
    return None, None


def _one_of(values: str | None) -> str | None:
    if values is None or "," not in values:
        return values
    one, *others = {value.strip() for value in values.split(",")}
    return values if others else one


def verified_time(
    response_key: str,
    body: bytes | ReplyBody,
    timestamp: str | None,
    signature: str | None,
) -> float | None:
    """Return the time at which Cobo signed what it sent, or ``None`` where it did not.

    The signature is Ed25519 over ``SHA256(SHA256(body + "|" + timestamp))``, in hex, as in the
    official SDK.

    Args:
        response_key: Cobo's key of the environment, 64 hex digits.
        body: as it was received, decoded from gzip and the like.
        timestamp: milliseconds since the epoch, or seconds; from ``signature_headers``.
        signature: in hex, from there as well.

    Returns:
        Seconds since the epoch; 0.0 where the timestamp is signed, but is no number.

    """
    if not timestamp or not signature:
        return None
    digest = _sha256(_sha256(b"%b|%b" % (bytes(body), timestamp.encode())).digest()).digest()
    try:
        key, signed_by = bytes.fromhex(response_key), bytes.fromhex(signature)
        if len(key) != _KEY_BYTES or len(signed_by) != _SIGNATURE_BYTES:
            return None  # libsodium does not look: it would read on.
        crypto_sign_open(signed_by + digest, key)
    except (CryptoError, ValueError, TypeError):
        return None
    if not timestamp.isascii() or not timestamp.isdecimal():
        return 0.0
    number = int(timestamp[:20])
    return number / 1000 if number >= _MILLISECONDS_FROM else float(number)
