"""Secrets as they are given: 64 hex digits, or something else that is described, never shown."""

from __future__ import annotations

import re
from typing import cast

__all__ = ["key_bytes", "what_a_secret_is"]

_DIGITS = 64
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")


def key_bytes(secret: object) -> bytes | None:
    """Return the 32 bytes that 64 hex digits stand for; ``None`` for anything else."""
    if not isinstance(secret, str) or not _HEX_KEY.fullmatch(secret):
        return None
    return bytes.fromhex(secret)


def what_a_secret_is(kind: str, given: object) -> str:
    """Return a message that says what was expected, and how it differs from what was given.

    Args:
        kind: such as ``"an Ed25519 seed"``.
        given: the secret, of which the message holds nothing.

    """
    return (
        f"the secret (app_secret, api_secret) must be {kind} of {_DIGITS} hex digits, without "
        f"anything around it; {_problem_of(given)} (it is not repeated here). It is the private "
        "half of the key pair that you generated; Cobo knows only the public key"
    )


def _problem_of(given: object) -> str:
    if isinstance(given, bytes | bytearray | memoryview):
        name = type(cast("object", given)).__name__
        return f"what was given is {name}, not text: use .hex() or .decode()"
    if not isinstance(given, str):
        return f"what was given is of the type {type(given).__name__}, not text"
    checks = {
        "what was given is empty": not given,
        "what was given is a PEM file: the raw private key in hex is needed": "-----" in given,
        "what was given has quotation marks around it": given[:1] in "\"'" or given[-1:] in "\"'",
        "what was given has a line break (newline) in it or at its end: strip it": (
            "\n" in given or "\r" in given
        ),
        "what was given has white space in it or around it: strip it": (
            any(character.isspace() for character in given)
        ),
        "what was given begins with 0x: leave that out": given[:2] in {"0x", "0X"},
        f"what was given has {len(given)} characters": len(given) != _DIGITS,
    }
    return next(
        (problem for problem, found in checks.items() if found),
        "what was given has other characters than 0-9 and a-f",
    )
