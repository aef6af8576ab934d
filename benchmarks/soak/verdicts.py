"""Whether a call that failed had to. Judged by the facts of the ledger, not by what the call says.

Exempt are: calls of killed processes; those that met a fault themselves; with a plain ``auth=``
the one that carried an exchange which broke on the way; those for which no token was to be had,
because no exchange got through while the last one lived; and writes that were refused because
their token had died before its time, which are for the caller to repeat.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

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
_BREAKING = {"drop", "hang"}
_LONGEST_HOLD_S = 30.0
_AFTER_STEP_S = 5.0


class Verdict(enum.Enum):
    """What is to be thought of a call."""

    FINE = "answered"
    NEEDLESS = "failed needlessly"
    INJECTED = "own fault"
    CARRIED = "carried a broken exchange"
    DOWN = "endpoint down"
    HELD = "endpoint just down"
    BOUNCED = "write handed back"
    KILLED = "killed"


def judge(call: Call, ledger: Ledger, killed: set[str]) -> tuple[Verdict, str]:
    """Give the verdict on one call, and the reason where it is none of the plain ones."""
    if call.good:
        return Verdict.FINE, ""
    if call.ended is None:
        return (Verdict.KILLED, "") if call.worker in killed else (Verdict.NEEDLESS, "no end")
    what, outcome = call.last_attempt
    request = ledger.of_call(call.name, for_token=False)
    exchange = ledger.of_call(call.name, for_token=True)
    outage = ledger.outage(call.begun, call.ended)
    if what == "api":
        if _fits(call, request) or (outage and outcome in _TRANSPORT):
            return Verdict.INJECTED, ""
        if call.method == "POST" and not call.replay and call.status == 500:  # noqa: PLR2004
            return _bounced(request, ledger)
    broken = exchange is not None and exchange.fault in _BREAKING
    if what == "token" and call.plain and call.error in _TRANSPORT and (outage or broken):
        return Verdict.CARRIED, ""
    if call.error in _NO_TOKEN and what != "api":
        return _without_token(call, call.ended, ledger)
    return Verdict.NEEDLESS, "no fault accounts for it"


def _fits(call: Call, request: Arrival | None) -> bool:
    """Tell whether the fault that the request met explains the outcome."""
    if request is None or request.fault is None:
        return False
    if request.fault == "answer":
        return call.status == request.status
    if request.fault in _BREAKING:
        return call.error in _TRANSPORT
    return call.error == "ResponseSignatureError"


def _bounced(request: Arrival | None, ledger: Ledger) -> tuple[Verdict, str]:
    """Judge a write that was refused for a dead token by a 500/1000, which is not replayed."""
    life = ledger.lives_by_token.get(request.bearer) if request is not None else None
    if request is None or request.fault is not None or life is None or request.at < life.died:
        return Verdict.NEEDLESS, "a write was handed back, but its token was alive"
    reason = _before_its_time(life, ledger)
    if reason:
        return Verdict.BOUNCED, reason
    return Verdict.NEEDLESS, f"a write was sent {request.at - life.died:.2f} s after {life.cause}"


def _before_its_time(life: Life, ledger: Ledger) -> str:
    """Tell why a token died without its holders' knowing; empty where they should have known."""
    if life.cause == "revoked":
        return "revoked"
    if life.heir is not None and life.heir.fault is not None:
        return "replaced by an exchange that was tampered with"
    if any(life.exchange.at <= step <= life.died + _AFTER_STEP_S for step in ledger.steps):
        return "a clock was stepped in its time"
    return ""


def _without_token(call: Call, ended: float, ledger: Ledger) -> tuple[Verdict, str]:
    """Judge a call that failed because no token was to be had."""
    everybody = ledger.exchanged(call.org_id, call.begun - _LONGEST_HOLD_S, ended)
    mine = [one for one in everybody if one.worker == call.worker]
    now = [one for one in mine if one.at >= call.begun]
    outage = ledger.outage(call.begun, ended)
    if now or outage:
        last = now[-1].at if now else ended
        if any(one.fault is None for one in now):
            return Verdict.NEEDLESS, "an exchange got through"
        if ledger.token_at(call.org_id, last) is not None:
            return Verdict.NEEDLESS, "there was a token when the last exchange was sent"
        return Verdict.DOWN, ""
    if ledger.token_at(call.org_id, ended) is not None:
        return Verdict.NEEDLESS, "a token had been delivered, and was good"
    if mine and mine[-1].fault is not None:
        return Verdict.HELD, ""
    if ledger.outage(call.begun - _LONGEST_HOLD_S, ended):
        return Verdict.HELD, ""
    return Verdict.NEEDLESS, "no exchange had failed"
