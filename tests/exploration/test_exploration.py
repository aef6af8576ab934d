"""Every interleaving of three callers of the flow, with one of them cancelled or failing anywhere.

What holds in each state is said where it is checked: in ``desk``, ``performing`` and ``model``.
The numbers of states are printed; ``EXPLORE_DEEP=1`` takes minutes, and finds more of them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth._protocol import flow
from httpx_cobo_auth._protocol import token_endpoint as exchange
from httpx_cobo_auth._protocol.account import Account
from httpx_cobo_auth._protocol.records import PendingExchange, Record
from httpx_cobo_auth._protocol.renewal import Renewal
from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.verdicts import (
    ExchangeFailure,
    Outcome,
    Verdict,
    classify_exchange,
    classify_response,
)
from httpx_cobo_auth._runtime.permits import Gate
from tests.exploration.explore import Explored, PropertyBrokenError, explore_named
from tests.exploration.scenarios import BY_NAME, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from httpx_cobo_auth._protocol.effects import Flow, ResponseSummary
    from httpx_cobo_auth._protocol.tokens import HeldToken, Token
    from httpx_cobo_auth._runtime.permits import Permit, Waiter
    from httpx_cobo_auth.errors import CoboAuthError

DEEP = int(os.environ.get("EXPLORE_DEEP", "0"))


@pytest.fixture(scope="module")
def found() -> Iterator[list[Explored]]:
    """Collect what was explored, and print it in the end."""
    found: list[Explored] = []
    yield found
    print(*("", *found), sep="\n")  # noqa: T201 - shown by -rP or -s
    print(f"{sum(one.states for one in found):,} states in {len(found)} scenarios")  # noqa: T201


@pytest.mark.parametrize("name", BY_NAME if DEEP else [scenario.name for scenario in SCENARIOS])
def test_every_interleaving(name: str, found: list[Explored]) -> None:
    """Nobody hangs, no refresh token is sent twice, no write bounces, runs twice or unasked."""
    explored = explore_named(name, DEEP)
    print(explored)  # noqa: T201
    found.append(explored)
    assert explored.ends


# ------------------------------------------------------------- that it would find what is wrong
def no_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchange at once, whatever writes are in flight."""

    def writes_ended(_self: Renewal) -> Flow[bool]:
        yield from ()
        return True

    monkeypatch.setattr(Renewal, "_writes_ended", writes_ended)


def open_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let writes begin during an exchange."""
    begin_write = Gate.begin_write

    def begin(self: Gate, waiter: Waiter | None) -> Permit | None:
        closed, self._door_closed = self._door_closed, False
        ticket = begin_write(self, waiter)
        self._door_closed = closed
        return ticket

    monkeypatch.setattr(Gate, "begin_write", begin)


def nobody_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose all wake-ups."""

    def wake(_self: Gate) -> None:
        pass

    monkeypatch.setattr(Gate, "_wake", wake)


def no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchange without noting it."""

    def with_pending(self: Record, _note: PendingExchange | None) -> Record:
        return self

    monkeypatch.setattr(Record, "with_pending", with_pending)


def no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget that an exchange has begun."""

    def begin(self: Account) -> None:
        self.epoch += 1

    monkeypatch.setattr(Account, "begin", begin)


def doubt_is_good_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a token that may have died for one that is wanted."""
    met_by = RenewalRequest.met_by

    def any_will_do(
        self: RenewalRequest, account: Account, *, doubtful: bool = False
    ) -> HeldToken | None:
        del doubtful
        return met_by(self, account, doubtful=True)

    monkeypatch.setattr(RenewalRequest, "met_by", any_will_do)


def lost_is_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a refresh token again whose answer was lost."""

    def judge(*args: Any, **kwargs: Any) -> Token | ExchangeFailure:  # noqa: ANN401
        result = classify_exchange(*args, **kwargs)
        if isinstance(result, ExchangeFailure) and result.outcome is Outcome.UNKNOWN:
            return ExchangeFailure(Outcome.UNPROCESSED, result.error)
        return result

    monkeypatch.setattr(exchange, "classify_exchange", judge)


def failed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replay writes after a 500/1000 as after a 401."""

    def judge(answer: ResponseSummary) -> Verdict:
        verdict = classify_response(answer)
        return Verdict.REFUSED if verdict is Verdict.REFUSED_OR_FAILED else verdict

    monkeypatch.setattr(flow, "classify_response", judge)


def renewed_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a renewal for one that was held off."""
    once = Renewal._exchange

    def renewed(self: Renewal, *args: Any) -> Flow[None]:  # noqa: ANN401
        yield from once(self, *args)

    monkeypatch.setattr(Renewal, "_exchange", renewed)


def seat_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never give the seat back."""
    give_back = Gate._give_back

    def without_seats(self: Gate, number: int, error: CoboAuthError | None) -> None:
        if number != self._seat:
            give_back(self, number, error)

    monkeypatch.setattr(Gate, "_give_back", without_seats)


def each_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a renewal in vain once for each request that it did not help."""
    ineffective = RenewalThrottle.ineffective

    def once_more(self: RenewalThrottle, now: float, cause: str) -> RenewalThrottle:
        return ineffective(self, now + 1000.0 * self.ineffective_count, cause)

    monkeypatch.setattr(RenewalThrottle, "ineffective", once_more)


@pytest.mark.parametrize(
    ("breaks", "name", "says"),
    [
        (no_drain, "renew()", "meets a token that an exchange"),
        (open_door, "renew()", "meets a token that an exchange"),
        (nobody_woken, "EXPIRED", "nobody can go on"),
        (seat_kept, "EXPIRED", "ends with something held"),
        (no_note, "two processes, STALE", "is sent again"),
        (no_doubt, "renew()", "meets a token that an exchange"),
        (doubt_is_good_enough, "noted by somebody gone", "meets a token that an exchange"),
        (lost_is_unsent, "EXPIRED", "is sent again"),
        (failed_is_refused, "bad write", "is replayed, though it may have run"),
        (renewed_for_nothing, "bad read", "is given the token endpoint's answer"),
        (each_counts, "always 401", "renewals in vain"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_wrong_is_found(
    breaks: Callable[[pytest.MonkeyPatch], None],
    name: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An exploration that finds nothing says something only if it can find something."""
    breaks(monkeypatch)
    with pytest.raises(PropertyBrokenError, match=says) as caught:
        explore_named(name)
    print(caught.value)  # noqa: T201
