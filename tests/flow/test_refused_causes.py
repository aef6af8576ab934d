"""Why a token has to be replaced before it is used again, and what that waits for."""

from __future__ import annotations

import pytest

from httpx_cobo_auth._protocol.effects import BeginWrite, Entry, ResponseSummary
from httpx_cobo_auth.errors import TokenEndpointError
from httpx_cobo_auth.events import TokenRenewed
from tests.flow.stepping import FINE, Desk, Sending, play, read, write

REFUSED = ResponseSummary(401)
DEAD = ResponseSummary(500, 1000)


def test_an_exposed_token_is_replaced_although_forced_renewals_wait() -> None:
    """No request was refused, so what was in vain for another one says nothing about it."""
    desk = Desk()
    stored = desk.having("a")
    desk.account.vain("GET /v2/other")
    desk.account.refuse(desk.held, "")
    play(
        desk.flow.request(read()),
        *desk.until_noted(stored, early=True, patient=False),
        *desk.exchanged(stored, "b", stored.token, throttle=desk.account.throttle),
        TokenRenewed,
        (Sending("b"), FINE),
    )
    assert desk.account.forced_wait() == 30.0


def test_a_write_that_may_have_run_stays_the_cause_when_a_read_is_refused_as_well() -> None:
    """Its renewal still counts as in vain until that write is accepted."""
    desk = Desk()
    desk.having("a")
    reading = desk.flow.request(read())
    assert next(reading) is not None
    play(desk.flow.request(write()), BeginWrite(), (Sending("a"), DEAD))
    reading.send(REFUSED)
    with pytest.raises(TokenEndpointError):
        reading.send(Entry(ended=True, error=TokenEndpointError("limited")))
    assert desk.account.refused is desk.held
    assert desk.account.refused_cause == "POST /v2/transfer"


def test_a_held_off_write_is_not_renewed_for() -> None:
    """A second bounced write goes on with its token: only its own acceptance ends the wait."""
    desk = Desk()
    desk.having("a")
    desk.account.vain("POST /v2/transfer")
    desk.account.refuse(desk.held, "POST /v2/transfer")
    play(desk.flow.request(read()), (Sending("a"), FINE))
