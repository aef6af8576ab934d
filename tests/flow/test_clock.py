"""Clocks that step or are off: nothing loops, and what can go through does."""

from __future__ import annotations

import pytest

from httpx_cobo_auth import Environment
from httpx_cobo_auth._protocol.signing import Ed25519Signer
from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import CoboAuth, httpx
from tests.flow.rig import Rig

HOUR_S = 3600.0
WAYS = pytest.mark.parametrize("plain", [False, True], ids=["auth.client()", "auth="])


@pytest.mark.hazard(31)
@WAYS
@pytest.mark.parametrize("hours", [1, 5, 13, 24 * 40])
@pytest.mark.parametrize("forth_first", [True, False])
def test_a_local_clock_that_steps_back_and_forth_by_hours_loops_nowhere(
    plain: bool,  # noqa: FBT001
    hours: int,
    forth_first: bool,  # noqa: FBT001
) -> None:
    """Both clocks step; the server has a clock of its own.

    A step forth may have been a suspend, and nonces follow it, until the server says otherwise:
    once. Coming back, and forth again to where the clock was, changes nothing more.
    """
    rig = Rig(plain=plain, clock=ManualClock(), simulator=CoboSimulator(clock=ManualClock()))
    step = hours * HOUR_S if forth_first else -hours * HOUR_S
    for _ in range(20):
        for _ in range(5):
            assert rig.send().status_code == 200
            assert rig.send("POST", "/echo").status_code == 200
        rig.clock.step(step)
        step = -step
    assert rig.simulator.counters.exchanges <= 4
    assert rig.simulator.counters.rejected <= forth_first


@WAYS
def test_a_clock_that_steps_past_the_tokens_end_and_back_renews_once_for_each_time(
    plain: bool,  # noqa: FBT001
) -> None:
    """Ten steps, fifty requests, no more than one exchange a step beside the first.

    And one that is refused for its nonce: the step might have been a suspend.
    """
    rig = Rig(plain=plain, clock=ManualClock(), simulator=CoboSimulator(clock=ManualClock()))
    for number in range(1, 11):
        rig.clock.step(number * 20 * HOUR_S)
        for _ in range(5):
            assert rig.send().status_code == 200
    assert rig.simulator.counters.issued <= 11
    assert rig.simulator.counters.exchanges <= 21


@pytest.mark.hazard(31)
@WAYS
@pytest.mark.parametrize("off", [HOUR_S, -HOUR_S])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_clock_an_hour_off_is_met_without_a_renewal(
    plain: bool,  # noqa: FBT001
    off: float,
    method: str,
) -> None:
    """One refused exchange for the first token; after that one refused request a step."""
    theirs = ManualClock()
    rig = Rig(plain=plain, clock=ManualClock(), simulator=CoboSimulator(clock=theirs))
    theirs.step(off)
    assert rig.send(method, "/echo").status_code == 200
    assert rig.simulator.counters.exchanges == 2
    assert rig.simulator.counters.issued == 1
    theirs.step(-2 * off)
    assert rig.send(method, "/echo").status_code == 200
    assert rig.send(method, "/echo").status_code == 200
    assert rig.simulator.counters.exchanges == 2
    assert rig.simulator.counters.rejected == 1
    assert rig.kinds() == ["TokenAcquired"]


@WAYS
def test_a_server_clock_within_a_minute_is_left_alone(plain: bool) -> None:  # noqa: FBT001
    """The refusal is then about something else, and is handed over."""
    theirs = ManualClock()
    simulator = CoboSimulator(clock=theirs, max_skew_s=20)
    rig = Rig(plain=plain, clock=ManualClock(), simulator=simulator)
    rig.send()
    theirs.step(50)
    assert rig.send().status_code == 401
    assert rig.simulator.counters.exchanges == 1


@WAYS
def test_without_a_key_to_verify_by_no_clock_is_believed(plain: bool) -> None:  # noqa: FBT001
    """The server is an hour ahead and nothing proves it: the 401 is handed over, not replayed."""
    theirs = ManualClock()
    keyless = Environment("keyless", "https://cobo.test/v2")
    rig = Rig(
        plain=plain,
        clock=ManualClock(),
        simulator=CoboSimulator(clock=theirs),
        environment=keyless,
    )
    rig.send()
    theirs.step(HOUR_S)
    assert rig.send().status_code == 401
    assert rig.simulator.counters.requests == 2


def test_a_forged_time_is_not_believed() -> None:
    """A ``Biz-Timestamp`` with a wrong signature moves no clock, and causes no replay."""
    rig = Rig()
    rig.send()
    headers = {"Biz-Timestamp": "1000", "Biz-Resp-Signature": "00" * 64}
    rig.simulator.inject("api", status=401, error_code=2024, signed=False, headers=headers)
    assert rig.send().status_code == 401
    assert rig.simulator.counters.requests == 2


def test_cobo_auth_corrects_its_clock_as_well() -> None:
    """An hour off, the first request takes two attempts, the second only one."""
    theirs = ManualClock()
    simulator = CoboSimulator(clock=theirs)
    theirs.step(HOUR_S)
    secret = "11" * 32
    auth = CoboAuth(api_secret=secret, environment=simulator.environment, clock=ManualClock())
    simulator.add_api_key(Ed25519Signer(secret).public_key)
    base_url = simulator.environment.base_url
    with httpx.Client(transport=simulator, base_url=base_url, auth=auth) as client:
        assert client.get("/wallets").status_code == 200
        assert client.get("/wallets").status_code == 200
    assert simulator.counters.requests == 3


@WAYS
def test_an_answer_that_does_not_say_when_it_was_made_says_nothing_of_the_clock(
    plain: bool,  # noqa: FBT001
) -> None:
    """A token found in the store is used all the same, for as long as its record says."""
    rig = Rig(plain=plain)
    rig.send()
    with rig.simulator.inject("api", "unsigned", times=None):
        other = Rig(plain=plain, clock=rig.clock, simulator=rig.simulator)
        other.store._records.set(rig.store._records.value)
        for _ in range(3):
            assert other.send().status_code == 200
    assert rig.simulator.counters.exchanges == 1
    assert other.auth.status().expires_at == rig.auth.status().expires_at
