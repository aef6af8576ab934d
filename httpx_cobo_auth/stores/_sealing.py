"""Encryption at rest: a record as it is, or in a ``SecretBox`` of PyNaCl."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from httpx_cobo_auth._confidential import Confidential
from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores._checks import Secret
from httpx_cobo_auth.stores._records_json import decode, encode, key_of

if TYPE_CHECKING:
    from nacl.secret import SecretBox

    from httpx_cobo_auth._protocol.records import Record, StoreKey

__all__ = ["Codec"]

_SEALED = b"httpx-cobo-auth sealed 1\n"
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{64}")


class Codec(Confidential):
    """Turns records into bytes and back.

    Args:
        encryption_key: 32 random bytes, or 64 hex digits; ``None`` for no encryption.

    Raises:
        ConfigurationError: the key is neither.

    """

    def __init__(self, encryption_key: bytes | str | None) -> None:
        """Keep the key where no ``repr`` shows it."""
        try:
            self._box = _box(encryption_key)
        finally:
            del encryption_key  # A traceback with locals must not show it.

    @property
    def seals(self) -> bool:
        """Whether it encrypts."""
        return self._box is not None

    @property
    def key(self) -> bytes | None:
        """The key, if it encrypts. A secret."""
        return bytes(self._box) if self._box is not None else None

    def encode(self, key: StoreKey, record: Record) -> Secret:
        """Return the bytes of a record."""
        plain = encode(key, record)
        if self._box is None:
            return plain
        return Secret(_SEALED + self._box.encrypt(plain.data))

    def decode(self, key: StoreKey, secret: Secret) -> Record | str:
        """Return the record, or what is wrong with the bytes, as ``_records_json.decode`` does."""
        plain = self._opened(secret)
        return plain if isinstance(plain, str) else decode(key, plain)

    def key_of(self, secret: Secret) -> StoreKey | None:
        """Return whose record it is; ``None`` where the bytes cannot be understood."""
        plain = self._opened(secret)
        return None if isinstance(plain, str) else key_of(plain)

    def _opened(self, secret: Secret) -> Secret | str:
        sealed = secret.data.startswith(_SEALED)
        if self._box is None:
            return "it is encrypted, and this store has no encryption_key" if sealed else secret
        if not sealed:
            return "it is not encrypted, and this store has an encryption_key"
        from nacl.exceptions import CryptoError  # noqa: PLC0415 - as below

        try:
            return Secret(self._box.decrypt(secret.data.removeprefix(_SEALED)))
        except (CryptoError, ValueError):
            return "it was encrypted with another encryption_key, or is damaged"


def _box(key: bytes | str | None) -> SecretBox | None:
    if key is None:
        return None
    from nacl.secret import SecretBox  # noqa: PLC0415 - only for those who encrypt

    if isinstance(key, str) and _HEX_KEY.fullmatch(key):
        return SecretBox(bytes.fromhex(key))
    if isinstance(key, bytes) and len(key) == SecretBox.KEY_SIZE:
        return SecretBox(key)
    del key
    message = "encryption_key must be 32 bytes or 64 hex digits; make one by secrets.token_hex(32)"
    raise ConfigurationError(message)
