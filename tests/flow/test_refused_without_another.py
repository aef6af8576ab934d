"""A token that was refused while no other was to be had: what comes after that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import TokenEndpointError
from tests.flow.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.testing import ManualClock

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


def test_attempts_are_spaced_ever_further_while_the_endpoint_does_not_recover(
    sleeps_pass: Callable[[ManualClock], None],
) -> None:
    """An hour of writes, one a second: what is asked of the endpoint stays bounded."""
    rig = refused_in_vain(sleeps_pass)
    before = rig.simulator.counters.exchanges
    with rig.simulator.inject("token", "answer", status=429, times=None):
        for _ in range(3600):
            assert rig.send("POST", "/echo").status_code == 500
            rig.clock.advance(1.0)
    asked = rig.simulator.counters.exchanges - before
    assert 100 < asked < 130
