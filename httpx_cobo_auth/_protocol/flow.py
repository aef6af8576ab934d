"""The flow of one request: attach, send, judge, renew, replay, give up. It only decides.

The theory, from ``httpx.Auth``: the answer to the *last* request that a flow yields is what
the caller gets. So whoever has asked for an exchange sends the caller's request once more, or
raises; handing back a refusal is only possible where no exchange came after it.

A read with a FRESH token passes through without a lock, a store or any I/O of ours:
``choose`` returns at once. A write also enters itself as in flight, because an exchange may
kill the token that it carries, and a write is not repeated unasked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from httpx_cobo_auth._protocol.effects import BeginWrite, CorrectClock, EndWrite, Flow, Send
from httpx_cobo_auth._protocol.maintenance import (
    forget,
    look_for_newer,
    record_ineffective,
    save_later,
)
from httpx_cobo_auth._protocol.renew import renew
from httpx_cobo_auth._protocol.renewal_request import RenewalRequest, Urgency
from httpx_cobo_auth._protocol.tokens import TokenState
from httpx_cobo_auth._protocol.verdicts import Verdict, classify_response
from httpx_cobo_auth.errors import CoboAuthError, RenewalTimeoutError

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.effects import ResponseSummary
    from httpx_cobo_auth._protocol.tokens import HeldToken

__all__ = ["Call", "CoboFlow", "signed_flow"]

_MAX_RENEWALS = 4
_MAX_SUPERSEDED = 3
_REFUSALS = (Verdict.REFUSED, Verdict.REFUSED_OR_FAILED)


class _Url(Protocol):
    @property
    def path(self) -> str: ...


@dataclass(slots=True)  # Not frozen: one is made for every request, and that takes longer.
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
    def cause(self) -> str:
        """What to know the request by, should it be refused: method and path."""
        return f"{self.method} {self.url.path}"


@dataclass(slots=True)
class _Tries:
    """What has been tried for one request; each of it only so often."""

    clock_corrected: bool = False
    looked: bool = False
    forced: bool = False
    superseded: int = 0


class CoboFlow:
    """The flows of one organization.

    Args:
        account: the state shared by all of them.
        verified: whether the environment has a key to verify answers by.
        shared: whether other processes may write to the same store.

    """

    def __init__(self, account: Account, *, verified: bool, shared: bool) -> None:
        """Bind what every flow needs."""
        self._account = account
        self._verified = verified
        self._shared = shared

    def request(self, call: Call) -> Flow[None]:
        """Carry one request of the caller's through."""
        account = self._account
        clock = account.settings.clock
        tries: _Tries | None = None
        while True:
            held = account.held
            if call.write or held is None or not account.settled or not held.is_fresh(clock):
                held = yield from self._choose(write=call.write)
            answer: ResponseSummary = yield Send(held)
            verdict = classify_response(answer)
            if verdict is Verdict.ACCEPTED:
                if account.throttle.ineffective_count:
                    account.accepted(call.cause)
                return
            tries = tries or _Tries()
            if verdict is Verdict.CLOCK_OFF and not tries.clock_corrected:
                tries.clock_corrected = True
                yield CorrectClock(answer.seconds_off or 0.0)
            elif verdict is Verdict.FORBIDDEN and not tries.looked:
                tries.looked = True
                if not (yield from look_for_newer(account, held)):
                    return
            elif verdict in _REFUSALS:
                if not (yield from self._mend(call, held, verdict, tries)):
                    return
            else:
                return

    def _mend(self, call: Call, held: HeldToken, verdict: Verdict, tries: _Tries) -> Flow[bool]:
        """Get another token after a refusal; tell whether the request is to be sent again."""
        account = self._account
        if verdict is Verdict.REFUSED_OR_FAILED and call.write and not call.replay:
            # It may have run. Whether it shall run again is the caller's to decide.
            account.refuse(held, call.cause)
            return False
        if account.held is not held and tries.superseded < _MAX_SUPERSEDED:
            # A newer token came while the request was under way: nothing was forced.
            tries.superseded += 1
            return True
        if tries.forced:
            yield from record_ineffective(account, call.cause)
            return False
        epoch = account.epoch
        try:
            renewed, _ = yield from self._renew(RenewalRequest(Urgency.FORCED, held))
        except CoboAuthError:
            # Refused, and not replaced: the next flow tries that first, lest a write be refused.
            if account.refused is not held:
                account.refuse(held, "")
            raise
        if account.epoch == epoch and tries.superseded < _MAX_SUPERSEDED:
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
        need = RenewalRequest(
            Urgency.EXPLICIT, account.held, sent_after=account.settings.clock.time()
        )
        held, _ = yield from self._renew(need)
        if held is None:
            message = "another renewal came first, again and again"
            raise RenewalTimeoutError(message)
        return held

    def forget(self) -> Flow[None]:
        """Drop the token here and in the store."""
        return (yield from forget(self._account))

    # ----------------------------------------------------------------------- choose a token
    def _choose(self, *, write: bool) -> Flow[HeldToken]:
        """Give the token to send; a write is in flight from here on."""
        account = self._account
        clock = account.settings.clock
        tried: int | None = None
        if account.unsaved is not None:
            yield from save_later(account)
        for _ in range(_MAX_RENEWALS):
            if write:
                yield BeginWrite()
            held = account.held
            if held is not None and account.settled and held.is_fresh(clock):
                return held
            need = self._need(tried, write=write)
            if need is None and held is not None:
                return held
            if write:
                yield EndWrite()
            if need is not None:
                renewed, tried = yield from self._renew(need)
                if renewed is not None and not write:
                    return renewed
        message = "tokens expire, or are replaced, faster than they can be used"
        raise RenewalTimeoutError(message)

    def _need(self, tried: int | None, *, write: bool) -> RenewalRequest | None:
        """Tell what kind of renewal has to come first, if any.

        ``tried`` is the count of exchanges at the end of the last attempt; once tried, only
        an exchange begun since, whose end nobody knows, is reason to try again.
        """
        account = self._account
        held, state = account.held, account.state
        if held is None or state is TokenState.EXPIRED:
            return RenewalRequest(Urgency.REQUIRED, None)
        if account.begun and account.epoch != tried:
            return RenewalRequest(Urgency.DOUBT, held, patient=write)
        if tried is not None:
            return None
        cause = account.refused_cause
        if account.refused is held and not (cause and account.forced_wait() > 0.0):
            # A write that was refused is not repeated, so nothing shows that this helps. Without
            # one the token was exposed, or no new one was to be had just now: that forces
            # nothing, and a read need not wait for the next attempt.
            patient = write or bool(cause)
            return RenewalRequest(Urgency.DOUBT, held, patient=patient, cause=cause)
        if state is TokenState.STALE:
            return RenewalRequest(Urgency.EARLY, held, patient=write)
        return None

    def _renew(self, need: RenewalRequest) -> Flow[tuple[HeldToken | None, int]]:
        return (yield from renew(self._account, need, verified=self._verified, shared=self._shared))


def signed_flow() -> Flow[None]:
    """Carry one request through that is only signed (Cobo Auth), without a token."""
    answer: ResponseSummary = yield Send(None)
    if classify_response(answer) is Verdict.CLOCK_OFF:
        yield CorrectClock(answer.seconds_off or 0.0)
        yield Send(None)
