"""How often renewals may be forced: what keeps a refusing server from being hammered.

A *forced* renewal answers a refusal. It was *in vain* where the request was refused again
afterwards, or could not be repeated. The next forced one then waits, longer each time, until
that same request is accepted: other requests being accepted says nothing about it.

Forced renewals that help, but come far too often, mean that somebody else renews the same
organization's token from another store: *contention*. They are held off as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["RenewalThrottle"]

_FIRST_WAIT_S = 30.0
_LONGEST_WAIT_S = 600.0
_CONTENTION_WINDOW_S = 3600.0
_FORCED_FREELY = 4


@dataclass(frozen=True, slots=True)
class RenewalThrottle:
    """The memory of forced renewals, kept in the stored record.

    Attributes:
        vain_count: how many in a row have not been shown to help.
        vain_until: seconds since the epoch; no forced renewal before.
        vain_cause: the request that has to be accepted to reset the count.
        forced_at: seconds since the epoch of the latest forced renewals, oldest first.

    """

    ineffective_count: int = 0
    ineffective_until: float = 0.0
    ineffective_cause: str = ""
    forced_at: tuple[float, ...] = ()

    def wait(self, now: float) -> float:
        """Give the seconds to wait before the next forced renewal; 0.0 for none."""
        until = max(self.ineffective_until, self._contention_until(now))
        # Longer than any wait there is: the clock was set back, the wait means nothing.
        return until - now if 0 < until - now <= _LONGEST_WAIT_S else 0.0

    def contention(self, now: float) -> float:
        """Give the seconds to wait because renewals come too often; 0.0 where they do not."""
        return max(0.0, self._contention_until(now) - now)

    def _contention_until(self, now: float) -> float:
        recent = [at for at in self.forced_at if now - _CONTENTION_WINDOW_S < at <= now]
        excess = len(recent) - _FORCED_FREELY
        return 0.0 if excess < 0 else recent[-1] + _doubled(excess)

    def forced(self, now: float) -> RenewalThrottle:
        """Note a forced renewal."""
        recent = [at for at in self.forced_at if now - _CONTENTION_WINDOW_S < at <= now]
        return replace(self, forced_at=(*recent, now))

    def ineffective(self, now: float, cause: str) -> RenewalThrottle:
        """Note that a forced renewal did not help the request that caused it.

        One renewal is in vain once, for however many requests.
        """
        if 0.0 < self.ineffective_until - now <= _LONGEST_WAIT_S:
            return self
        return replace(
            self,
            ineffective_count=self.ineffective_count + 1,
            ineffective_until=now + _doubled(self.ineffective_count),
            ineffective_cause=cause,
        )

    def accepted(self) -> RenewalThrottle:
        """Note that the request whose renewals were in vain has been accepted."""
        return RenewalThrottle(forced_at=self.forced_at)


def _doubled(times: int) -> float:
    # The exponent is bounded before it is used, for it comes out of a stored record.
    return min(_FIRST_WAIT_S * 2.0 ** min(times, 16), _LONGEST_WAIT_S)
