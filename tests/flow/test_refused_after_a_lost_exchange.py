"""A refusal that a lost exchange explains: it says nothing about renewals that are in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth._protocol.effects import BeginWrite, Enter, Entry, Load, ResponseSummary
from httpx_cobo_auth.events import TokenAcquired
from tests.flow.stepping import ENTERED, FINE, Desk, Sending, noted, play, read, write

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Record
    from tests.flow.stepping import Step

REFUSED = ResponseSummary(401)
DEAD = ResponseSummary(500, 1000)
WAIT_S = 93.0


def held_off(*, shared: bool = False) -> tuple[Desk, Record]:
    """Have forced renewals wait, for another request that they did not help."""
    desk = Desk(shared=shared)
    stored = desk.having("a")
    desk.account.vain("GET /v2/other")
    assert desk.account.forced_wait() == 30.0
    return desk, stored


def replaced(desk: Desk, stored: Record) -> list[Step]:
    """Ask by ``org_implicit``, for the refresh token may be spent; count nothing as forced."""
    return [
        *desk.until_noted(stored, glance=True),
        *desk.exchanged(stored, "b", None, throttle=desk.account.throttle),
        TokenAcquired,
    ]


@pytest.mark.parametrize("answer", [REFUSED, DEAD])
def test_one_of_this_process(answer: ResponseSummary) -> None:
    """It ended unseen while the read waited: a new token, though forced ones have to wait."""
    desk, stored = held_off()

    def ends_unseen() -> Entry:
        desk.account.begin()
        return Entry(ended=True)

    play(
        desk.flow.request(read()),
        (Sending("a"), answer),
        (Enter(WAIT_S), ends_unseen),
        *replaced(desk, noted(stored, desk.now)),
        (Sending("b"), FINE),
    )
    assert desk.account.throttle.forced_at == ()
    assert desk.account.forced_wait() == 30.0


@pytest.mark.parametrize("answer", [REFUSED, DEAD])
def test_one_of_another_process(answer: ResponseSummary) -> None:
    """It died with its note in the store: a new token, though forced ones have to wait."""
    desk, stored = held_off(shared=True)
    play(
        desk.flow.request(read()),
        (Sending("a"), answer),
        *replaced(desk, noted(stored, desk.now)),
        (Sending("b"), FINE),
    )
    assert desk.account.throttle.forced_at == ()
    assert desk.account.forced_wait() == 30.0


def test_it_is_not_counted_towards_contention() -> None:
    """Processes that are killed again and again are no second store."""
    desk = Desk(shared=True)
    stored = desk.having("a")
    play(
        desk.flow.request(read()),
        (Sending("a"), REFUSED),
        *replaced(desk, noted(stored, desk.now)),
        (Sending("b"), FINE),
    )
    assert desk.account.throttle.forced_at == ()


def test_a_write_that_it_bounced_counts_nothing_as_in_vain() -> None:
    """The write is handed back; the renewal that follows was called for by the note."""
    desk = Desk()
    stored = noted(desk.having("a"), desk.now)
    play(desk.flow.request(write()), BeginWrite(), (Sending("a"), DEAD))
    timeouts = desk.account.settings.timeouts
    begun = desk.until_noted(stored, early=True)
    play(
        desk.flow.request(read()),
        (Enter(timeouts.wait), ENTERED),
        (Load(), stored),
        *list(begun)[1:],
        *desk.exchanged(stored, "b", None, throttle=desk.account.throttle),
        TokenAcquired,
        (Sending("b"), FINE),
    )
    assert desk.account.forced_wait() == 0.0
