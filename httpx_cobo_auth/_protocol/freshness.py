"""Whether the token endpoint itself answered, or a cache in its place.

``org_implicit`` is a GET of the same URL each time. A cache that keeps it, whatever the headers
say, answers with an old token, whose refresh token was spent long ago. What tells is the time at
which Cobo signed the reply: a new token is signed after it was asked for.

But asked for by which clock? What the server signed before bounds its clock from below, and the
monotonic clock never runs ahead: a reply that is older than that is a cache's, for certain.
Where nothing is known yet, our wall clock has to do, which may be wrong. Then ``org_implicit`` is
asked for once more, by a URL that says the same and is another to a cache:

- the second reply is new: the first one was a cache's, and nothing of it is used;
- it is as old as the first, and another one: our clock is wrong, and the reply is good;
- else a cache answers again, and no token is to be had through it.

A POST is answered by no cache, unless it says so: there an old time says that our clock is wrong,
or that the server's has been set back.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from heapq import heappushpop

__all__ = ["Freshness", "ReplyAge", "ServerClock", "freshness_of"]

_TOLERANCE_S = 60.0


@dataclass(frozen=True, slots=True)
class ReplyAge:
    """How old a reply of the token endpoint is.

    Attributes:
        at_least: seconds by which it was signed before it was asked for, by what the server
            itself has signed; infinite where a cache says that it answered (``Age``).
        by_our_clock: the same by our clock, which may be wrong.
        signed_at: when, by the server's clock, in seconds since the epoch.
        sent_at: when it was asked for, on the monotonic clock.
        signature: tells two replies apart.

    """

    at_least: float
    by_our_clock: float
    signed_at: float
    sent_at: float
    signature: str = field(repr=False)

    def is_as_old_as(self, first: ReplyAge) -> bool:
        """Whether both were signed by one clock that runs, each when it was asked for."""
        between = self.signed_at - first.signed_at - (self.sent_at - first.sent_at)
        return abs(between) <= _TOLERANCE_S and self.signature != first.signature


class Freshness(enum.Enum):
    """What a reply's age says of it."""

    NEW = enum.auto()
    """It is the endpoint's answer to this very request."""
    ASK_AGAIN = enum.auto()
    """A cache's, or our clock is wrong: ask once more, by the other URL."""
    CACHED = enum.auto()
    """A cache's. It holds no token that works, and a refresh token that may have been spent."""


def freshness_of(age: ReplyAge | None, first: ReplyAge | None, *, refreshing: bool) -> Freshness:
    """Return what the age of a 2XX reply says of it.

    Args:
        age: of the reply; ``None`` where it does not tell.
        first: of the reply before this one, if that led to asking again.
        refreshing: whether it was asked for by POST, with a refresh token.

    """
    if age is None or max(age.at_least, age.by_our_clock) <= _TOLERANCE_S:
        return Freshness.NEW
    if refreshing:
        return Freshness.CACHED if age.at_least == math.inf else Freshness.NEW
    certain = age.at_least > _TOLERANCE_S
    if first is None:
        return Freshness.ASK_AGAIN
    if not certain and age.is_as_old_as(first):
        return Freshness.NEW
    return Freshness.CACHED


class ServerClock:
    """What is known of the server's clock: not before which time it stands.

    Safe to use from any thread, and in what interrupts itself: as nonces are, and by the same
    means.
    """

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._latest = [-math.inf]

    def saw(self, signed_at: float, monotonic: float) -> None:
        """Remember a time that the server signed, at a reading of the monotonic clock."""
        heappushpop(self._latest, signed_at - monotonic)  # keeps the higher one

    def not_before(self, monotonic: float) -> float:
        """Return a time that the server's clock had reached at that reading."""
        return self._latest[0] + monotonic
