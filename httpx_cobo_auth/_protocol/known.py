"""What a process knows of an organization's token, as one value; and what follows from it.

``WHAT_FOLLOWS`` is the one table that says which renewal has to come before a request: by what
the clock says of the token, and by how far it is trusted.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.backoff import NO_FAILURES, Backoff
from httpx_cobo_auth._protocol.records import TRUSTED, TokenTrust, Trust
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.tokens import HeldToken, TokenState

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Record, Version
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.errors import CoboAuthError

__all__ = ["WHAT_FOLLOWS", "Known", "Unsaved", "Urgency"]


_LEAST_STEP_S = 1.0
"""Less may be due to a wall clock that is made to go faster or slower for a while."""
_MOST_PROVEN = 64


class Urgency(enum.Enum):
    """Why a new token is wanted."""

    EARLY = enum.auto()
    """The current one is STALE."""
    DOUBT = enum.auto()
    """The current one may be dead, or known to others."""
    REQUIRED = enum.auto()
    """There is none, or it is EXPIRED."""
    FORCED = enum.auto()
    """The current one was refused just now."""
    EXPLICIT = enum.auto()
    """The user asks for it."""


_STILL_ALIVE = {
    Trust.REFUSED: Urgency.DOUBT,
    Trust.EXPOSED: Urgency.DOUBT,
    Trust.UNKNOWN: Urgency.DOUBT,
}
WHAT_FOLLOWS: dict[TokenState, dict[Trust, Urgency | None]] = {
    TokenState.FRESH: {Trust.TRUSTED: None, **_STILL_ALIVE},
    TokenState.STALE: {Trust.TRUSTED: Urgency.EARLY, **_STILL_ALIVE},
    TokenState.EXPIRED: dict.fromkeys(Trust, Urgency.REQUIRED),
    TokenState.MISSING: dict.fromkeys(Trust, Urgency.REQUIRED),
}
"""Which renewal has to come before a request, if any."""


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A record that is yet to be saved.

    Attributes:
        record: with a token that so far is in memory only.
        expected: the version that it replaces.
        owner: of the exchange that brought the token; a record in which that one is pending may
            be replaced as well.

    """

    record: Record
    expected: Version
    owner: str

    def replaces(self, stored: Record) -> bool:
        """Whether the record in the store is one that may be replaced."""
        noted = stored.pending is not None and stored.pending.owner == self.owner
        return noted or stored.version == self.expected


@dataclass(frozen=True, slots=True)
class Known:
    """What a process knows. ``retry`` times are of the monotonic clock.

    Attributes:
        held: the token in use.
        ready: the same, where nothing but the clock can keep it from being used at once.
        trust: how far it is trusted.
        attempts: at renewing it before it expires; times are seconds since the epoch.
        throttle: of forced renewals.
        proven: kinds of request that were accepted with ``held`` while others are held off.
        unwritten: whether the store is yet to learn of ``trust``, ``attempts``, ``throttle``.
        unsaved: a record with a token that is yet to be saved.
        save_from: when the store may be written to again after it failed.
        generation: the highest seen so far.
        version: of the record seen last.
        exchanges: how many have begun in this process.
        in_doubt: whether one has begun, and nobody knows yet how it ended.
        failures: renewals that callers depended on, and that failed in a row.
        failure: what the latest failed of, as a copy without traceback.
        look_from: when the store may be looked into again for a newer token.
        server_ahead: seconds by which the server's clock was ahead of this machine's,
        wall_ahead: when that was ahead of the monotonic clock by so many seconds; ``None`` where
            the two were never compared.

    """

    held: HeldToken | None = None
    ready: HeldToken | None = None
    trust: TokenTrust = TRUSTED
    attempts: Backoff = NO_FAILURES
    throttle: RenewalThrottle = RenewalThrottle()
    proven: frozenset[str] = frozenset()
    unwritten: bool = False
    unsaved: Unsaved | None = None
    save_from: float = float("-inf")
    generation: int = 0
    version: Version | None = None
    exchanges: int = 0
    in_doubt: bool = False
    failures: Backoff = NO_FAILURES
    failure: CoboAuthError | None = None
    look_from: float = float("-inf")
    server_ahead: float = 0.0
    wall_ahead: float | None = None

    def changed(self, **changes: Any) -> Known:  # noqa: ANN401 - as of replace
        """Return the value with other fields."""
        known = replace(self, **changes)
        held = known.held
        settled = (
            known.trust.level is Trust.TRUSTED
            and not known.in_doubt
            and not known.unwritten
            and known.unsaved is None
            and not known.throttle.ineffective
            and held is not None
            and not held.unchecked
        )
        ready = held if settled else None
        return known if known.ready is ready else replace(known, ready=ready)

    def stepped(self, clock: Clock) -> float:
        """Return the seconds by which the wall clock was set since it was last compared."""
        if self.wall_ahead is None:
            return 0.0
        stepped = clock.time() - clock.monotonic() - self.wall_ahead
        return stepped if abs(stepped) > _LEAST_STEP_S else 0.0

    def ahead_now(self, clock: Clock) -> float:
        """Return the seconds by which the server's clock is ahead of the wall clock by now."""
        return self.server_ahead - self.stepped(clock)

    def compared(self, clock: Clock, ahead: float) -> Known:
        """Return what is known after the server's clock was found ahead by so many seconds."""
        held = self.held
        if held is not None:
            held = replace(held, unchecked=False).timed(clock, ahead)
        wall_ahead = clock.time() - clock.monotonic()
        return self.changed(server_ahead=ahead, wall_ahead=wall_ahead, held=held)

    def going_by(self, record: Record) -> Known:
        """Return what is known with the clock of whoever saved a record, for want of better."""
        if self.wall_ahead is not None:
            return self
        return replace(self, server_ahead=record.server_ahead)

    def having_seen(self, record: Record) -> Known:
        """Return what is known with what a record says besides its token."""
        seen: dict[str, Any] = {
            "generation": max(self.generation, record.generation),
            "version": record.version,
        }
        if record.version != self.version and record.generation >= self.generation:
            if not self.unwritten:
                seen["throttle"] = record.throttle
                seen["attempts"] = record.attempts
            ours = self.held is not None and self.held.generation == record.generation
            if ours and record.trust.level is not Trust.TRUSTED:
                seen["trust"] = record.trust
        return self.changed(**seen)

    def having_accepted(self, kind: str, held: HeldToken, *, forced: bool) -> Known:
        """Return what is known after a request was accepted, while renewals are held off.

        Args:
            kind: of the request.
            held: the token that it was sent with.
            forced: whether it had been refused, and a renewal helped it.

        """
        before, proven = self.throttle, self.proven
        throttle = before.helped() if forced else before.accepted(kind)
        current = self.held is not None and self.held.generation == held.generation
        if current and len(proven) < _MOST_PROVEN:
            proven |= {kind}
        if (throttle, proven) == (before, self.proven):
            return self
        unwritten = self.unwritten or (forced and throttle != before)
        return self.changed(throttle=throttle, proven=proven, unwritten=unwritten)

    def holding(self, held: HeldToken, record: Record) -> Known:
        """Return what is known with the record's token in use; no failure counts any more."""
        return self.changed(
            held=held,
            trust=record.trust,
            attempts=record.attempts,
            throttle=record.throttle,
            proven=frozenset(),
            unwritten=False,
            unsaved=None,
            generation=max(self.generation, record.generation),
            version=record.version,
            in_doubt=record.pending is not None,
            failures=NO_FAILURES,
            failure=None,
        )
