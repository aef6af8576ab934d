"""SECP256K1 keys, which Cobo takes for API keys beside Ed25519 ones.

As the official SDK signs (cobo-waas2 1.46, ``LocalSecp256k1Signer``): ECDSA over the same 32
bytes that Ed25519 signs, as they are; DER, with the lower of the two possible ``s``; the public
key is the compressed point. Cobo's own answers are signed by Ed25519 in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth._confidential import Confidential
from httpx_cobo_auth._protocol.key_text import key_bytes, what_a_secret_is
from httpx_cobo_auth.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["Secp256k1Signer"]

_GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Secp256k1Signer(Confidential):
    """A SECP256K1 key in memory, for ``CoboAuth(api_secret=Secp256k1Signer("…"))``.

    Needs ``cryptography``: ``pip install httpx-cobo-auth[secp256k1]``.

    Its secret looks like that of an Ed25519 key, and cannot be told apart by looking: read as the
    wrong kind, each gives a valid public key that Cobo does not know, and each request is refused
    with code 2024. Compare ``public_key`` with the API key that Cobo's Portal shows: 66 digits,
    of which the first two are 02 or 03.

    Args:
        secret: the private key (Cobo's API secret), 64 hex digits.

    Raises:
        ConfigurationError: it is anything else, or ``cryptography`` is not installed.

    """

    __slots__ = ("_key", "public_key")

    public_key: str
    """66 hex digits: the compressed point."""

    def __init__(self, secret: str) -> None:
        """Derive the key pair."""
        try:
            key = _private_key(secret)
            message = "" if key else what_a_secret_is("a SECP256K1 private key", secret)
        finally:
            del secret  # A traceback with locals must not show it.
        if key is None:
            raise ConfigurationError(message)
        self.public_key, self._key = _public_key(key), key

    def sign(self, digest: bytes) -> bytes:
        """Return the signature over these 32 bytes: DER of up to 72 bytes."""
        # Lazily, here and below: importing this package does not import cryptography.
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.utils import (  # noqa: PLC0415
            Prehashed,
            decode_dss_signature,
            encode_dss_signature,
        )
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

        signature = self._key.sign(digest, ECDSA(Prehashed(SHA256())))
        r, s = decode_dss_signature(signature)
        # Both s and its negative verify; the SDK sends the lower one.
        return encode_dss_signature(r, min(s, _GROUP_ORDER - s))

    def __repr__(self) -> str:
        """Show the public key only; also of one whose making fails, to who shows locals."""
        return f"Secp256k1Signer(public_key={getattr(self, 'public_key', None)!r})"


def _private_key(secret: object) -> EllipticCurvePrivateKey | None:
    try:
        from cryptography.hazmat.primitives.asymmetric.ec import (  # noqa: PLC0415
            SECP256K1,
            derive_private_key,
        )
    except ImportError:
        message = "a Secp256k1Signer needs cryptography: pip install 'httpx-cobo-auth[secp256k1]'"
        del secret
        raise ConfigurationError(message) from None
    try:
        if key_bytes(secret) is None:
            return None
        return derive_private_key(int(str(secret), 16), SECP256K1())
    except ValueError:  # 0, or not below the order of the group
        return None
    finally:
        del secret


def _public_key(key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
    )

    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return point.hex()
