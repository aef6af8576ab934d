"""What a command shows: text for people, or JSON for programs, never both."""

from __future__ import annotations

import enum
import json
import os
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Colour", "Screen", "time_text"]

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86400


class Colour(enum.Enum):
    """The colours that are used, by their number in the escape sequences of terminals."""

    GREEN = 32
    YELLOW = 33
    RED = 31


class Screen:
    """Where a command writes to.

    Args:
        out: the output, each line of it flushed: somebody may be reading along.
        as_json: whether ``data`` is shown, and text is not.

    """

    def __init__(self, out: TextIO, *, as_json: bool) -> None:
        self._out = out
        self._as_json = as_json
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR")

    def text(self, line: str = "") -> None:
        """Show a line to people."""
        if not self._as_json:
            print(line, file=self._out, flush=True)

    def fields(self, fields: Mapping[str, str]) -> None:
        """Show names and values to people, one below the other."""
        width = max(map(len, fields))
        for name, value in fields.items():
            self.text(f"{name:<{width}}  {value}")

    def data(self, data: Mapping[str, object] | Sequence[object]) -> None:
        """Show it to programs, in one line."""
        if self._as_json:
            print(json.dumps(data), file=self._out, flush=True)

    def paint(self, text: str, colour: Colour) -> str:
        """Return the text in colour, where that can be seen and is wanted."""
        return f"\x1b[{colour.value}m{text}\x1b[0m" if self._coloured else text


def time_text(at: float, now: float) -> str:
    """Return a time in UTC, and how far it is away.

    Args:
        at: seconds since the epoch.
        now: seconds since the epoch.

    """
    there = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
    away = _duration(abs(at - now))
    return f"{there} ({f'in {away}' if at >= now else f'{away} ago'})"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 2 * _MINUTE_S:
        return f"{whole} s"
    if whole < 2 * _HOUR_S:
        return f"{whole // _MINUTE_S} min"
    if whole < 2 * _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} days"
