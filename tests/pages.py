"""The pages of the documentation, and the blocks of Python in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Block", "blocks_of"]

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*) -->\n)?```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """A block of Python in a page."""

    line: int
    mark: str
    code: str


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of Python of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, found.start("code")), found["mark"] or "", found["code"])
        for found in BLOCK.finditer(text)
    ]
