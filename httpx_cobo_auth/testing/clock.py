"""A clock that a test sets."""

from __future__ import annotations

import threading
import time

__all__ = ["ManualClock"]


class ManualClock:
    """Time that moves when a test says so; fits wherever the package takes a ``clock``.

    One clock may serve simulator and client alike. Two of them make a client whose clock is
    wrong. Methods may be called from any thread.

    Args:
        start: seconds since the epoch to begin at; the machine's time by default.
        running: ``True`` lets real time pass on top of what the test adds, as sockets and
            other processes need it; ``False`` stands still in between.

    Example::

        clock = ManualClock()
        simulator = CoboSimulator(clock=clock)
        ...
        clock.advance(13 * 3600)  # the access token has expired

    """

    def __init__(self, start: float | None = None, *, running: bool = False) -> None:
        self._lock = threading.RLock()
        self._running = running
        self._began = self._monotonic = time.monotonic()
        self._wall = time.time() if start is None else start

    def __repr__(self) -> str:
        """Tell the time."""
        return f"{type(self).__name__}({self.time()!r}, running={self._running})"

    def time(self) -> float:
        """Seconds since the epoch."""
        with self._lock:
            return self._wall + self._passed()

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        with self._lock:
            return self._monotonic + self._passed()

    def advance(self, seconds: float) -> None:
        """Let time pass, on both readings.

        Raises:
            ValueError: ``seconds`` is negative.

        """
        if seconds < 0:
            message = "time does not run backwards; step() sets the wall clock alone"
            raise ValueError(message)
        with self._lock:
            self._wall += seconds
            self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forwards or back, as an administrator or NTP would."""
        with self._lock:
            self._wall += seconds

    def _passed(self) -> float:
        return time.monotonic() - self._began if self._running else 0.0
