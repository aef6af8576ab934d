"""Whether a call that failed had to. Judged by the facts of the ledger, not by what the call says.

Exempt are: calls of killed processes; those that met a fault themselves; with a plain ``auth=``
the one that carried an exchange which broke on the way; those for which no token was to be had,
because no exchange got through while the last one lived; those whose own store failed; and writes
that were refused because their token had died before its time, or while they took longer than
other processes leave a write: these are for the caller to repeat. And as documented, for 30 s after
a renewal that nothing shows to have helped, requests whose dead token had not been accepted before.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from benchmarks.soak.calls import GRACE_S

if TYPE_CHECKING:
    from benchmarks.soak.calls import Call
    from benchmarks.soak.ledger import Arrival, Ledger, Life

_TRANSPORT = {
    "ConnectError",
    "ConnectTimeout",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "WriteError",
}
_NO_TOKEN = {
    "RenewalTimeoutError",
    "ResponseSignatureError",
    "TokenEndpointError",
    "TokenReplyError",
}
_NO_STORE = {"StoreError", "StoreConflictError", "StoreUnavailableError"}
_UNEXPLAINED = "no fault accounts for it"
_REFUSED = {401, 500}
_BREAKING = {"drop", "hang"}
_LONGEST_HOLD_S = 30.0


class Verdict(enum.Enum):
    """What is to be thought of a call."""

    FINE = "answered"
    NEEDLESS = "failed needlessly"
    INJECTED = "own fault"
    CARRIED = "carried a broken exchange"
    DOWN = "endpoint down"
    HELD = "backing off after that"
    STORELESS = "store down"
    BOUNCED = "write with a dead token"
    KILLED = "killed"


_WHILE_WELL = {Verdict.NEEDLESS, Verdict.BOUNCED}
"""Failures for which the endpoint need not have been ill."""


def judge(call: Call, ledger: Ledger, killed: set[str]) -> tuple[Verdict, str]:
    """Give the verdict on one call, and the reason where it is none of the plain ones."""
    if call.good:
        return Verdict.FINE, ""
    if call.ended is None:
        return (Verdict.KILLED, "") if call.worker in killed else (Verdict.NEEDLESS, "no end")
    what, outcome = call.last_attempt
    if what == "api":
        return _refused(call, ledger, cut=_cut(call, outcome, ledger))
    return _unsent(call, what, call.ended, ledger, cut=_cut(call, outcome, ledger))


def twice_in_a_row(judged: list[tuple[Call, Verdict]], ledger: Ledger) -> list[tuple[Call, Call]]:
    """Give the calls that failed, each with the next of its program that did, for one organization.

    Next is the first that began after the failure was known. Failures that a fault explains do not
    count, nor those while the endpoint or the store was not well.
    """
    programs: dict[tuple[str, str], list[tuple[Call, Verdict]]] = {}
    for call, verdict in sorted(judged, key=lambda each: each[0].begun):
        programs.setdefault((call.worker, call.org_id), []).append((call, verdict))
    pairs: list[tuple[Call, Call]] = []
    for calls in programs.values():
        for first, verdict in calls:
            ended = first.ended
            if verdict not in _WHILE_WELL or ended is None:
                continue
            following = next((each for each in calls if each[0].begun > ended), None)
            if following and following[1] in _WHILE_WELL and _well(first, following[0], ledger):
                pairs.append((first, following[0]))
    return pairs


def _well(first: Call, second: Call, ledger: Ledger) -> bool:
    """Tell whether nothing kept a program from renewing between two calls."""
    begun, ended = first.begun, second.ended or second.begun
    # The last one before says whether there was anything to wait for.
    exchanges = [
        *ledger.exchanged(first.org_id, 0.0, begun)[-1:],
        *ledger.exchanged(first.org_id, begun, ended),
    ]
    return (
        all(one.fault is None for one in exchanges)
        and not ledger.outage(begun, ended)
        and ledger.stored(first.worker, begun, ended)
    )


def _unsent(
    call: Call, what: str, ended: float, ledger: Ledger, *, cut: bool
) -> tuple[Verdict, str]:
    """Judge a call that failed before the request itself was sent."""
    exchange = ledger.of_call(call.name, for_token=True)
    broken = cut or (exchange is not None and exchange.fault in _BREAKING)
    if what == "token" and call.plain and call.error in _TRANSPORT and broken:
        return Verdict.CARRIED, ""
    if call.error in _NO_TOKEN:
        return _without_token(call, ended, ledger)
    return (Verdict.STORELESS, "") if _storeless(call, ledger) else (Verdict.NEEDLESS, _UNEXPLAINED)


def _storeless(call: Call, ledger: Ledger) -> bool:
    """Tell whether the call failed of its own store, which did fail, and had no token in memory."""
    ended = call.ended or call.begun
    return (
        call.error in _NO_STORE
        and not ledger.stored(call.worker, call.begun, ended)
        and not ledger.in_memory(call.worker, call.org_id, call.begun, ended)
    )


def _cut(call: Call, outcome: str, ledger: Ledger) -> bool:
    """Tell whether the last attempt broke while nobody could connect."""
    return outcome in _TRANSPORT and ledger.outage(call.begun, call.ended or call.begun)


def _refused(call: Call, ledger: Ledger, *, cut: bool) -> tuple[Verdict, str]:
    """Judge a call that failed after the request itself was sent."""
    request = ledger.of_call(call.name, for_token=False)
    if cut or (request is not None and _fits(call, request)):
        return Verdict.INJECTED, ""
    if call.error in _NO_TOKEN:
        return _without_token(call, call.ended or call.begun, ledger)
    if _storeless(call, ledger):
        return Verdict.STORELESS, ""
    return (Verdict.NEEDLESS, _UNEXPLAINED) if request is None else _returned(call, request, ledger)


def _returned(call: Call, request: Arrival, ledger: Ledger) -> tuple[Verdict, str]:
    """Judge a call whose refusal was returned as it came."""
    opted_out = call.method == "POST" and not call.replay
    if opted_out and call.status == 500:  # noqa: PLR2004
        return _bounced(call, request, ledger)
    if call.status in _REFUSED and _dead(request, ledger):
        if ledger.held_off(request):
            return Verdict.HELD, "another renewal had not been shown to help"
        # Refused, and refused again by the token that there was: why was there no other?
        return _without_token(call, call.ended or call.begun, ledger)
    return Verdict.NEEDLESS, _UNEXPLAINED


def _fits(call: Call, request: Arrival) -> bool:
    """Tell whether the fault that the request met explains the outcome."""
    if request.fault is None:
        return False
    if request.fault in _BREAKING:
        return call.error in _TRANSPORT
    return call.error == "ResponseSignatureError" or call.status == request.status


def _dead(request: Arrival, ledger: Ledger) -> bool:
    life = ledger.lives_by_token.get(request.bearer)
    return life is not None and request.at >= life.died


def _bounced(call: Call, request: Arrival, ledger: Ledger) -> tuple[Verdict, str]:
    """Judge a write that was refused for a dead token by a 500/1000, which is not replayed."""
    life = ledger.lives_by_token.get(request.bearer)
    if life is None or request.at < life.died:
        return Verdict.NEEDLESS, "a write was handed back, but its token was alive"
    reason = _before_its_time(life, request.at, ledger)
    if reason:
        return Verdict.BOUNCED, reason
    heir = life.heir
    if heir is not None and heir.worker != call.worker and call.begun < heir.at - GRACE_S:
        return Verdict.BOUNCED, "took longer than other processes leave a write"
    by = f" by {life.heir.call}" if life.heir is not None else ""
    age = f"{life.died - life.exchange.at:.1f} s of {life.lifetime:g}"
    after = f"{request.at - life.died:.2f} s after {life.cause}{by} at {age}"
    return Verdict.NEEDLESS, f"a write was sent {after}"


def _before_its_time(life: Life, at: float, ledger: Ledger) -> str:
    """Tell why a token was dead by then without its holders' knowing; empty if they had to know."""
    if life.cause == "revoked":
        return "revoked"
    if life.heir is not None and life.heir.fault is not None:
        return "replaced by an exchange whose answer was spoilt"
    # Also after its death: to a process that starts by a clock set back, it is alive again.
    return ledger.doubted(life, at)


def _without_token(call: Call, ended: float, ledger: Ledger) -> tuple[Verdict, str]:
    """Judge a call that failed because no token was to be had."""
    mine = [
        one
        for one in ledger.exchanged(call.org_id, call.begun - _LONGEST_HOLD_S, ended)
        if one.worker == call.worker
    ]
    now = [one for one in mine if one.at >= call.begun]
    last = now[-1].at if now else ended
    life = ledger.token_at(call.org_id, now[0].at if now else call.begun, last)
    reason = ledger.doubted(life, last) if life is not None else ""
    if any(one.fault is None for one in now):
        return Verdict.NEEDLESS, "an exchange got through"
    if not ledger.stored(call.worker, call.begun, ended):
        good = ledger.in_memory(call.worker, call.org_id, call.begun, ended)
        return (Verdict.NEEDLESS, "it had a good token") if good else (Verdict.STORELESS, reason)
    if life is not None and not reason:
        return Verdict.NEEDLESS, "there was a good token in the store"
    if now or ledger.outage(call.begun, ended):
        return Verdict.DOWN, reason
    failed_before = mine and mine[-1].fault is not None
    if failed_before or ledger.outage(call.begun - _LONGEST_HOLD_S, ended):
        return Verdict.HELD, reason
    return Verdict.NEEDLESS, "no exchange had failed"
