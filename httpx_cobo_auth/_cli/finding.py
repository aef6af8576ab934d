"""One line of what ``check`` finds."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from httpx_cobo_auth._cli.screen import Colour

if TYPE_CHECKING:
    from httpx_cobo_auth._cli.screen import Screen

__all__ = ["Finding", "Verdict", "failed", "ok", "skipped"]


class Verdict(enum.Enum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be tried, or was not asked for; this is no failure."""


_COLOURS = {
    Verdict.OK: Colour.GREEN,
    Verdict.FAILED: Colour.RED,
    Verdict.SKIPPED: Colour.YELLOW,
}
_NAME_WIDTH = len("environment")
_VERDICT_WIDTH = len("skipped")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, how it ended, and what is so or what to do."""

    name: str
    verdict: Verdict
    text: str

    def line(self, screen: Screen) -> str:
        """Return it for people."""
        verdict = screen.paint(self.verdict.value.ljust(_VERDICT_WIDTH), _COLOURS[self.verdict])
        return f"{verdict}  {self.name:<{_NAME_WIDTH}}  {self.text}"

    def data(self) -> dict[str, object]:
        """Return it for programs."""
        return {"check": self.name, "result": self.verdict.value, "message": self.text}


def ok(name: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(name, Verdict.OK, text)


def failed(name: str, text: str) -> Finding:
    """Return what is wrong, and what to do."""
    return Finding(name, Verdict.FAILED, text)


def skipped(name: str, text: str) -> Finding:
    """Return why it was not tried."""
    return Finding(name, Verdict.SKIPPED, text)
