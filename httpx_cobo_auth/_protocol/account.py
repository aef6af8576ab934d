"""What one process knows about the token of one organization, and what follows from it.

Shared by every flow of the process that serves the same store, environment, client and
organization. It is one immutable value, ``Known``, replaced as a whole; readers take no lock.
Whatever the next process has to know as well is also in the stored record.

Limits and time-outs are not in here: they are those of the auth object that acts.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._cell import Cell
from httpx_cobo_auth._protocol.backoff import LONGEST_WAIT_S, Backoff
from httpx_cobo_auth._protocol.known import WHAT_FOLLOWS, Known, Unsaved
from httpx_cobo_auth._protocol.records import TokenTrust, Trust
from httpx_cobo_auth._protocol.tokens import HeldToken, TokenState

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.known import Urgency
    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.errors import CoboAuthError

__all__ = ["Account"]

_EARLY_PAUSE_S = 30.0
_EARLY_PAUSE_FRACTION = 1 / 4
_FIRST_PAUSE_S = 1.0
_POSTPONED_S = 1.0
_LOOK_PAUSE_S = 5.0
_SAVE_PAUSE_S = 5.0


class Account:
    """What the flows of one process share. Its methods are the changes that it goes through.

    Attributes:
        key: whose token it is.
        clock: where the time is read.

    """

    def __init__(self, key: StoreKey, clock: Clock) -> None:
        self.key = key
        self.clock = clock
        self._cell: Cell[Known] = Cell(Known)

    @property
    def known(self) -> Known:
        """What is known just now."""
        return self._cell.value

    def _change(self, **changes: Any) -> Known:  # noqa: ANN401 - as of replace
        def change(known: Known) -> tuple[Known, Known]:
            after = known.changed(**changes)
            return after, after

        return self._cell.update(change)

    def forget(self) -> None:
        """Forget all but the clock and how high generations have got."""
        known = self.known
        empty = Known(
            generation=known.generation,
            server_ahead=known.server_ahead,
            wall_ahead=known.wall_ahead,
        )
        self._cell.set(empty)

    # ------------------------------------------------------------------------ what follows
    @property
    def state(self) -> TokenState:
        """What the clock says of the held token."""
        held = self.known.held
        return held.state(self.clock) if held is not None else TokenState.MISSING

    @property
    def trust(self) -> Trust:
        """How far the held token is trusted."""
        known = self.known
        return Trust.UNKNOWN if known.in_doubt else known.trust.level

    @property
    def urgency(self) -> Urgency | None:
        """Which renewal has to come before the next request."""
        return WHAT_FOLLOWS[self.state][self.trust]

    @property
    def usable(self) -> HeldToken | None:
        """The held token, unless it is EXPIRED."""
        held = self.known.held
        alive = held is not None and held.state(self.clock) is not TokenState.EXPIRED
        return held if alive else None

    def holds(self, held: HeldToken) -> bool:
        """Whether that is still the token in use."""
        now = self.known.held
        return now is not None and now.token.access_token == held.token.access_token

    # ------------------------------------------------------------------ records of the store
    def rolled_back(self, record: Record) -> bool:
        """Whether the store lost what it once had; its refresh token may have been used."""
        return record.generation < self.known.generation

    def is_newer(self, record: Record) -> bool:
        """Whether the record has a token other than ours, and not an older one."""
        held = self.known.held
        return (
            record.token is not None
            and not self.rolled_back(record)
            and (held is None or record.token.access_token != held.token.access_token)
        )

    def saw(self, record: Record) -> None:
        """Learn what a record says besides its token."""
        self._cell.update(lambda known: (known.having_seen(record), None))

    def adopt(self, record: Record, *, exchange: int = 0) -> HeldToken:
        """Use the record's token from now on, as far as the record trusts it.

        Args:
            record: with a token.
            exchange: the number of the exchange that brought it; 0 where it was found in the
                store.

        """
        if record.token is None:
            message = "there is no token in that record"
            raise ValueError(message)
        token = record.token

        def change(known: Known) -> tuple[Known, HeldToken]:
            known = known.going_by(record)
            # A clock that was set since it was compared says too little; the next response says
            # more. A new token looks alive till then, lest each process renew in its turn.
            compared = known.wall_ahead is not None and not known.stepped(self.clock)
            held = HeldToken(token, record.generation, exchange, not exchange and not compared)
            held = held.timed(self.clock, known.ahead_now(self.clock))
            return known.holding(held, record), held

        return self._cell.update(change)

    # ---------------------------------------------------------------------------- exchanges
    def begin(self) -> int:
        """Note that an exchange begins, and return its number; ``adopt`` ends it."""
        return self._change(exchanges=self.known.exchanges + 1, in_doubt=True).exchanges

    def came_to_nothing(self) -> None:
        """Note that the exchange that began certainly had no effect."""
        self._change(in_doubt=False)

    # -------------------------------------------------------------------------- the clock
    def server_is_ahead(self, seconds: float | None) -> None:
        """Note by how much the server's clock is ahead of this machine's, if that is known."""
        if seconds is not None:
            self._cell.update(lambda known: (known.compared(self.clock, seconds), None))

    def saw_server_time(self, server_time: float | None) -> None:
        """Compare the clock with a time that is not verified: it may shorten a life only."""
        ahead = self.known.ahead_now(self.clock)
        if server_time is not None:
            ahead = max(ahead, server_time - self.clock.time())
        self.server_is_ahead(ahead)

    # ---------------------------------------------------------------------- failures, spaced
    def attempt_allowed(self) -> bool:
        """Whether a renewal that could as well come later may be tried now."""
        spaced = self.known.attempts.wait(self.clock.time())
        return not spaced and self.remembered_failure() is None

    def attempt_failed(self, *, in_doubt: bool, at_least: float = 0.0) -> Backoff:
        """Note a failed attempt at such a renewal, and return when the next may be made.

        With a token in doubt the first ones come sooner: a write may be refused with it.
        """
        held, attempts = self.known.held, self.known.attempts
        window = held.token.renewal_window if held is not None else 0.0
        longest = min(_EARLY_PAUSE_S, window * _EARLY_PAUSE_FRACTION)
        first = min(longest, _FIRST_PAUSE_S) if in_doubt else longest
        after = attempts.failed(self.clock.time(), first, longest, at_least)
        self._change(attempts=after)
        return after

    def postpone(self, seconds: float = _POSTPONED_S) -> None:
        """Make no further attempt for some seconds; ten minutes at most."""
        attempts, now = self.known.attempts, self.clock.time()
        until = max(attempts.until, now + min(seconds, LONGEST_WAIT_S))
        self._change(attempts=replace(attempts, until=until))

    def failed(self, error: CoboAuthError, *, at_least: float) -> None:
        """Remember a failure, so that not every request asks again.

        The first of a row is remembered only where ``at_least`` says so, in seconds.
        """
        now, failures = self.clock.monotonic(), self.known.failures
        # Half of it for the first, which does not count: so the second one counts as the first.
        after = failures.failed(now, _FIRST_PAUSE_S / 2, _EARLY_PAUSE_S, at_least)
        if not failures.failures and not at_least:
            after = replace(after, until=now)
        # A copy has no traceback, whose frames would keep requests and their bodies alive.
        self._change(failures=after, failure=copy.copy(error))

    def remembered_failure(self) -> CoboAuthError | None:
        """Return a copy of the failure that is still remembered, if there is one."""
        known = self.known
        left = known.failures.wait(self.clock.monotonic())
        if known.failure is None or not left:
            return None
        error = copy.copy(known.failure)
        if hasattr(error, "retry_after"):
            error.retry_after = left  # pyright: ignore[reportAttributeAccessIssue]  # ty: ignore[invalid-assignment]
        return error

    def may_look(self) -> bool:
        """Whether the store may be looked into once more; if so, not again for some seconds."""
        now = self.clock.monotonic()

        def change(known: Known) -> tuple[Known, bool]:
            if now < known.look_from:
                return known, False
            return known.changed(look_from=now + _LOOK_PAUSE_S), True

        return self._cell.update(change)

    # ----------------------------------------------------------------------------- refusals
    def distrust(self, held: HeldToken | None, level: Trust, kind: str = "") -> bool:
        """Trust a token no longer, and return whether that is news."""
        at = self.clock.time()

        def change(known: Known) -> tuple[Known, bool]:
            if held is None or known.held is None or known.held.generation != held.generation:
                return known, False
            if level is known.trust.level or known.trust.level is Trust.EXPOSED:
                return known, False
            attempts = known.attempts
            if known.in_doubt:
                # It did die with the exchange that nobody knows the end of: no reason to wait.
                attempts = replace(attempts, until=at)
            trust = TokenTrust(level, kind, at)
            return known.changed(trust=trust, attempts=attempts, unwritten=True), True

        return self._cell.update(change)

    def forced_wait(self, kind: str) -> float:
        """Return the seconds before a request of that kind may force a renewal."""
        known = self.known
        return known.throttle.wait(self.clock.time(), kind, proven=kind in known.proven)

    def did_not_help(self, kind: str, *, forced: bool) -> bool:
        """Note that a renewal did not help, and return whether that is news."""
        now = self.clock.time()

        def change(known: Known) -> tuple[Known, bool]:
            throttle = known.throttle.did_not_help(now, kind, forced=forced)
            news = throttle.ineffective != known.throttle.ineffective
            return known.changed(throttle=throttle, unwritten=known.unwritten or news), news

        return self._cell.update(change)

    def accepted(self, kind: str, held: HeldToken, *, forced: bool) -> bool:
        """Note that a request was accepted, perhaps after a renewal that it had forced.

        Returns whether others should hear of it at once: that the renewal helped.
        """

        def change(known: Known) -> tuple[Known, bool]:
            after = known.having_accepted(kind, held, forced=forced)
            return after, forced and after.throttle != known.throttle

        return self._cell.update(change)

    # -------------------------------------------------------------------------- saving later
    def keep_unsaved(self, record: Record, expected: Version, owner: str) -> None:
        """Keep a record with a new token in memory, to be saved later."""
        self._change(
            unsaved=Unsaved(record, expected, owner),
            save_from=self.clock.monotonic() + _SAVE_PAUSE_S,
        )

    def saved(self, record: Record) -> None:
        """Note that the store has what is known by now."""
        self._change(unsaved=None, unwritten=False, version=record.version, save_from=float("-inf"))

    def save_due(self) -> bool:
        """Whether something should be saved now; if so, not again for some seconds."""
        now = self.clock.monotonic()

        def change(known: Known) -> tuple[Known, bool]:
            due = (known.unsaved is not None or known.unwritten) and now >= known.save_from
            return (known.changed(save_from=now + _SAVE_PAUSE_S) if due else known), due

        return self._cell.update(change)
