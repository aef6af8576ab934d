"""How long to wait after failures in a row: doubling, up to a limit, over after a success."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LONGEST_WAIT_S", "NO_FAILURES", "Backoff", "doubled"]

LONGEST_WAIT_S = 600.0
"""No wait is longer. One that seems to be comes from a clock that was set back: it is over."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures in a row, and when the next attempt may be made.

    Attributes:
        failures: how many.
        until: no attempt before, in seconds of whichever clock the caller reads.

    """

    failures: int = 0
    until: float = 0.0

    def wait(self, now: float) -> float:
        """Return the seconds until the next attempt may be made; 0.0 for none."""
        left = self.until - now
        return left if 0.0 < left <= LONGEST_WAIT_S else 0.0

    def failed(self, now: float, first: float, longest: float, at_least: float = 0.0) -> Backoff:
        """Return what to go by after one more failure.

        Args:
            now: of the same clock as ``until``.
            first: seconds to wait after the first failure; twice as long after each other one.
            longest: seconds at most.
            at_least: seconds that the server asks for; at most ten minutes of them count.

        """
        pause = max(doubled(first, self.failures, longest), min(at_least, LONGEST_WAIT_S))
        return Backoff(self.failures + 1, now + pause)


NO_FAILURES = Backoff()


def doubled(first: float, times: int, longest: float) -> float:
    """Return ``first`` doubled so many times, at most ``longest``."""
    # The exponent is bounded before it is used, for the number may come out of a stored record.
    return min(first * 2.0 ** min(times, 16), longest)
