"""The renewal itself, by the one who has this process's seat.

In this order: the store's lock, re-read (a newer token ends it), drain the writes in flight,
note the exchange as begun, check that the lock will outlive it, exchange, save.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.effects import Drain, Flow, Load, LockStore, Outlives, Save, Sleep
from httpx_cobo_auth._protocol.maintenance import newer_record
from httpx_cobo_auth._protocol.records import PendingExchange, Record
from httpx_cobo_auth._protocol.renewal_request import Urgency
from httpx_cobo_auth._protocol.reports import RenewalReports
from httpx_cobo_auth._protocol.token_endpoint import Failed, exchange
from httpx_cobo_auth.errors import (
    CoboAuthError,
    RenewalTimeoutError,
    StoreConflictError,
    StoreError,
    TokenRefusedError,
)

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.records import Version
    from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
    from httpx_cobo_auth._protocol.token_endpoint import Issued
    from httpx_cobo_auth._protocol.tokens import HeldToken, Token

__all__ = ["Renewal"]

_REFUSAL_HOLD_S = 10.0
_LONGEST_RETRY_AFTER_S = 600.0
_CLEARANCE_S = 2.0
_GRACE_FRACTION = 1 / 4


class Renewal:
    """A renewal by whoever has the seat."""

    def __init__(
        self, account: Account, need: RenewalRequest, *, verified: bool, shared: bool
    ) -> None:
        """Prepare; nothing is tried yet."""
        self.news: RenewalReports = RenewalReports(account)
        self._account = account
        self._settings = account.settings
        self._need = need
        self._verified = verified
        self._shared = shared
        self._attempted = False
        # Whether it counts as forced. Where an exchange was lost, that explains the refusal.
        self._forced = need.forced and not account.begun

    def failed(self, error: CoboAuthError) -> None:
        """Report a failure and remember it, unless it was only remembered itself."""
        if not self._attempted:
            return
        retry_after = min(getattr(error, "retry_after", None) or 0.0, _LONGEST_RETRY_AFTER_S)
        in_doubt = self._need.urgency is not Urgency.EARLY
        self._account.early_failed(in_doubt=in_doubt, at_least=retry_after)
        self.news.failed(error)
        refused = isinstance(error, TokenRefusedError)
        asked = not isinstance(error, (StoreError, RenewalTimeoutError))
        if refused or (asked and not self._need.optional):
            hold = _REFUSAL_HOLD_S if refused else 0.0
            self._account.failed(error, at_least=max(hold, retry_after))

    def run(self) -> Flow[HeldToken | None]:
        """Renew, unless there is no need any more."""
        account, need = self._account, self._need
        held = need.met_by(account)
        if held is not None:
            return held
        # A write waits for the store's lock all the same: another process may be renewing.
        if not self._in_time and not (need.patient and self._shared):
            return None
        held_off = self._held_off
        remembered = account.held_failure()
        # By another process; to wait for that forces nothing.
        under_way = False
        if account.held is None or need.forced or (remembered is not None and not need.optional):
            # That needs no lock. Whoever would fail looks, however often that is: another
            # process may have got a token meanwhile.
            record = yield from self._glance()
            under_way = self._shared and record is not None and record.pending is not None
            held = self._take_over(record) if record is not None and not record.pending else None
            if held is not None:
                return held
        if held_off and not under_way:
            return None
        if remembered is not None and not need.optional and not held_off:
            raise copy.copy(remembered)
        self._attempted = True
        settings = self._settings
        longest = settings.timeouts.early_exchange if need.optional else settings.timeouts.lock
        locked: bool = yield LockStore(longest if need.patient else 0.0)
        if locked:
            return (yield from self._locked())
        if need.optional or held_off:
            return None
        message = "waited in vain for another process to renew the token"
        raise RenewalTimeoutError(message)

    @property
    def _in_time(self) -> bool:
        """Whether a renewal that could as well come later may be tried now."""
        return not self._need.optional or self._account.early_allowed()

    @property
    def _held_off(self) -> bool:
        """Whether renewals that refusals ask for have to wait."""
        return self._forced and self._account.forced_wait() > 0.0

    def _glance(self) -> Flow[Record | None]:
        """Give the stored record, if it can be read just now."""
        try:
            record: Record | None = yield Load()
        except StoreError:
            return None
        return record

    def _take_over(self, record: Record) -> HeldToken | None:
        account = self._account
        if account.is_newer(record):
            account.saw(record)
            self.news.taken_over(account.adopt(record))
        return self._need.met_by(account)

    def _locked(self) -> Flow[HeldToken | None]:
        account = self._account
        record: Record = (yield Load()) or Record()
        expected = record.version
        unsaved = account.unsaved
        if unsaved is not None and unsaved.expected == expected:
            record = unsaved.record
        else:
            account.unsaved = None
        # Also where an exchange of ours, for which no note could be written, was lost.
        lost = account.begun and not account.is_newer(record)
        broken = lost or record.pending is not None or account.rolled_back(record)
        held = self._take_over(record)
        account.saw(record)
        if broken:
            # An exchange whose end nobody knows: the token may have died with it.
            account.begin()
            self._forced = False
        elif held is not None:
            return held
        if not self._in_time or self._held_off:
            return None
        if not (yield from self._writes_ended()):
            return None
        spend = None if broken or record.token is None else record.token
        if spend is not None and spend.refresh_token is None:
            spend = None
        return (yield from self._exchange(record, expected, spend))

    def _writes_ended(self) -> Flow[bool]:
        """Drain the writes in flight: a new token may kill the one they carry."""
        drained: bool = yield Drain(self._settings.timeouts.drain)
        if not drained and self._need.urgency is Urgency.EARLY:
            self._account.early_failed()
            return False
        held = self._account.usable
        if self._shared and held is not None and self._need.optional:
            window = held.token.renewal_window
            yield Sleep(min(self._settings.timeouts.grace, window * _GRACE_FRACTION))
        return True

    def _exchange(
        self, record: Record, expected: Version, spend: Token | None
    ) -> Flow[HeldToken | None]:
        account, need, settings = self._account, self._need, self._settings
        pending = PendingExchange(settings.new_owner(), settings.clock.time())
        noted = record.with_pending(pending)
        try:
            yield Save(noted, expected)
            expected = noted.version
            account.unsaved = None
        except StoreConflictError:
            # The lock lapsed, and somebody else went on: perhaps there is a token by now.
            theirs = yield from newer_record(account)
            if theirs is None:
                raise
            return self._take_over(theirs)
        except StoreError as error:
            if need.optional:
                raise
            # No note, no refresh token: whoever comes next could send it a second time.
            self.news.save_failed(record.generation, error)
            spend = None
        early = need.optional
        limit = settings.timeouts.early_exchange if early else settings.timeouts.exchange
        if not (yield Outlives(limit + _CLEARANCE_S)):
            yield from self._take_back(record, expected, noted=record.pending is not None)
            message = "the store's lock would not outlive the exchange"
            raise RenewalTimeoutError(message)
        # Of now: should another take over from us meanwhile, its record is no older than ours.
        generation = account.next_generation
        account.begin()
        result = yield from exchange(account, spend, verified=self._verified, early=early)
        if isinstance(result, Record):
            held = self._take_over(result)
            if held is None and need.urgency is Urgency.FORCED:
                # Not None: an exchange has been sent, so the flow must not end with its answer.
                message = "somebody else renewed meanwhile, but that token has expired as well"
                raise RenewalTimeoutError(message)
            return held
        if isinstance(result, Failed):
            if spend is not None and result.unspent:
                yield from self._take_back(record, expected, noted=False)
                account.begun = False
            raise result.error
        return (yield from self._adopt(result, generation, expected))

    def _take_back(self, record: Record, expected: Version, *, noted: bool) -> Flow[None]:
        """Take the note back: the refresh token has not left. An older note stays."""
        if noted or record.version == expected:
            return
        try:
            yield Save(record, expected)
        except StoreError as error:
            self.news.save_failed(record.generation, error)

    def _adopt(self, issued: Issued, generation: int, expected: Version) -> Flow[HeldToken | None]:
        account = self._account
        throttle = account.throttle
        now = self._settings.clock.time()
        if self._forced:
            throttle = throttle.forced(now)
            if self._need.cause:
                throttle = throttle.ineffective(now, self._need.cause)
            account.throttle = throttle
            if throttle.contention(now) > 0.0:
                self.news.contention(throttle.contention(now))
        new = Record(generation, issued.token, None, throttle)
        held = account.adopt(new)
        account.unsaved = None
        try:
            yield Save(new, expected)
        except StoreConflictError:
            # The lock lapsed, and somebody else went on from our note: theirs counts.
            theirs = yield from newer_record(account)
            if theirs is not None:
                self._take_over(theirs)
                return account.held
        except StoreError as error:
            account.keep_unsaved(new, expected)
            self.news.save_failed(generation, error)
        self.news.issued(held, implicit=issued.implicit)
        return held
