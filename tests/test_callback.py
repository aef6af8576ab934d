"""Cobo's callback, which anybody on the internet can call."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx_cobo_auth.callback import Approval, ApprovalCallback, ApprovalResult
from tests.fuzzing import fuzz

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import ManualClock

ORG = "e3986401-4aec-480a-973d-e775a4518413"
OTHER = "0a0a0a0a-4aec-480a-973d-e775a4518413"
CHANGED = {"approval_result": "2", "org_id": ORG}


@pytest.fixture
def clock(clock: ManualClock) -> ManualClock:
    """Time in whole seconds, so that sums of them are exact."""
    clock.advance(-clock.monotonic() % 1.0)
    return clock


@pytest.fixture
def callback(clock: ManualClock) -> ApprovalCallback:
    """Of an app that knows one organization."""
    return ApprovalCallback(known={ORG}.__contains__, clock=clock)


def test_a_change_asks_for_a_renewal_at_once(callback: ApprovalCallback) -> None:
    """Result 2 of an organization that the app knows: due in 0 s."""
    assert callback.take(CHANGED) == Approval(ApprovalResult.CHANGED, ORG, 0.0)


def test_an_installation_asks_for_none(callback: ApprovalCallback) -> None:
    """Known or not: the first request gets a token by itself, and Cobo is the one to prove it."""
    for org in (ORG, OTHER):
        approval = callback.take({"approval_result": "1", "org_id": org})
        assert approval == Approval(ApprovalResult.INSTALLED, org, None)


def test_a_change_of_a_stranger_asks_for_none(callback: ApprovalCallback) -> None:
    """The call is well formed, and told as such, but nothing is renewed for it."""
    approval = callback.take({"approval_result": "2", "org_id": OTHER})
    assert approval == Approval(ApprovalResult.CHANGED, OTHER, None)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"approval_result": "2"},
        {"org_id": ORG},
        {"approval_result": "3", "org_id": ORG},
        {"approval_result": "", "org_id": ORG},
        {"approval_result": "02", "org_id": ORG},
        {"approval_result": 2, "org_id": ORG},
        {"approval_result": ["2"], "org_id": ORG},
        {"approval_result": "2", "org_id": ""},
        {"approval_result": "2", "org_id": None},
        {"approval_result": "2", "org_id": ORG.replace("-", "")},
        {"approval_result": "2", "org_id": f"{{{ORG}}}"},
        {"approval_result": "2", "org_id": f"urn:uuid:{ORG}"},
        {"approval_result": "2", "org_id": f"{ORG}\n"},
        {"approval_result": "2", "org_id": f"../{ORG}"},
    ],
    ids=str,
)
def test_anything_else_is_no_call_of_cobos(
    callback: ApprovalCallback, parameters: dict[str, object]
) -> None:
    """Missing, other, mistyped or decorated values: ``None``, to be answered by 400."""
    assert callback.take(parameters) is None


@fuzz(100)
@given(st.dictionaries(st.sampled_from(["approval_result", "org_id"]), st.text() | st.integers()))
def test_nothing_in_a_call_makes_it_raise(parameters: dict[str, object]) -> None:
    """Any text or number in either parameter, and no stranger gets a renewal by it."""
    approval = ApprovalCallback(known=lambda _org_id: False).take(parameters)
    assert approval is None or approval.renew_in is None


def test_capitals_make_no_other_organization(callback: ApprovalCallback) -> None:
    """Upper and lower case share one spacing, or each spelling would get a renewal of its own."""
    approval = callback.take({"approval_result": "2", "org_id": ORG.upper()})
    assert approval is not None
    assert approval.org_id == ORG
    again = callback.take(CHANGED)
    assert again is not None
    assert again.renew_in == 30.0


def test_calls_that_follow_are_put_off_and_put_together(
    callback: ApprovalCallback, clock: ManualClock
) -> None:
    """Of 100 calls one is due at once, one after 30 s, none else; the next after that in 60 s."""
    asked = [callback.take(CHANGED) for _ in range(100)]
    assert [approval.renew_in for approval in asked if approval] == [0.0, 30.0, *[None] * 98]
    clock.advance(29.0)
    waiting = callback.take(CHANGED)
    assert waiting is not None
    assert waiting.renew_in is None  # the renewal that was put off is still to come
    clock.advance(1.0)  # it begins: whoever calls now may have changed something after it
    later = callback.take(CHANGED)
    assert later is not None
    assert later.renew_in == 60.0


def test_whoever_keeps_calling_gets_one_renewal_in_ten_minutes(
    callback: ApprovalCallback, clock: ManualClock
) -> None:
    """A call a second for a day: the pauses double to 600 s, and 149 renewals are all."""
    renewals: list[float] = []
    for second in range(24 * 3600):
        approval = callback.take(CHANGED)
        if approval is not None and approval.renew_in is not None:
            renewals.append(second + approval.renew_in)
        clock.advance(1.0)
    assert renewals[:7] == [0.0, 30.0, 90.0, 210.0, 450.0, 930.0, 1530.0]
    assert len(renewals) == 6 + 24 * 6 - 1


def test_every_change_is_followed_by_a_renewal(
    callback: ApprovalCallback, clock: ManualClock
) -> None:
    """However calls fall, each has one at its own time or within the 600 s after it."""
    calls: list[float] = []
    renewals: list[float] = []
    for step in range(200):
        now = clock.monotonic()
        calls.append(now)
        approval = callback.take(CHANGED)
        if approval is not None and approval.renew_in is not None:
            renewals.append(now + approval.renew_in)
        clock.advance(step * 7 % 50)
    assert all(any(call <= renewal <= call + 600.0 for renewal in renewals) for call in calls)


def test_after_some_quiet_a_change_counts_at_once(
    callback: ApprovalCallback, clock: ManualClock
) -> None:
    """20 minutes without a renewal begin the spacing anew; not a moment less."""
    for _ in range(3):
        callback.take(CHANGED)
    clock.advance(30.0 + 1200.0)
    still = callback.take(CHANGED)
    assert still is not None
    assert still.renew_in == 0.0
    clock.advance(1200.1)
    for expected in (0.0, 30.0):
        approval = callback.take(CHANGED)
        assert approval is not None
        assert approval.renew_in == expected


def test_organizations_do_not_wait_for_each_other(clock: ManualClock) -> None:
    """Each has a spacing of its own: the first call of either is due at once."""
    callback = ApprovalCallback(known={ORG, OTHER}.__contains__, clock=clock)
    for org in (ORG, OTHER):
        approval = callback.take({"approval_result": "2", "org_id": org})
        assert approval is not None
        assert approval.renew_in == 0.0


def test_strangers_cost_no_memory(callback: ApprovalCallback) -> None:
    """A hundred unknown organizations leave nothing behind, so that nobody can fill it."""
    for number in range(100):
        callback.take({"approval_result": "2", "org_id": f"{number:08x}{ORG[8:]}"})
    assert callback._renewals == {}


def test_of_many_threads_one_renews() -> None:
    """Eight calls at one moment: one due at once, one put off, six served by that."""
    callback = ApprovalCallback(known={ORG}.__contains__)
    start = threading.Barrier(8)

    def call(_number: int) -> float | None:
        start.wait()
        approval = callback.take(CHANGED)
        assert approval is not None
        return approval.renew_in

    with ThreadPoolExecutor(8) as threads:
        asked = list(threads.map(call, range(8)))
    assert asked.count(0.0) == 1
    assert asked.count(None) == 6


IN_A_FORK = f"""
import os
from httpx_cobo_auth.callback import ApprovalCallback

callback = ApprovalCallback(known=lambda org_id: True)
callback.take({CHANGED})
with callback._mutex:  # as another thread might hold it
    child = os.fork()
    if child == 0:
        os._exit(0 if callback.take({CHANGED}).renew_in == 0.0 else 1)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_counts_for_itself() -> None:
    """It neither inherits a lock that is held nor takes the parent's renewals for its own."""
    subprocess.run([sys.executable, "-c", IN_A_FORK], check=True, timeout=60)
