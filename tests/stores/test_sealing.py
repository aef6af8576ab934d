"""Encryption at rest: which key is one, and what is said of bytes that cannot be read."""

from __future__ import annotations

import pytest

from httpx_cobo_auth._protocol.records import Record, StoreKey
from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores._sealing import Codec

KEY = StoreKey("https://api.example/v2", "client", "organization")
BAD_KEY = "encryption_key must be 32 bytes or 64 hex digits; make one by secrets.token_hex(32)"


@pytest.mark.parametrize("key", [b"k" * 32, "aB" * 32], ids=["bytes", "hex digits"])
def test_bytes_and_hex_digits_seal(key: bytes | str) -> None:
    """A key of either form encrypts, and reads what it wrote."""
    codec = Codec(key)
    sealed = codec.encode(KEY, Record(7))
    assert codec.seals
    assert b"organization" not in sealed.data
    assert codec.decode(KEY, sealed) == Record(7)


def test_both_forms_of_a_key_are_the_same_key() -> None:
    """Hex digits stand for the bytes that they spell."""
    sealed = Codec(bytes.fromhex("aB" * 32)).encode(KEY, Record(7))
    assert Codec("aB" * 32).decode(KEY, sealed) == Record(7)


@pytest.mark.parametrize(
    "key",
    [b"", b"k" * 31, b"k" * 64, "", "ab" * 31, "ab" * 33, "g" * 64, "é" * 64, 5, ["ab"] * 32],
    ids=[
        "no bytes",
        "31 bytes",
        "64 bytes",
        "no text",
        "62 digits",
        "66 digits",
        "no hex",
        "no ASCII",
        "a number",
        "a list of 32",
    ],
)
def test_any_other_key_is_refused_in_so_many_words(key: bytes | str) -> None:
    """The error says what a key is and how to make one; it does not repeat what was given."""
    with pytest.raises(ConfigurationError) as refused:
        Codec(key)
    assert str(refused.value) == BAD_KEY


def test_without_a_key_nothing_is_sealed() -> None:
    """``None`` is the choice not to encrypt: plain JSON, written and read."""
    codec = Codec(None)
    plain = codec.encode(KEY, Record(7))
    assert not codec.seals
    assert plain.data.startswith(b'{"format"')
    assert codec.decode(KEY, plain) == Record(7)


def test_what_cannot_be_read_is_told_in_full() -> None:
    """Plain where sealed was expected, sealed where plain was, and another key's."""
    plain, sealing, other = Codec(None), Codec(b"k" * 32), Codec(b"o" * 32)
    sealed = sealing.encode(KEY, Record(7))
    assert plain.decode(KEY, sealed) == "it is encrypted, and this store has no encryption_key"
    assert (
        sealing.decode(KEY, plain.encode(KEY, Record(7)))
        == "it is not encrypted, and this store has an encryption_key"
    )
    assert (
        other.decode(KEY, sealed) == "it was encrypted with another encryption_key, or is damaged"
    )
