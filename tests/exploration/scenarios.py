"""Where the runs begin, who calls, and what may go wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from httpx_cobo_auth._protocol.effects import ResponseSummary
from httpx_cobo_auth._protocol.flow import CoboFlow
from tests.exploration.players import Actor
from tests.exploration.setting import Scenario, request

__all__ = ["BY_NAME", "FAULTS", "SCENARIOS"]

FRESH_S = 20_000.0
STALE_S = 600.0
EXPIRED_S = 20.0
ALMOST_EXPIRED_S = 32.0
JUMP_S = 5.0
UNAUTHORIZED = ResponseSummary(401)

READ = request()
WRITE = request(write=True)
TOKEN = Actor("token()", CoboFlow.token)
RENEW = Actor("renew()", CoboFlow.renew)
FORGET = Actor("forget()", CoboFlow.forget)
BAD_READ = request("bad read", bad=True, good=(500,))
BAD_WRITE = request("bad write", write=True, bad=True, good=(500,))
PERHAPS_REFUSED = request(write=True, good=(200, 500))
READ_401 = request(good=(401,))
WRITE_401 = request(write=True, good=(401,))
READ_1 = request(process=1)
WRITE_1 = request(write=True, process=1)

# A write does not ask the store while its token is FRESH: another process may have killed it.
PERHAPS_BOUNCED_1 = request(write=True, process=1, good=(200, 500))
BAD_WRITE_1 = replace(BAD_WRITE, process=1)
LEAK = request("leak", good=("RedirectedError",), leaks=True)
READ_OWN = request(delegates=True)
WRITE_OWN = request(write=True, delegates=True)
WRITE_OWN_1 = replace(WRITE_OWN, process=1)
BAD_READ_OWN = replace(BAD_READ, delegates=True)
RENEW_OWN = replace(RENEW, delegates=True)

_NO_TOKEN = ("TokenRefusedError",)
UNINSTALLED = (
    request(good=_NO_TOKEN),
    request(write=True, good=_NO_TOKEN),
    Actor("token()", CoboFlow.token, good=frozenset(_NO_TOKEN)),
)
UNINSTALLED_OWN = tuple(replace(actor, delegates=True) for actor in UNINSTALLED)

SHARED: dict[str, Any] = {"shared": True}
ANEW: dict[str, Any] = {"shared": True, "anew": frozenset({1})}
CRASH: dict[str, Any] = {"crashes": 1, "restarted": (WRITE, READ)}
ALWAYS_401: dict[str, Any] = {"refusal": UNAUTHORIZED, "accepts": False, "exchanges": 3}

SCENARIOS = (
    # Three callers, each of whom may be cancelled or fail once: one of them in the same run.
    Scenario("STALE", (READ, WRITE, WRITE), STALE_S, mishaps=1),
    Scenario("EXPIRED", (READ, WRITE, READ), EXPIRED_S, mishaps=1),
    Scenario("stored", (READ, WRITE, WRITE), FRESH_S, stored=True, exchanges=0, mishaps=1),
    Scenario("bad read", (BAD_READ, WRITE, READ), FRESH_S, mishaps=1),
    Scenario("bad write", (BAD_WRITE, WRITE, READ), FRESH_S, mishaps=1),
    Scenario("renew()", (RENEW, WRITE, WRITE), FRESH_S, mishaps=1),
    Scenario("renew() twice", (RENEW, RENEW, WRITE), FRESH_S, exchanges=2, mishaps=1),
    Scenario("forget()", (FORGET, WRITE, READ), FRESH_S, mishaps=1),
    Scenario("revoked meanwhile", (READ, WRITE, WRITE), FRESH_S, revocations=1, mishaps=0),
    Scenario("uninstalled", UNINSTALLED, None, refuses=True, mishaps=1),
    Scenario("MISSING", (READ, READ, WRITE), None, mishaps=1),
    Scenario("revoked, 500", (READ, READ, PERHAPS_REFUSED), FRESH_S, revoked=True, mishaps=0),
    Scenario("EXPIRED, token()", (TOKEN, WRITE, WRITE), EXPIRED_S, mishaps=1),
    Scenario("revoked, 401", (READ, WRITE), FRESH_S, revoked=True, refusal=UNAUTHORIZED, mishaps=1),
    Scenario(
        "revoked meanwhile, 401",
        (READ, WRITE),
        FRESH_S,
        refusal=UNAUTHORIZED,
        revocations=1,
        mishaps=1,
    ),
    Scenario("noted by somebody gone", (READ, WRITE, WRITE), FRESH_S, noted=True, mishaps=0),
    Scenario("refresh token refused", (READ, WRITE), STALE_S, grants=False, mishaps=2),
    Scenario("expires meanwhile", (READ, WRITE), ALMOST_EXPIRED_S, jump=JUMP_S, mishaps=0),
    Scenario(
        "three, expires meanwhile", (READ, WRITE, WRITE), ALMOST_EXPIRED_S, jump=JUMP_S, mishaps=0
    ),
    Scenario("always 401", (READ_401, WRITE_401), FRESH_S, mishaps=0, **ALWAYS_401),
    Scenario("two reads, always 401", (READ_401, READ_401), FRESH_S, mishaps=0, **ALWAYS_401),
    # Waiting times out; somebody is so slow that the permit or the store's lock is taken over.
    Scenario("STALE, waits end", (READ, WRITE, WRITE), STALE_S, waits=1, mishaps=0),
    Scenario("EXPIRED, waits end", (READ, WRITE, READ), EXPIRED_S, waits=1, mishaps=0),
    Scenario("renew(), waits end", (RENEW, WRITE, WRITE), FRESH_S, waits=1, mishaps=0),
    Scenario("STALE, permit taken over", (READ, WRITE), STALE_S, overdue=1, mishaps=0),
    Scenario("EXPIRED, permit taken over", (READ, WRITE), EXPIRED_S, overdue=1, mishaps=0),
    Scenario("lock lapses", (WRITE, READ_1), EXPIRED_S, lapses=1, mishaps=0, **SHARED),
    # Two processes at one store.
    Scenario("two processes, STALE", (WRITE, WRITE_1, READ_1), STALE_S, mishaps=0, **SHARED),
    Scenario("two processes, fail", (WRITE, WRITE_1), STALE_S, mishaps=2, **SHARED),
    Scenario("two processes, EXPIRED", (READ, WRITE, WRITE_1), EXPIRED_S, mishaps=0, **SHARED),
    Scenario(
        "two processes, revoked",
        (READ, READ_1, WRITE_1),
        FRESH_S,
        revoked=True,
        refusal=UNAUTHORIZED,
        mishaps=0,
        **SHARED,
    ),
    # Renewals that run on their own, for callers who have a client, and others who have none.
    Scenario("on its own, STALE", (READ_OWN, WRITE_OWN), STALE_S, mishaps=1),
    Scenario("on its own, three", (READ_OWN, WRITE_OWN, WRITE), STALE_S, mishaps=0),
    Scenario("on its own, EXPIRED", (READ_OWN, WRITE_OWN, READ), EXPIRED_S, mishaps=0),
    Scenario("on its own, MISSING", (READ_OWN, WRITE_OWN), None, mishaps=1),
    Scenario("on its own, renew()", (RENEW_OWN, WRITE_OWN, WRITE), FRESH_S, mishaps=1),
    Scenario("on its own, bad read", (BAD_READ_OWN, WRITE_OWN, READ_OWN), FRESH_S, mishaps=1),
    Scenario("on its own, revoked", (READ_OWN, WRITE_OWN), FRESH_S, revocations=1, mishaps=1),
    Scenario("on its own, uninstalled", UNINSTALLED_OWN[:2], None, refuses=True, mishaps=1),
    Scenario("on its own, waits end", (READ_OWN, WRITE_OWN), STALE_S, waits=2, mishaps=0),
    Scenario("on its own, two processes", (WRITE_OWN, WRITE_OWN_1), STALE_S, mishaps=1, **SHARED),
    Scenario(
        "on its own, read first", (READ_OWN, WRITE_OWN, WRITE_1), STALE_S, mishaps=0, **SHARED
    ),
    # A process dies between any two steps, and starts again.
    Scenario("crash, STALE", (READ, WRITE, WRITE), STALE_S, mishaps=0, **CRASH),
    Scenario("crash, fails", (READ, WRITE), STALE_S, mishaps=1, **CRASH),
    Scenario("crash, EXPIRED", (READ, WRITE, READ), EXPIRED_S, mishaps=0, **CRASH),
    Scenario("crash, on its own", (READ_OWN, WRITE_OWN), STALE_S, mishaps=0, **CRASH),
    Scenario("one of two crashes", (READ, WRITE_1), EXPIRED_S, mishaps=0, **SHARED, **CRASH),
    # An auth object made anew, which knows nothing but the record.
    Scenario("anew, renew()", (RENEW, PERHAPS_BOUNCED_1), FRESH_S, mishaps=1, **ANEW),
    Scenario("anew, STALE", (READ, WRITE, WRITE_1), STALE_S, mishaps=0, **ANEW),
    Scenario("anew, bad write", (BAD_WRITE, READ_1), FRESH_S, mishaps=1, **ANEW),
    Scenario("anew, revoked", (READ, PERHAPS_BOUNCED_1), FRESH_S, revoked=True, mishaps=1, **ANEW),
    # The store answers late, or not for sure.
    Scenario("saved late, STALE", (READ, WRITE), STALE_S, late=True, mishaps=2),
    Scenario("saved late, EXPIRED", (READ, WRITE), EXPIRED_S, late=True, mishaps=2),
    Scenario("saved late, bad read", (BAD_READ, READ), FRESH_S, late=True, mishaps=2),
    Scenario("saved late, forget()", (FORGET, READ), STALE_S, late=True, mishaps=2),
    Scenario("saved late, crash", (READ, WRITE), STALE_S, late=True, mishaps=0, **CRASH),
    Scenario(
        "two processes, saved late", (WRITE, WRITE_1), EXPIRED_S, late=True, mishaps=1, **SHARED
    ),
    # A token is sent where it should not be.
    Scenario("leaked", (LEAK, WRITE, READ), FRESH_S, mishaps=0),
    Scenario("leaked, store fails", (LEAK, WRITE), FRESH_S, late=True, mishaps=1),
    Scenario("leaked, two processes", (LEAK, WRITE_1, READ_1), FRESH_S, mishaps=0, **SHARED),
)

FAULTS = (
    Scenario("abandoned, STALE", (READ, WRITE), STALE_S, mishaps=1, strict_doubt=True),
    Scenario("abandoned, FRESH", (RENEW, WRITE), FRESH_S, mishaps=1, strict_doubt=True),
    Scenario(
        "leaked, then refused elsewhere",
        (LEAK, BAD_WRITE_1),
        FRESH_S,
        mishaps=0,
        strict_trust=True,
        **SHARED,
    ),
)
"""In which something does not hold that should; the tests say what."""

DEEP_ONLY = (
    Scenario("three, always 401", (READ_401, READ_401, WRITE_401), FRESH_S, **ALWAYS_401),
    Scenario("revoked meanwhile, three fail", (READ, WRITE, WRITE), FRESH_S, revocations=1),
    Scenario("two processes, three", (WRITE, WRITE_1, READ_1), STALE_S, mishaps=1, **SHARED),
    Scenario("permit taken over, three", (READ, WRITE, READ), EXPIRED_S, overdue=1, mishaps=0),
    Scenario("STALE, taken over, fails", (READ, WRITE), STALE_S, overdue=1, mishaps=1),
    Scenario("EXPIRED, taken over, fails", (READ, WRITE), EXPIRED_S, overdue=1, mishaps=1),
    Scenario("lock lapses, fails", (WRITE, READ_1), EXPIRED_S, lapses=1, mishaps=1, **SHARED),
    Scenario("on its own, MISSING, two fail", (READ_OWN, WRITE_OWN), None, mishaps=2),
    Scenario("two processes, crash", (WRITE, WRITE_1), STALE_S, mishaps=0, **SHARED, **CRASH),
    Scenario("crash, on its own, fails", (READ_OWN, WRITE_OWN), STALE_S, mishaps=1, **CRASH),
    Scenario("on its own, two fail", (READ_OWN, WRITE_OWN), STALE_S, mishaps=2),
    Scenario("on its own, three fail", (READ_OWN, WRITE_OWN, WRITE), STALE_S, mishaps=1),
    Scenario("on its own, all uninstalled", UNINSTALLED_OWN, None, refuses=True, mishaps=1),
)

BY_NAME = {scenario.name: scenario for scenario in (*SCENARIOS, *FAULTS, *DEEP_ONLY)}
