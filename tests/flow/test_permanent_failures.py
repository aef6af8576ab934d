"""Servers that never get well: a handful of exchanges in hundreds of calls."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import TokenEndpointError
from httpx_cobo_auth.errors import RenewalTimeoutError, TokenRefusedError
from httpx_cobo_auth.events import ContentionSuspected
from tests.flow.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from httpx_cobo_auth.testing import ManualClock

CALLS = 60
WAYS = pytest.mark.parametrize("plain", [False, True], ids=["auth.client()", "auth="])


@pytest.fixture
def rig(plain: bool, sleeps_pass: Callable[[ManualClock], None]) -> Rig:  # noqa: FBT001
    """Return an auth object whose pauses take no time."""
    rig = Rig(plain=plain)
    sleeps_pass(rig.clock)
    return rig


def report(what: str, calls: int, exchanges: int) -> None:
    """Show the count; ``pytest -rP`` prints it."""
    print(f"{what}: {exchanges} exchanges in {calls} calls")  # noqa: T201


@pytest.mark.hazard(27)
@WAYS
@pytest.mark.parametrize("per_call_s", [0.0, 1.0])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_always_says_401(rig: Rig, method: str, per_call_s: float) -> None:
    """Each replay is refused again: forced ones wait 30 s, 60 s, ..., 10 min."""
    rig.simulator.inject("api", times=None, status=401, error_code=2021)
    for _ in range(CALLS):
        assert rig.send(method, "/echo").status_code == 401
        rig.clock.advance(per_call_s)
    report(f"always 401, {method}", CALLS, rig.simulator.counters.exchanges)
    assert rig.simulator.counters.exchanges <= (7 if per_call_s else 2)
    assert rig.simulator.counters.spent_refresh_reused == 0


@pytest.mark.hazard(34)
@WAYS
@pytest.mark.parametrize("code", [2022, 2023, 2024])
def test_a_server_that_always_says_what_no_token_can_mend(rig: Rig, code: int) -> None:
    """A hundred requests get their 401, and the first token stays the only one."""
    rig.simulator.inject("api", times=None, status=401, error_code=code)
    for _ in range(100):
        assert rig.send().status_code == 401
    assert rig.simulator.counters.exchanges == 1


@pytest.mark.hazard(32, 43)
@WAYS
@pytest.mark.parametrize("per_call_s", [0.0, 1.0])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_endpoint_that_always_says_500_1000_among_healthy_ones(
    rig: Rig, method: str, per_call_s: float
) -> None:
    """Healthy ones being accepted says nothing about it, and they never suffer."""
    bad = "/v2/transactions/bad"
    rig.simulator.inject(bad, times=None, status=500, error_code=1000)
    for number in range(CALLS):
        if number % 3:
            assert rig.send().status_code == 200
        else:
            assert rig.send(method, "/transactions/bad").status_code == 500
        rig.clock.advance(per_call_s)
    report(f"500/1000 on one endpoint, {method}", CALLS, rig.simulator.counters.exchanges)
    assert rig.simulator.counters.exchanges <= (7 if per_call_s else 2)
    assert rig.simulator.counters.bounced_writes == 0
    assert rig.simulator.counters.rejected == 0


@WAYS
@pytest.mark.parametrize("per_call_s", [0.0, 1.0])
def test_an_app_that_was_uninstalled(rig: Rig, per_call_s: float) -> None:
    """Who calls is told what to do; Cobo is asked every ten seconds, later thirty, at most."""
    rig.send()
    rig.simulator.uninstall()
    for _ in range(CALLS):
        with pytest.raises(TokenRefusedError, match="install it again") as caught:
            rig.send()
        assert caught.value.error == "access_denied"
        rig.clock.advance(per_call_s)
    report("app uninstalled", CALLS, rig.simulator.counters.exchanges)
    assert rig.simulator.counters.exchanges <= (3 if not per_call_s else 3 + CALLS / 10)
    assert rig.simulator.counters.spent_refresh_reused == 0
    rig.simulator.install()
    rig.clock.advance(30)
    assert rig.send().status_code == 200


@pytest.mark.hazard(68)
@WAYS
def test_a_refusal_that_is_remembered_keeps_no_request_alive(rig: Rig) -> None:
    """With its body, that is: what is remembered is a copy without a traceback."""
    rig.simulator.uninstall()

    def attempt() -> weakref.ref[httpx.Request]:
        request = rig.client.build_request("POST", "/echo", content=b"x" * 1024)
        with pytest.raises(TokenRefusedError):
            rig.client.send(request)
        return weakref.ref(request)

    requests = [attempt() for _ in range(3)]
    gc.collect()
    assert [request() for request in requests] == [None] * 3
    assert rig.simulator.counters.exchanges == 1


@pytest.mark.hazard(43)
@WAYS
def test_two_auth_objects_that_share_no_store(
    rig: Rig, sleeps_pass: Callable[[ManualClock], None]
) -> None:
    """Each renewal kills the other's token. They notice, say so, and hold off."""
    other = Rig(simulator=rig.simulator, clock=rig.clock)
    sleeps_pass(rig.clock)
    answers: Counter[int] = Counter()
    for _ in range(CALLS):
        for one in (rig, other):
            answers[one.send().status_code] += 1
        rig.clock.advance(1)
    report("two stores", 2 * CALLS, rig.simulator.counters.exchanges)
    assert rig.simulator.counters.exchanges <= 40
    for one in (rig, other):
        (*_, last) = [event for event in one.events if isinstance(event, ContentionSuspected)]
        assert last.hold_off > 30
    assert set(answers) == {200, 500}


@pytest.mark.hazard(29)
@WAYS
@pytest.mark.parametrize("lifetime", [1, 2, 5, 30, 59])
def test_a_token_that_lives_for_seconds(plain: bool, lifetime: int) -> None:  # noqa: FBT001
    """Exchanges go with the time, not with the calls; no write is refused.

    A read that does not wait for the renewal may meet its end: that one is sent again.
    """
    rig = Rig(plain=plain, token_lifetime=lifetime)
    for number in range(CALLS):
        assert rig.send("POST" if number % 2 else "GET", "/echo").status_code == 200
        rig.clock.advance(0.05)
    lifetimes = CALLS * 0.05 / lifetime
    report(f"tokens of {lifetime} s", CALLS, rig.simulator.counters.exchanges)
    assert rig.simulator.counters.exchanges <= 1 + lifetimes * 1.5
    assert rig.simulator.counters.bounced_writes == 0
    assert rig.simulator.counters.rejected <= rig.simulator.counters.exchanges
    assert rig.simulator.counters.spent_refresh_reused == 0


def test_a_token_whose_life_is_over_on_arrival_causes_no_loop() -> None:
    """Its exchange took longer than it lives: a few attempts, and then an error that says so."""
    rig = Rig(token_lifetime=1)

    def slowly(response: httpx.Response) -> httpx.Response:
        rig.clock.advance(5)
        return response

    rig.wire.after_exchange = slowly
    for _ in range(20):
        with pytest.raises(RenewalTimeoutError, match="faster than they can be used"):
            rig.send()
    assert rig.simulator.counters.exchanges <= 80


HEALS_WITHIN_S = 1.0


def refused_in_vain(sleeps_pass: Callable[[ManualClock], None]) -> Rig:
    """Have a read refused while the token endpoint limits the rate of requests."""
    rig = Rig()
    sleeps_pass(rig.clock)
    rig.send()
    rig.simulator.revoke_tokens()
    with (
        rig.simulator.inject("token", "answer", status=429, times=None),
        pytest.raises(TokenEndpointError),
    ):
        rig.send()
    return rig


@pytest.mark.hazard(32)
def test_a_write_is_not_sent_with_it_once_the_endpoint_answers_again(
    sleeps_pass: Callable[[ManualClock], None],
) -> None:
    """The token is known to be refused: it is renewed first, and the write runs at once."""
    rig = refused_in_vain(sleeps_pass)
    rig.clock.advance(HEALS_WITHIN_S)
    before = rig.simulator.counters.rejected
    assert rig.send("POST", "/transactions/transfer", json={"request_id": "1"}).status_code == 201
    assert rig.simulator.counters.rejected == before
    assert rig.simulator.counters.issued == 2


def test_that_renewal_is_not_held_to_be_in_vain(
    sleeps_pass: Callable[[ManualClock], None],
) -> None:
    """Nothing was refused after it: the next token that dies early is replaced at once."""
    rig = refused_in_vain(sleeps_pass)
    rig.clock.advance(HEALS_WITHIN_S)
    rig.send("POST", "/transactions/transfer", json={"request_id": "1"})
    rig.simulator.revoke_tokens()
    assert rig.send().status_code == 200
    assert rig.simulator.counters.issued == 3


@pytest.mark.hazard(27, 46)
def test_attempts_are_spaced_ever_further_while_the_endpoint_does_not_recover(
    sleeps_pass: Callable[[ManualClock], None],
) -> None:
    """An hour of writes, one in five seconds: what is asked of the endpoint stays bounded."""
    rig = refused_in_vain(sleeps_pass)
    before = rig.simulator.counters.exchanges
    with rig.simulator.inject("token", "answer", status=429, times=None):
        for _ in range(720):
            assert rig.send("POST", "/echo").status_code == 500
            rig.clock.advance(5.0)
    asked = rig.simulator.counters.exchanges - before
    assert 100 < asked < 130
