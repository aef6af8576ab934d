"""A token that is known to be refused: who renews it, when, and who waits for that."""

from __future__ import annotations

import pytest

from httpx_cobo_auth._protocol.effects import BeginWrite, EndWrite, Enter
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from tests.flow.stepping import FINE, Desk, Sending, play, read, write


def refused(cause: str) -> Desk:
    """Hold a token that something was refused with."""
    desk = Desk()
    desk.having("a")
    desk.account.refuse(desk.held, cause)
    return desk


def test_a_read_does_not_wait_for_a_renewal_that_could_not_be_had_before() -> None:
    """Without a cause there was no new token to be had just now: it is tried, not waited for."""
    flow = refused("").flow.request(read())
    assert next(flow) == Enter(0.0)


def test_a_read_waits_for_the_renewal_after_a_refused_write() -> None:
    """The write showed that the token is dead, so a read would be refused as well."""
    flow = refused("POST /x").flow.request(read())
    assert next(flow) == Enter(93.0)


@pytest.mark.parametrize("cause", ["", "POST /x"])
def test_a_write_waits_in_any_case(cause: str) -> None:
    """It is not repeated, so it had better not be refused."""
    flow = refused(cause).flow.request(write())
    assert [next(flow) for _ in range(3)] == [BeginWrite(), EndWrite(), Enter(93.0)]


@pytest.mark.parametrize("left", [0.001, 0.5, 1.0, 30.0])
def test_nobody_renews_while_renewals_are_held_off(left: float) -> None:
    """However little of the wait is left, the token goes out as it is; after it, it does not."""
    desk = refused("POST /x")
    desk.account.throttle = RenewalThrottle(1, desk.now + left, "POST /y")
    play(desk.flow.request(read()), (Sending("a"), FINE))
    desk.clock.advance(left)
    assert next(desk.flow.request(read())) == Enter(93.0)


def test_every_exchange_begun_is_counted() -> None:
    """One by one: by the count, a caller knows which ones it has heard the end of."""
    desk = Desk()
    counts: list[int] = []
    for _ in range(3):
        desk.account.begin()
        counts.append(desk.account.epoch)
    assert counts == [1, 2, 3]
