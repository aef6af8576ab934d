"""Finding secrets in what processes have written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PART = 16
"""So many characters of a secret in a row count as the secret."""
_HEX = re.compile(rb"[0-9a-fA-F]{%d,}" % _PART)


def leaks(paths: Iterable[Path], secrets: Iterable[str]) -> list[str]:
    """Give the lines that show a part of a secret, as ``file:line``."""
    parts = {
        secret[start : start + _PART].lower().encode()
        for secret in secrets
        for start in range(len(secret) - _PART + 1)
    }
    return [
        f"{path.name}:{number}"
        for path in paths
        for number, line in enumerate(path.read_bytes().splitlines(), 1)
        if any(_shows(found.group().lower(), parts) for found in _HEX.finditer(line))
    ]


def _shows(text: bytes, parts: set[bytes]) -> bool:
    return any(text[start : start + _PART] in parts for start in range(len(text) - _PART + 1))
