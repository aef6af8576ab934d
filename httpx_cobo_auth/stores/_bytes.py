"""Records as bytes, for stores of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth.errors import StoreCorruptError
from httpx_cobo_auth.stores import _records_json
from httpx_cobo_auth.stores._checks import Secret

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Record, StoreKey

__all__ = ["decode", "encode"]


def encode(record: Record, *, key: StoreKey | None = None) -> bytes:
    """Return a record as bytes: JSON in UTF-8, which holds tokens in the clear.

    Args:
        record: what a store was given to save.
        key: whose record it is. With it, ``decode`` notices bytes that were moved from one
            organization's place to another's.

    """
    return _records_json.encode(key, record).data


def decode(data: bytes, *, key: StoreKey | None = None) -> Record:
    """Return the record that ``encode`` made these bytes of, by this version or an older one.

    Args:
        data: the bytes.
        key: whose record it has to be; by default anybody's.

    Raises:
        StoreCorruptError: they are damaged, of a newer version, or belong to another key. The
            message names what is wrong, and repeats nothing of the bytes.

    """
    try:
        found = _records_json.decode(key, Secret(bytes(data)))
    finally:
        del data  # A traceback with locals must not show the tokens.
    if isinstance(found, str):
        message = f"cannot use the record: {found}"
        raise StoreCorruptError(message)
    return found
