"""Where the runs begin, and who calls."""

from __future__ import annotations

from httpx_cobo_auth.effects import Answer
from httpx_cobo_auth.flow import CoboFlow
from tests.exploration.players import Actor
from tests.exploration.world import LIFETIME_S, Scenario, request

__all__ = ["SCENARIOS"]

FRESH_S = 20_000.0
STALE_S = 600.0
EXPIRED_S = 20.0
ALMOST_EXPIRED_S = 32.0
JUMP_S = 5.0

read = request()
write = request(write=True)
other_write = request(write=True, process=1)
other_read = request(process=1)
renewal = Actor("renew()", CoboFlow.renew)
token = Actor("token()", CoboFlow.token)
forgetting = Actor("forget()", CoboFlow.forget)
refused_write = request(write=True, good=(200, 500))
bad_read = request("bad", bad=True, good=(500,))
bad_write = request("bad", write=True, bad=True, good=(500,))
without = ("TokenRefusedError",)

SCENARIOS = (
    Scenario("STALE: read, write, write", (read, write, write), STALE_S),
    Scenario("EXPIRED: read, write, read", (read, write, read), EXPIRED_S),
    Scenario("EXPIRED: token(), write, write", (token, write, write), EXPIRED_S),
    Scenario("MISSING: read, read, write", (read, read, write), None),
    Scenario("MISSING, but stored: read, write, write", (read, write, write), FRESH_S, stored=True, exchanges=0),
    Scenario("noted by somebody gone: read, write, write", (read, write, write), FRESH_S, noted=True),
    Scenario("refresh token refused: read, write, read", (read, write, read), STALE_S, grants=False),
    Scenario("revoked, 500: read, read, write", (read, read, refused_write), FRESH_S, revoked=True),
    Scenario("revoked, 401: read, read, write", (read, read, write), FRESH_S, revoked=True, refusal=Answer(401)),
    Scenario("revoked meanwhile, 401: read, write, write", (read, write, write), FRESH_S, refusal=Answer(401), revocations=1),
    Scenario("revoked meanwhile, 500: read, write, write", (read, write, write), FRESH_S, revocations=1),
    Scenario("always 401: read, read, write", (request(good=(401,)), request(good=(401,)), request(write=True, good=(401,))), FRESH_S, refusal=Answer(401), accepts=False, exchanges=3),
    Scenario("bad endpoint: bad read, write, read", (bad_read, write, read), FRESH_S),
    Scenario("bad endpoint: bad write, write, read", (bad_write, write, read), FRESH_S),
    Scenario("renew(): write, write", (renewal, write, write), FRESH_S),
    Scenario("renew(): renew(), write", (renewal, renewal, write), FRESH_S, exchanges=2),
    Scenario("forget(): write, read", (forgetting, write, read), FRESH_S),
    Scenario("uninstalled: read, write, token()", (request(good=without), request(write=True, good=without), Actor("token()", CoboFlow.token, good=frozenset(without))), None, refuses=True),
    Scenario("expires meanwhile: read, write, write", (read, write, write), ALMOST_EXPIRED_S, jump=JUMP_S),
    Scenario("two processes, STALE: write, write; read", (write, other_write, other_read), STALE_S, shared=True),
)
_ = LIFETIME_S
