"""Nonces: milliseconds since the epoch, each of them once in a process for a key.

Two things are kept apart. A ``NonceSource`` says which millisecond it is: by the wall clock at
its start, by the monotonic clock from then on, by what the server's verified time corrected. The
module remembers which milliseconds were used with a key, whatever source they came from: so the
number of clocks, of environments and of spellings of a key makes no difference.

No mutex is held anywhere, because an exception that a signal handler raises between two bytecodes
would leave it held, and a fork that runs no hooks of Python would copy it. Instead each change
rests on one operation of C that runs no Python code and so is one step for all threads:
``heappushpop`` on a list of one number (the highest so far), ``dict.setdefault``, ``deque.append``.
CPython runs them under the interpreter's lock, or under the object's own where there is none.

The wall clock against the monotonic one:

===========================  ==============================================================
it goes ahead, by 5 s or     followed. A suspended machine's monotonic clock stood still
more                         (Linux), or the clock was put right
it comes back to where it    nothing: the step before it was a mistake
was
it falls behind, by 5 to     followed: the two clocks drift apart, on systems that correct
10 s                         the one alone. Nonces stay above those before
it is set back by more       nothing: it may be a mistake. Should the server think so too, it
                             refuses a nonce, and its verified time corrects ours
===========================  ==============================================================
"""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import dataclass, field, replace
from heapq import heappushpop
from itertools import count
from typing import TYPE_CHECKING

from httpx_cobo_auth.clock import SystemClock

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.signing import Signer
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment

__all__ = ["NonceSource", "nonces_of"]

_STEP_S = 5.0
_DRIFT_S = 10.0
_SAME_MOMENT_S = 0.25
_REMEMBERED = 8192
_KEPT_SOURCES = 8

_used: dict[int, list[int]] = {}
"""Hashes of key and nonce, with the mark of the source that used it. Two that happen to have the
same hash cost a millisecond, and nothing else."""
_order: deque[int] = deque()
_unnamed = count()


def _is_first(key: str, nonce: int, mark: list[int]) -> bool:
    """Whether nobody used this nonce with this key, of the latest 8192; now it is used."""
    whose = hash((key, nonce))
    if _used.setdefault(whose, mark) is not mark:
        return False
    _order.append(whose)
    if len(_order) > _REMEMBERED:
        _used.pop(_order.popleft(), None)
    return True


@dataclass(frozen=True, slots=True, eq=False)
class _Reckoning:
    """How a source tells the time; never changed, but followed by another.

    Attributes:
        base: what is added to the steady reading; another after each correction.
        ahead: seconds by which the wall clock went on without the monotonic one.
        seen: wall clock less monotonic clock, as last seen.
        looked_at: the monotonic clock then.
        ahead_before: ``ahead``, until then.
        highest: the highest nonce so far, alone in a list.
        successor: the reckoning after this one, once there is one. Who puts it here, decides.

    """

    base: float
    ahead: float
    seen: float
    looked_at: float
    ahead_before: float
    highest: list[int] = field(default_factory=lambda: [0])
    successor: dict[None, _Reckoning] = field(default_factory=dict[None, "_Reckoning"])


class NonceSource:
    """Milliseconds since the epoch, rising, except after a correction.

    Safe to use from any thread, at fork, and in what interrupts itself.

    Args:
        clock: where the time is read.
        key: the public key, of which no nonce is used twice; by default one of its own.

    """

    __slots__ = ("__weakref__", "_clock", "_key", "_reckoning", "_start")

    def __init__(self, clock: Clock, key: str | None = None) -> None:
        """Start from what the clocks say now."""
        self._clock = clock
        self._key = f"source {next(_unnamed)}" if key is None else key.lower()
        monotonic = clock.monotonic()
        self._start = start = clock.time() - monotonic
        self._reckoning = _Reckoning(start, 0.0, start, monotonic, 0.0)

    def next(self) -> int:
        """Return a nonce."""
        reckoning = self._reckoning
        monotonic = self._clock.monotonic()
        if not -_STEP_S < self._clock.time() - monotonic - reckoning.seen < _STEP_S:
            reckoning = self._follow()
        nonce = int((reckoning.base + reckoning.ahead + monotonic) * 1000)
        highest, key = reckoning.highest, self._key
        # It gives back the lower of the two: the nonce itself, where that is not the highest.
        while heappushpop(highest, nonce) >= nonce or not _is_first(key, nonce, highest):
            nonce = max(nonce, highest[0]) + 1
        return nonce

    @property
    def base(self) -> float:
        """What is added to the monotonic clock; another after each correction."""
        return self._reckoning.base

    def time(self, monotonic: float, base: float | None = None) -> float:
        """Return the time that a nonce says, or said with that base, in seconds since the epoch."""
        now = self._follow()
        # What was seen later than that, happened later: each nonce takes a look.
        ahead = now.ahead_before if monotonic < now.looked_at else now.ahead
        return (now.base if base is None else base) + ahead + monotonic

    def seconds_behind(
        self, server_time: float, base: float | None = None, sent_at: float | None = None
    ) -> float:
        """Return by how many seconds the nonces lag, or lagged with that base, behind the server.

        Args:
            server_time: seconds since the epoch, when the server made its answer.
            base: as it was when the request was signed. By the time of the answer another
                request's may have corrected it.
            sent_at: the monotonic clock when the request was signed; by default as now.

        Returns:
            0.0 where the server's time lies between sending and now; else how far it lies
            before that (below 0) or after it.

        """
        now = self._follow()
        base = now.base if base is None else base
        monotonic = self._clock.monotonic()
        latest = base + now.ahead + monotonic
        earliest = latest if sent_at is None else min(self.time(sent_at, base), latest)
        return server_time - min(max(server_time, earliest), latest)

    def correct_by(self, seconds: float, base: float | None = None) -> None:
        """Count on from a time that many seconds ahead of ours.

        With ``base``, only if it has not been corrected since: of many requests that were
        refused for the same clock, one corrects it.
        """
        while True:
            now = self._follow()
            if base is not None and base != now.base:
                return
            # Nonces of before do not hold those after it up: they may be an hour ahead.
            corrected = replace(now, base=now.base + seconds, highest=[0], successor={})
            if self._replace(now, corrected) is corrected:
                return

    def _follow(self) -> _Reckoning:
        """Return how to reckon, after a look at whether the wall clock has stepped."""
        now = self._reckoning
        clock = self._clock
        before, wall, after = clock.monotonic(), clock.time(), clock.monotonic()
        seen = wall - after
        step = seen - now.seen
        if -_STEP_S < step < _STEP_S or after - before > _SAME_MOMENT_S:
            # Nothing; or this thread was held up between the readings, which compares nothing.
            return now
        ahead = now.ahead
        returned = abs(seen - self._start - ahead) < _STEP_S
        if step > -_DRIFT_S and not returned:
            ahead += step
        after_it = _Reckoning(now.base, ahead, seen, after, now.ahead, now.highest)
        return self._replace(now, after_it)

    def _replace(self, old: _Reckoning, new: _Reckoning) -> _Reckoning:
        # Where another was first, this finishes what it may not have got round to.
        self._reckoning = first = old.successor.setdefault(None, new)
        return first


_sources: weakref.WeakValueDictionary[tuple[str, str, int], NonceSource] = (
    weakref.WeakValueDictionary()
)
_recent: deque[NonceSource] = deque(maxlen=_KEPT_SOURCES)
"""Keeps what was learned of the machine's own clock for auth objects made anew for each call."""


def nonces_of(signer: Signer, environment: Environment, clock: Clock) -> NonceSource:
    """Return this process's source of nonces for a key at a base URL, by a clock.

    One for all auth objects that have the key, also those made anew for every request: each
    would have to learn by a refusal that the local clock is wrong. It goes with the last of
    them; a few by the machine's own clock are kept on.
    """
    by_system = type(clock) is SystemClock
    # The source keeps its clock, so that nobody else has the clock's id.
    whose = signer.public_key.lower(), environment.base_url, 0 if by_system else id(clock)
    source = _sources.get(whose)
    if source is None:
        # Two threads may make two: no nonce is used twice for that.
        _sources[whose] = source = NonceSource(clock, signer.public_key)
        if by_system:
            _recent.append(source)
    return source
