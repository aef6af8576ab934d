"""The time, as something that can be handed in."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Two readings, as in the module ``time``."""

    def time(self) -> float:
        """Seconds since the epoch: the wall clock, which may step."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment: never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    monotonic: staticmethod[[], float] = staticmethod(time.monotonic)
    time: staticmethod[[], float] = staticmethod(time.time)
