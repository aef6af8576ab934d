"""Waiting for somebody else's renewal: what its end means for a token that is in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth._protocol.effects import (
    BeginWrite,
    EndWrite,
    Enter,
    Entry,
    Leave,
    Load,
    LockStore,
    ResponseSummary,
    Send,
)
from httpx_cobo_auth._protocol.known import Urgency
from httpx_cobo_auth._protocol.records import PendingExchange, Record
from httpx_cobo_auth._protocol.renew import renew
from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth.errors import RenewalTimeoutError, TokenEndpointError
from tests.flow.stepping import (
    ENTERED,
    FINE,
    Desk,
    Sending,
    advance,
    ineffective,
    play,
    read,
    write,
)

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.flow import Call

ERROR = TokenEndpointError("the line is dead")
ENDED = Entry(ended=True)
FAILED = Entry(ended=True, error=ERROR)
TIMED_OUT = Entry()


def in_doubt(desk: Desk) -> None:
    """Have somebody find a token, and begin an exchange whose end nobody knows."""
    desk.having("b")
    desk.account.begin()


@pytest.mark.parametrize("end", [FAILED, TIMED_OUT], ids=["no answer", "no end"])
def test_a_token_in_doubt_will_do_where_no_better_is_to_be_had(end: Entry) -> None:
    """The endpoint does not answer: a token that may still work is better than an error."""
    desk = Desk()
    flow = desk.flow.token()
    assert advance(flow) == Enter(93.0)
    in_doubt(desk)
    with pytest.raises(StopIteration) as stop:
        flow.send(end)
    assert stop.value.value is desk.held


def test_a_token_in_doubt_will_not_do_where_the_renewal_just_ended() -> None:
    """Whoever comes next can renew: the permit is tried again, at once."""
    desk = Desk()
    flow = desk.flow.token()
    assert advance(flow) == Enter(93.0)
    in_doubt(desk)
    assert advance(flow, ENDED) == Enter(93.0)


def stale_write() -> tuple[Desk, list[object]]:
    """Begin a write with a STALE token: it waits for whoever is renewing."""
    desk = Desk()
    desk.having("a")
    desk.grow_stale()
    return desk, [BeginWrite(), EndWrite()]


def test_a_stale_write_tries_anew_where_a_renewal_ended_with_nothing() -> None:
    """An attempt that gave up for its own reasons says nothing about ours."""
    desk, begun = stale_write()
    play(
        desk.flow.request(write()),
        *begun,
        (Enter(10.0), ENDED),
        (Enter(10.0), FAILED),
        BeginWrite(),
        (Sending("a"), FINE),
    )


@pytest.mark.parametrize("end", [FAILED, TIMED_OUT], ids=["no answer", "no end"])
def test_a_stale_write_goes_on_where_a_renewal_failed_or_does_not_end(end: Entry) -> None:
    """The token still works, and nobody's failure is raised by those who can do without."""
    desk, begun = stale_write()
    play(
        desk.flow.request(write()),
        *begun,
        (Enter(10.0), end),
        BeginWrite(),
        (Sending("a"), FINE),
    )


@pytest.mark.parametrize("left", [30.0, 0.5])
@pytest.mark.parametrize(
    ("shared", "pending"),
    [(True, None), (False, PendingExchange("somebody else", 1.0)), (False, None)],
)
def test_while_renewals_are_held_off_only_another_process_is_waited_for(
    pending: PendingExchange | None, left: float, *, shared: bool
) -> None:
    """Without one at work on a shared store, the refusal is handed back, and no lock is taken."""
    desk = Desk(shared=shared)
    record = desk.having("a", throttle=ineffective("GET /v2/wallets", desk.now + left))
    stored = record if pending is None else record.with_pending(pending)
    play(
        desk.flow.request(read()),
        (Send, ResponseSummary(401, 2021)),
        (Enter(93.0), ENTERED),
        (Load(), stored),
        Leave(),
    )


def test_while_renewals_are_held_off_another_process_at_work_is_waited_for() -> None:
    """To wait for its renewal forces none."""
    desk = Desk(shared=True)
    record = desk.having("a", throttle=ineffective("GET /v2/wallets", desk.now + 30.0))
    stored = record.with_pending(PendingExchange("somebody else", 1.0))
    play(
        desk.flow.request(read()),
        (Send, ResponseSummary(401, 2021)),
        (Enter(93.0), ENTERED),
        (Load(), stored),
        (LockStore(45.0), False),
        Leave(),
    )


def test_the_memory_of_forced_renewals_is_shared_by_the_store() -> None:
    """Also where none was ineffective: another process's count is taken over."""
    desk = Desk()
    throttle = RenewalThrottle(forced_at=(desk.now - 1.0,))
    desk.account.saw(Record(1, desk.token("a"), throttle=throttle))
    assert desk.account.known.throttle == throttle


def test_whoever_enters_does_not_take_a_token_in_doubt_for_a_new_one() -> None:
    """It came while the permit was waited for, and so did an exchange, whose end is unknown."""
    desk = Desk()
    flow = desk.flow.token()
    assert advance(flow) == Enter(93.0)
    in_doubt(desk)
    assert advance(flow, ENTERED) == LockStore(45.0)


def test_a_token_asked_for_at_the_same_moment_will_do() -> None:
    """A clock may be coarse: ``renew`` in many threads at once is still one exchange."""
    desk = Desk()
    record = desk.having("a")
    flow = desk.flow.renew()
    assert advance(flow) == Load()
    assert advance(flow, record) == Enter(93.0)
    desk.having("b", 2)
    with pytest.raises(StopIteration) as stop:
        flow.send(ENDED)
    assert stop.value.value is desk.held


def test_whoever_gets_the_permit_after_an_attempt_that_failed_makes_none() -> None:
    """Early attempts are spaced, also where two were due at once."""
    desk = Desk()
    desk.having("a")
    desk.grow_stale()

    def after_a_failure() -> Entry:
        desk.account.attempt_failed(in_doubt=False)
        return ENTERED

    play(desk.flow.request(read()), (Enter(0.0), after_a_failure), Leave(), (Sending("a"), FINE))


@pytest.mark.parametrize("call", [read(), write()], ids=["read", "write"])
def test_a_token_that_another_thread_forgets_at_the_last_moment_is_not_sent(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one is got first."""
    desk = Desk()
    desk.having("a")
    wanted = desk.flow._wanted

    def forgotten(tried: Any, *, write: bool) -> RenewalRequest | None:  # noqa: ANN401 - as it came
        request = wanted(tried, write=write)
        monkeypatch.undo()
        desk.account.forget()
        return request

    monkeypatch.setattr(desk.flow, "_wanted", forgotten)
    flow = desk.flow.request(call)
    effects = [advance(flow) for _ in range(5 if call.write else 1)]
    assert effects[-1] == Enter(93.0)
    assert not any(isinstance(effect, Send) for effect in effects)


def test_a_renewal_whose_thread_starts_late_has_nothing_to_do_where_the_token_is_there() -> None:
    """Another was faster: no permit, no lock, no exchange."""
    desk = Desk()
    desk.having("a")
    request = RenewalRequest(Urgency.REQUIRED)
    assert play(renew(desk.account, desk.settings, request)) is desk.held


def test_a_failure_is_handed_to_all_who_wait() -> None:
    """Who cannot do without a token raises what the one attempt failed of."""
    desk = Desk()
    flow = desk.flow.token()
    assert advance(flow) == Enter(93.0)
    assert advance(flow, ENTERED) == Load()
    assert advance(flow, None) == LockStore(45.0)
    left = advance(flow, False)  # noqa: FBT003 - the effect's result
    assert isinstance(left, Leave)
    assert isinstance(left.error, RenewalTimeoutError)
