"""Dropping a token: whoever comes later takes no older one for a newer one."""

from __future__ import annotations

import pytest

from httpx_cobo_auth._protocol.effects import Enter, Leave, Load, LockStore, Save
from httpx_cobo_auth._protocol.records import PendingExchange, Record
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from tests.flow.stepping import ENTERED, Desk, play


@pytest.mark.parametrize("ours", [1, 5, 9])
def test_the_empty_record_is_newer_than_both_ours_and_the_stored_one(ours: int) -> None:
    """Whichever of the two is ahead, the generation goes one beyond it; the spacing stays."""
    desk = Desk()
    desk.having("a", ours)
    throttle = RenewalThrottle(1, 5.0, "GET /x", (4.0,))
    stored = Record(5, desk.token("b"), PendingExchange("somebody else", 1.0), throttle)
    empty = Record(max(ours, 5) + 1, throttle=throttle)
    play(
        desk.flow.forget(),
        (Enter(93.0), ENTERED),
        (LockStore(45.0), True),
        (Load(), stored),
        Save(empty, (5, "somebody else")),
        Leave(),
    )
    assert desk.account.held is None
    assert desk.account.next_generation == empty.generation + 1
    assert desk.account.throttle == throttle
