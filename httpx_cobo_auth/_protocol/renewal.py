"""The renewal itself, by the one who has this process's renewal permit.

In this order: the store's lock, re-read (a newer token ends it), let the writes in flight end,
note the exchange as begun, check that the lock will outlive it, exchange, save.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.effects import (
    Confirm,
    Drain,
    Flow,
    Load,
    LockStore,
    Outlives,
    Sleep,
)
from httpx_cobo_auth._protocol.known import Urgency
from httpx_cobo_auth._protocol.maintenance import glance, save_token
from httpx_cobo_auth._protocol.notes import Note
from httpx_cobo_auth._protocol.records import Record
from httpx_cobo_auth._protocol.token_endpoint import Failed, exchange
from httpx_cobo_auth.errors import (
    CoboAuthError,
    RenewalTimeoutError,
    SignerError,
    StoreError,
    TokenRefusedError,
)

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.records import Version
    from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
    from httpx_cobo_auth._protocol.reports import RenewalReports
    from httpx_cobo_auth._protocol.settings import Settings
    from httpx_cobo_auth._protocol.token_endpoint import Issued
    from httpx_cobo_auth._protocol.tokens import HeldToken

__all__ = ["Renewal"]

_REFUSAL_HOLD_S = 10.0
_CLEARANCE_S = 2.0
_GRACE_FRACTION = 1 / 4


class Renewal:
    """A renewal by whoever has the permit."""

    def __init__(self, account: Account, settings: Settings, request: RenewalRequest) -> None:
        from httpx_cobo_auth._protocol.reports import RenewalReports as Reports  # noqa: PLC0415 - not before it is needed: the import is faster

        self.reports: RenewalReports = Reports(account)
        self._account = account
        self._settings = settings
        self._request = request
        self._attempted = False
        self._counted = False
        # Whether it counts as forced. A lost exchange explains the refusal, and so does a token
        # that has expired by the server's time, of which the refusal itself may have told.
        explained = account.known.in_doubt or account.usable is None
        self._forced = request.forced and not explained

    def failed(self, error: CoboAuthError) -> None:
        """Report a failure and remember it, unless it was only remembered itself."""
        if not self._attempted:
            return
        retry_after = getattr(error, "retry_after", None) or 0.0
        if not self._counted:
            self._account.attempt_failed(in_doubt=self._in_doubt, at_least=retry_after)
        self.reports.failed(error)
        refused = isinstance(error, TokenRefusedError)
        asked = not isinstance(error, (StoreError, RenewalTimeoutError, SignerError))
        if refused or (asked and not self._request.optional):
            hold = _REFUSAL_HOLD_S if refused else 0.0
            self._account.failed(error, at_least=max(hold, retry_after))

    def run(self, deadline: float) -> Flow[HeldToken | None]:
        """Renew, unless there is no need any more; wait for the store's lock until then."""
        account, request = self._account, self._request
        held = request.met_by(account)
        if held is not None:
            return held
        # A write waits for the store's lock all the same: another process may be renewing.
        if not self._in_time and not (request.waits and self._settings.shared):
            return None
        held_off = self._held_off
        # Who asks explicitly gets an answer of now.
        asks = request.urgency is Urgency.EXPLICIT
        remembered = None if request.optional or asks else account.remembered_failure()
        # By another process; to wait for that forces nothing.
        under_way = False
        if account.known.held is None or request.forced or remembered is not None:
            # That needs no lock: another process may have got a token meanwhile.
            record = yield from glance()
            under_way = self._settings.shared and record is not None and bool(record.pending)
            held = self._take_over(record) if record is not None and not record.pending else None
            if held is not None:
                return held
        if held_off and not under_way:
            return None
        if remembered is not None and not held_off:
            raise remembered
        self._attempted = True
        if (yield from self._lock(deadline)):
            return (yield from self._locked())
        if request.optional or held_off:
            # Somebody else renews: no reason to ask for the lock at every request.
            account.postpone()
            return None
        message = "gave up waiting for another process to renew the token"
        raise RenewalTimeoutError(message)

    def _lock(self, deadline: float) -> Flow[bool]:
        limits, request = self._settings.timeouts, self._request
        longest = limits.early_exchange if request.optional else limits.lock
        left = max(0.0, deadline - self._account.clock.monotonic())
        return (yield from LockStore(min(longest, left)))

    @property
    def _in_doubt(self) -> bool:
        return self._request.urgency is not Urgency.EARLY

    @property
    def _in_time(self) -> bool:
        return not self._request.optional or self._account.attempt_allowed()

    @property
    def _failed_before(self) -> bool:
        """Whether a token found in the store, in doubt, is to be renewed later: others tried.

        One failure may be that of a process that died, whose successor renews at once.
        """
        return self._account.known.attempts.failures > 1 and not self._account.attempt_allowed()

    @property
    def _held_off(self) -> bool:
        """Whether renewals that refusals ask for have to wait."""
        return self._forced and self._account.forced_wait(self._request.kind) > 0.0

    def _take_over(self, record: Record) -> HeldToken | None:
        account = self._account
        if account.is_newer(record):
            self.reports.taken_over(account.adopt(record))
        else:
            account.saw(record)
        return self._request.met_by(account)

    def _locked(self) -> Flow[HeldToken | None]:
        account, request = self._account, self._request
        record = (yield from Load()) or Record()
        expected = record.version
        unsaved = account.known.unsaved
        if unsaved is not None and unsaved.replaces(record):
            record = unsaved.record
        elif unsaved is not None:
            account.saved(record)  # It moved on: ours is of no use any more.
        lost = account.known.in_doubt and not account.is_newer(record)
        broken = lost or record.pending is not None or account.rolled_back(record)
        held = self._take_over(record)
        if broken:
            # An exchange whose end nobody knows: the token may have died with it.
            account.begin()
            self._forced = False
        elif held is not None:
            return held
        if not self._in_time or self._held_off:
            return None
        if request.urgency is Urgency.REQUIRED and account.usable and self._failed_before:
            return None
        if (yield from Confirm()) or not (yield from self._writes_ended()):
            return None
        return (yield from self._exchange(record, expected, broken=broken))

    def _writes_ended(self) -> Flow[bool]:
        """Let the writes in flight end: a new token may kill the one that they carry."""
        limits, account, request = self._settings.timeouts, self._account, self._request
        held = account.usable
        if self._settings.shared and held is not None and request.optional:
            # Those of other processes, which wait for the store's lock before the next one.
            yield from Sleep(min(limits.grace, held.token.renewal_window * _GRACE_FRACTION))
        drained = yield from Drain(limits.drain)
        if not drained and request.urgency is Urgency.EARLY:
            account.attempt_failed(in_doubt=False)
            return False
        return True

    def _exchange(
        self, record: Record, expected: Version, *, broken: bool
    ) -> Flow[HeldToken | None]:
        account, request, settings = self._account, self._request, self._settings
        spend = None if broken else record.token
        if spend is not None and spend.refresh_token is None:
            spend = None
        owner = settings.new_owner()
        self._counted = True
        note = Note(account, settings, self.reports, record)
        noted = yield from note.write(
            expected, owner, in_doubt=self._in_doubt, optional=request.optional
        )
        if isinstance(noted, Record) and noted.pending is None:
            return self._take_over(noted)
        if noted is None:
            # No note, no refresh token: whoever comes next could send it a second time.
            spend = None
        else:
            expected = noted.version
        limit = self._limit
        if not (yield from Outlives(limit + _CLEARANCE_S)):
            yield from note.take_back()
            message = "the store's lock would not outlive the exchange"
            raise RenewalTimeoutError(message)
        # Of now: should another take over from us meanwhile, its record is no older than ours.
        generation = account.known.generation + 1
        number = account.begin()
        result = yield from exchange(account, settings, spend, early=request.optional)
        if isinstance(result, Record):
            held = self._take_over(result)
            if held is None and request.urgency is Urgency.FORCED:
                # Not None: an exchange has been sent, so the flow must not end with its reply.
                message = "somebody else renewed meanwhile, but that token has expired as well"
                raise RenewalTimeoutError(message)
            return held
        if isinstance(result, Failed):
            yield from note.came_to_nothing(result, broken=broken)
            raise result.error
        return (yield from self._adopt(result, generation, number, expected, owner))

    @property
    def _limit(self) -> float:
        limits = self._settings.timeouts
        return limits.early_exchange if self._request.optional else limits.exchange

    def _adopt(
        self, issued: Issued, generation: int, number: int, expected: Version, owner: str
    ) -> Flow[HeldToken | None]:
        account = self._account
        throttle, now = account.known.throttle, account.clock.time()
        if self._forced and not self._request.replayed:
            # Nothing will show that it helps, for that request is not repeated.
            throttle = throttle.did_not_help(now, self._request.kind, forced=False)
        elif self._forced:
            throttle = throttle.forced(now)
            if throttle.contention(now) > 0.0:
                self.reports.contention(throttle.contention(now))
        ahead = account.known.ahead_now(account.clock)
        new = Record(generation, issued.token, None, throttle, server_ahead=ahead)
        held = account.adopt(new, exchange=number)
        problem = yield from save_token(account, new, expected, owner)
        if isinstance(problem, Record):
            # The lock lapsed, and somebody else went on from our note: theirs counts.
            self._take_over(problem)
            return account.known.held
        if problem is not None:
            self.reports.save_failed(generation, problem)
        self.reports.issued(held, implicit=issued.implicit)
        return held
