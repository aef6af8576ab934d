"""The flow of one request: attach, send, classify, renew, replay, give up. It only decides.

The theory, from ``httpx.Auth``: the response to the *last* request that a flow yields is what
the caller gets. So whoever has sent an exchange through the flow sends the caller's request once
more, or raises; a refusal is only returned where no exchange came after it.

A read with a token that is FRESH and TRUSTED passes without a lock, a store or any I/O of ours.
A write also enters itself as in flight, because an exchange may kill the token that it carries,
and a write is not replayed unasked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from httpx_cobo_auth._protocol.effects import (
    BeginWrite,
    CorrectClock,
    Emit,
    EndWrite,
    Flow,
    Load,
    Send,
)
from httpx_cobo_auth._protocol.known import Urgency
from httpx_cobo_auth._protocol.maintenance import forget, look_for_newer, save_later, write_down
from httpx_cobo_auth._protocol.records import Trust
from httpx_cobo_auth._protocol.renew import obtain
from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
from httpx_cobo_auth._protocol.reports import request_refused, request_replayed
from httpx_cobo_auth._protocol.status import status_of, with_record
from httpx_cobo_auth._protocol.throttle import kind_of
from httpx_cobo_auth._protocol.verdicts import Verdict, classify_response
from httpx_cobo_auth.errors import CoboAuthError, RedirectedError, RenewalTimeoutError, StoreError

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.effects import ResponseSummary
    from httpx_cobo_auth._protocol.records import TokenTrust
    from httpx_cobo_auth._protocol.settings import Settings
    from httpx_cobo_auth._protocol.status import TokenStatus
    from httpx_cobo_auth._protocol.tokens import HeldToken

__all__ = ["Call", "CoboFlow", "signed_flow"]

_MAX_RENEWALS = 4
_MAX_SUPERSEDED = 3
_REFUSALS = (Verdict.REFUSED, Verdict.REFUSED_OR_FAILED)


class _Url(Protocol):
    @property
    def path(self) -> str: ...


@dataclass(slots=True)  # Not frozen: one is made for many requests, and that takes longer.
class Call:
    """What the flow has to know of the caller's request.

    Attributes:
        method: in capitals.
        url: of the request; all that is read of it is its path.
        write: whether it may change something, so that it must not run twice.
        replay: whether the caller asked for it to be replayed after a 500/1000 all the same.

    """

    method: str
    url: _Url
    write: bool
    replay: bool = False

    @property
    def kind(self) -> str:
        """Method, and path without identifiers."""
        return kind_of(self.method, self.url.path)


@dataclass(slots=True)
class _Tries:
    """What has been tried for one request; each of it only so often."""

    clock_corrected: bool = False
    looked: bool = False
    forced: bool = False
    superseded: int = 0


class CoboFlow:
    """The flows of one auth object.

    Args:
        account: the state shared by all auth objects of the account.
        settings: of this one.

    """

    def __init__(self, account: Account, settings: Settings) -> None:
        self._account = account
        self._settings = settings

    def ready(self) -> HeldToken | None:
        """Return the token that a request can carry at once, if nothing has to come before.

        The first step of each request: where there is one, and its response says nothing of our
        credentials, ``request`` need not be called.
        """
        account = self._account
        held = account.known.ready
        return held if held is not None and held.is_fresh(account.clock) else None

    def request(self, call: Call, sent: HeldToken | None = None) -> Flow[None]:
        """Carry one request of the caller's through.

        Args:
            call: what is to be known of it.
            sent: the token that it was sent with already, if it was.

        """
        account = self._account
        tries = _Tries()
        while True:
            held = sent or (yield from self._choose(write=call.write))
            try:
                response = yield from Send(held, sent=sent is not None)
            except RedirectedError:
                account.distrust(held, Trust.EXPOSED)
                yield from write_down(account, self._settings)
                raise
            sent = None
            if held.unchecked:
                account.saw_server_time(response.server_time)
            if not (yield from self._again(call, held, response, tries)):
                if classify_response(response) is not Verdict.ACCEPTED:
                    yield from Emit(request_refused(account, call.kind, response.status))
                return
            yield from Emit(request_replayed(account, call.kind))

    def _again(
        self, call: Call, held: HeldToken, response: ResponseSummary, tries: _Tries
    ) -> Flow[bool]:
        """Do what can be done about a refusal, and return whether to send the request again."""
        account, verdict = self._account, classify_response(response)
        if verdict is Verdict.CLOCK_OFF and not tries.clock_corrected:
            tries.clock_corrected = True
            yield from CorrectClock(response.seconds_off or 0.0)
            return True
        if verdict is Verdict.FORBIDDEN and not tries.looked:
            tries.looked = True
            return (yield from look_for_newer(account, held))
        if verdict is Verdict.ACCEPTED and account.known.throttle.ineffective:
            yield from self._accepted(call, held, response, tries)
        return verdict in _REFUSALS and (yield from self._mend(call, held, verdict, tries))

    def _accepted(
        self, call: Call, held: HeldToken, response: ResponseSummary, tries: _Tries
    ) -> Flow[None]:
        """Take note, while renewals are held off, of what shows that a token works."""
        # A gateway, or a server in trouble, may not have looked at the token.
        looked_at = response.status < 500  # noqa: PLR2004 - what 5XX means
        if looked_at and self._account.accepted(call.kind, held, forced=tries.forced):
            yield from write_down(self._account, self._settings)

    def _mend(self, call: Call, held: HeldToken, verdict: Verdict, tries: _Tries) -> Flow[bool]:
        """Get another token after a refusal, and return whether to send the request again."""
        account = self._account
        if verdict is Verdict.REFUSED_OR_FAILED and call.write and not call.replay:
            # It may have run. Whether it shall run again is the caller's to decide.
            if account.distrust(held, Trust.REFUSED, call.kind):
                yield from write_down(account, self._settings)
            return False
        if not account.holds(held) and tries.superseded < _MAX_SUPERSEDED:
            # A newer token came while the request was under way: nothing was forced.
            tries.superseded += 1
            return True
        if tries.forced:
            if account.did_not_help(call.kind, forced=True):
                yield from write_down(account, self._settings)
            return False
        exchanges = account.known.exchanges
        request = RenewalRequest(Urgency.FORCED, held, kind=call.kind, replayed=True)
        try:
            renewed = yield from obtain(account, self._settings, request)
        except CoboAuthError:
            # Refused, and not replayed: the next flow renews first, lest a write be refused.
            if account.distrust(held, Trust.REFUSED):
                yield from write_down(account, self._settings)
            raise
        if account.known.exchanges == exchanges and tries.superseded < _MAX_SUPERSEDED:
            # Taken over from another process, if at all: nothing was forced.
            tries.superseded += 1
        else:
            tries.forced = True
        return renewed is not None

    def token(self) -> Flow[HeldToken]:
        """Get a valid token, renewed where it is time to."""
        return (yield from self._choose(write=False))

    def renew(self) -> Flow[HeldToken]:
        """Get a token that was asked for after this call began."""
        account = self._account
        known = account.known
        # The exchange under way, if there is one, was sent before.
        generation, under_way = known.generation, known.in_doubt
        try:
            record = yield from Load()
        except StoreError:
            record = None
        if record is not None:
            generation = max(generation, record.generation)
            under_way = under_way or record.pending is not None
        request = RenewalRequest(
            Urgency.EXPLICIT,
            after_generation=generation + under_way,
            after_exchange=known.exchanges,
        )
        for _ in range(_MAX_RENEWALS):
            held = yield from obtain(account, self._settings, request)
            if held is not None:
                return held
        message = "another renewal came first, again and again"
        raise RenewalTimeoutError(message)

    def status(self) -> TokenStatus:
        """Return what this process knows of the token."""
        return status_of(self._account.known, self._account.clock)

    def stored_status(self) -> Flow[TokenStatus]:
        """Return the same, together with what the store knows."""
        record = yield from Load()
        account = self._account
        known = with_record(account.known, record, account.clock) if record else account.known
        return status_of(known, account.clock)

    def forget(self) -> Flow[None]:
        """Drop the token here and in the store."""
        return (yield from forget(self._account, self._settings))

    # ----------------------------------------------------------------------- choose a token
    def _choose(self, *, write: bool) -> Flow[HeldToken]:
        """Return the token to send; a write is in flight from here on."""
        account = self._account
        tried: tuple[int, TokenTrust] | None = None
        yield from save_later(account, self._settings)
        for _ in range(_MAX_RENEWALS):
            if write:
                yield from BeginWrite()
            request = self._wanted(tried, write=write)
            held = account.known.held
            if request is None and held is not None:
                return held
            if write:
                yield from EndWrite()
            if request is not None:
                before = account.known
                found = yield from obtain(account, self._settings, request)
                if found is None or account.known.exchanges != before.exchanges:
                    tried = account.known.exchanges, before.trust
        message = "tokens expire, or are replaced, faster than they can be used"
        raise RenewalTimeoutError(message)

    def _wanted(
        self, tried: tuple[int, TokenTrust] | None, *, write: bool
    ) -> RenewalRequest | None:
        """Return which renewal has to come first, if any.

        ``tried`` is the count of exchanges after the last attempt, and the trust before it. Once
        tried, only a write tries again, where another exchange has begun since, whose end nobody
        knows, or where the token was refused meanwhile.
        """
        account = self._account
        urgency, trust, known = account.urgency, account.trust, account.known
        if urgency is None or urgency is Urgency.REQUIRED:
            return None if urgency is None else RenewalRequest(urgency)
        new_doubt = trust is not Trust.TRUSTED and (known.exchanges, known.trust) != tried
        if tried is not None and not (write and new_doubt):
            return None
        kind = known.trust.kind if trust is Trust.REFUSED else ""
        if kind and account.forced_wait(kind):
            # A write that was refused is not repeated, so nothing shows that this helps.
            return None
        # A write may be waiting for another process, which renews; a read goes on at once.
        waits = write or trust in (Trust.REFUSED, Trust.EXPOSED)
        if not account.attempt_allowed() and not (waits and self._settings.shared):
            return None
        return RenewalRequest(urgency, known.held, waits, kind)


def signed_flow() -> Flow[None]:
    """Carry one request through that is only signed (Cobo Auth), without a token."""
    response = yield from Send(None)
    if classify_response(response) is Verdict.CLOCK_OFF:
        yield from CorrectClock(response.seconds_off or 0.0)
        yield from Send(None)
