"""What may be told of a token to whoever asks: for health checks and the command line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.known import Known
from httpx_cobo_auth._protocol.records import Trust
from httpx_cobo_auth._protocol.tokens import HeldToken, TokenState

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Record
    from httpx_cobo_auth.clock import Clock

__all__ = ["TokenStatus", "status_of", "with_record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStatus:
    """What is known of an organization's token. It holds no secret.

    Attributes:
        state: what the token is good for, by the clock.
        trust: how far it is trusted, whatever the clock says.
        expires_at: seconds since the epoch, by the server's clock; ``None`` without a token.
        generation: one more with every token that was saved or forgotten; 0 before the first.
        exchange_pending: whether an exchange has begun whose end is not known.
        next_attempt_at: seconds since the epoch before which no renewal is tried that could as
            well come later, because one failed; ``None`` where one may be tried now.

    """

    state: TokenState
    trust: Trust
    expires_at: float | None
    generation: int
    exchange_pending: bool
    next_attempt_at: float | None


def status_of(known: Known, clock: Clock) -> TokenStatus:
    """Return what may be told of that knowledge."""
    held, now = known.held, clock.time()
    wait = max(known.attempts.wait(now), known.failures.wait(clock.monotonic()))
    return TokenStatus(
        state=held.state(clock) if held is not None else TokenState.MISSING,
        trust=Trust.UNKNOWN if known.in_doubt else known.trust.level,
        expires_at=held.token.expires_at if held is not None else None,
        generation=known.generation,
        exchange_pending=known.in_doubt,
        next_attempt_at=now + wait if wait else None,
    )


def with_record(known: Known, record: Record, clock: Clock) -> Known:
    """Return what would be known once the record was taken into account."""
    if record.generation < known.generation or known.unsaved is not None:
        return known
    token, held = record.token, known.held
    if token is None:
        return Known(generation=record.generation, in_doubt=record.pending is not None)
    if held is None or held.token != token:
        known = known.going_by(record)
        found = HeldToken(token, record.generation).timed(clock, known.ahead_now(clock))
        return known.holding(found, record)
    pending = known.in_doubt or record.pending is not None
    return replace(known.having_seen(record), in_doubt=pending)
