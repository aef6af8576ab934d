"""The two kinds of public keys that Cobo knows, told apart by their length."""

from __future__ import annotations

from collections.abc import Callable

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

__all__ = ["Verifier", "verifier_of"]

Verifier = Callable[[bytes, bytes], bool]
"""Takes the digest and the signature; whether the key has made the one over the other."""

_COMPRESSED_POINT_BYTES = 33


def verifier_of(public_key: str) -> Verifier:
    """Return what verifies by a key: Ed25519 (64 hex digits) or SECP256K1 (66: a compressed point).

    Raises:
        ValueError: it is neither, or ``cryptography``, needed for SECP256K1, is not installed.

    """
    try:
        raw = bytes.fromhex(public_key)
        if len(raw) == _COMPRESSED_POINT_BYTES:
            return _secp256k1(raw)
        return _ed25519(VerifyKey(raw))
    except (ValueError, TypeError) as error:
        message = f"no public key: 64 hex digits (Ed25519) or 66 (SECP256K1) are needed; {error}"
        raise ValueError(message) from None
    except ImportError:
        message = "SECP256K1 keys need cryptography: pip install 'httpx-cobo-auth[secp256k1]'"
        raise ValueError(message) from None


def _ed25519(key: VerifyKey) -> Verifier:
    def verifies(digest: bytes, signature: bytes) -> bool:
        try:
            key.verify(digest, signature)
        except (BadSignatureError, ValueError):  # ValueError: not 64 bytes
            return False
        return True

    return verifies


def _secp256k1(point: bytes) -> Verifier:
    # Lazily: an extra, which most tests do without.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ec import (  # noqa: PLC0415
        ECDSA,
        SECP256K1,
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    key = EllipticCurvePublicKey.from_encoded_point(SECP256K1(), point)

    def verifies(digest: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, digest, ECDSA(Prehashed(SHA256())))
        except InvalidSignature:  # also where it is no DER
            return False
        return True

    return verifies
