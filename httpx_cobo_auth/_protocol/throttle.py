"""How often renewals may be forced: what keeps a refusing server from being hammered.

A *forced* renewal answers a refusal. It was *ineffective* where the request was refused again
afterwards, or could not be repeated. Then no renewal is forced for 30 s, and none by the same
kind of request for longer each time, up to 10 min. A request of that kind being accepted takes
its count back; a renewal that is shown to help takes back all.

A kind is a method and a path without its identifiers, so that a thousand transactions are one
kind. Where an identifier looks like a word, its kinds share the 30 s at least. Not so a kind that
was *proven* by the token in use: it was accepted with it, so a refusal is news of this token, and
the odd refusals of another program say nothing against it.

Forced renewals that help, but come far too often, mean that somebody else renews the same
organization's token from another store: *contention*. They are held off as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from httpx_cobo_auth._protocol.backoff import LONGEST_WAIT_S, Backoff, doubled

__all__ = ["RenewalThrottle", "kind_of"]

_FIRST_WAIT_S = 30.0
_CONTENTION_WINDOW_S = 3600.0
_FORCED_FREELY = 4
_MAX_KINDS = 8
_MAX_KIND_LENGTH = 200
# A word of the API's own: letters, perhaps a version. Anything else names one thing of many.
_WORD = re.compile(r"v\d{1,2}|[A-Za-z]+(?:[_-][A-Za-z]+)*")
_LONGEST_WORD = 32


def kind_of(method: str, path: str) -> str:
    """Return the kind of a request: its method, and its path without identifiers."""
    words = [part if _is_word(part) else "*" for part in path.split("/") if part]
    return f"{method} /{'/'.join(words)}"[:_MAX_KIND_LENGTH]


def _is_word(part: str) -> bool:
    return len(part) <= _LONGEST_WORD and _WORD.fullmatch(part) is not None


@dataclass(frozen=True, slots=True)
class RenewalThrottle:
    """The memory of forced renewals, kept in the stored record.

    Times are in seconds since the epoch.

    Attributes:
        ineffective: by kind of request the renewals that did not help it, the latest last.
        forced_at: when renewals were forced lately that helped, oldest first.

    """

    ineffective: tuple[tuple[str, Backoff], ...] = ()
    forced_at: tuple[float, ...] = ()

    def wait(self, now: float, kind: str, *, proven: bool = False) -> float:
        """Return the seconds before a request of that kind may force a renewal; 0.0 for none.

        Args:
            now: in seconds since the epoch.
            kind: of the request that was refused.
            proven: whether that kind was accepted with the very token that is refused now.

        """
        until = self._contention_until(now)
        for name, backoff in self.ineffective:
            if name == kind:
                until = max(until, backoff.until)
            elif not proven:
                # Refusals of another kind say little about this one.
                began = backoff.until - _pause(backoff.failures)
                until = max(until, began + _FIRST_WAIT_S)
        return Backoff(until=until).wait(now)

    def contention(self, now: float) -> float:
        """Return the seconds to wait because renewals come too often; 0.0 where they do not."""
        return max(0.0, self._contention_until(now) - now)

    def _contention_until(self, now: float) -> float:
        recent = self._recent(now)
        excess = len(recent) - _FORCED_FREELY
        return 0.0 if excess < 0 else recent[-1] + _pause(excess + 1)

    def _recent(self, now: float) -> tuple[float, ...]:
        return tuple(at for at in self.forced_at if now - _CONTENTION_WINDOW_S < at <= now)

    def forced(self, now: float) -> RenewalThrottle:
        """Return what to go by after a forced renewal, unless it turns out not to help."""
        return replace(self, forced_at=(*self._recent(now), now))

    def helped(self) -> RenewalThrottle:
        """Return what to go by after the request that forced a renewal was accepted."""
        return replace(self, ineffective=())

    def did_not_help(self, now: float, kind: str, *, forced: bool) -> RenewalThrottle:
        """Return what to go by after a renewal that did not help a request of that kind.

        One renewal did not help once, for however many requests. Where it counted as forced, it
        does no longer: it says nothing about contention.
        """
        forced_at = self.forced_at[:-1] if forced else self.forced_at
        others = tuple(entry for entry in self.ineffective if entry[0] != kind)
        before = dict(self.ineffective).get(kind, Backoff())
        if before.wait(now):
            return replace(self, forced_at=forced_at)
        after = before.failed(now, _FIRST_WAIT_S, LONGEST_WAIT_S)
        ineffective = (*others[1 - _MAX_KINDS :], (kind, after))
        return RenewalThrottle(ineffective, forced_at)

    def accepted(self, kind: str) -> RenewalThrottle:
        """Return what to go by after a request of that kind was accepted."""
        left = tuple(entry for entry in self.ineffective if entry[0] != kind)
        return self if len(left) == len(self.ineffective) else replace(self, ineffective=left)


def _pause(failures: int) -> float:
    return doubled(_FIRST_WAIT_S, failures - 1, LONGEST_WAIT_S)
