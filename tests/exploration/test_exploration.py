"""Every interleaving of three callers of the flow, with one of them cancelled or failing anywhere.

What holds in each state is said where it is checked: in ``desk``, ``performing`` and ``model``.
The numbers of states are printed. With ``EXPLORE_DEEP=1`` all of them may be, in more scenarios:
that takes half an hour, and is for changes to what is explored.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth._protocol import flow
from httpx_cobo_auth._protocol import token_endpoint as exchange
from httpx_cobo_auth._protocol.account import Account
from httpx_cobo_auth._protocol.effects import Save
from httpx_cobo_auth._protocol.notes import Note
from httpx_cobo_auth._protocol.records import PendingExchange, Record
from httpx_cobo_auth._protocol.renewal import Renewal
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.verdicts import (
    ExchangeFailure,
    Outcome,
    Verdict,
    classify_exchange,
    classify_response,
)
from httpx_cobo_auth._runtime.permits import Permits
from tests.exploration.explore import Explored, PropertyBrokenError, explore_named
from tests.exploration.scenarios import BY_NAME, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from httpx_cobo_auth._protocol.effects import Flow, ResponseSummary
    from httpx_cobo_auth._protocol.records import Version
    from httpx_cobo_auth._protocol.tokens import HeldToken, Token
    from httpx_cobo_auth._runtime.permits import Permit
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
    begin_write = Permits.begin_write

    def begin(self: Permits) -> Permit | None:
        state = self._cell.value
        self._cell.set(replace(state, door_closed=False))
        permit = begin_write(self)
        self._cell.set(state)
        return permit

    monkeypatch.setattr(Permits, "begin_write", begin)


def nobody_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose all wake-ups."""

    def wake(_self: Permits) -> None:
        pass

    monkeypatch.setattr(Permits, "wake", wake)


def no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchange without noting it."""

    def write(
        self: Note, expected: Version, owner: str, *, in_doubt: bool, optional: bool
    ) -> Flow[Record]:
        del in_doubt, optional
        record = self._record
        yield from Save(record.revised(owner), expected)
        return record.with_pending(PendingExchange(owner, 0.0))

    monkeypatch.setattr(Note, "write", write)


def no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget that an exchange has begun."""

    def begin(self: Account) -> int:
        return self._change(exchanges=self.known.exchanges + 1).exchanges

    monkeypatch.setattr(Account, "begin", begin)


def noted_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a refresh token although an exchange with it is noted."""
    exchange = Renewal._exchange

    def spend(
        self: Renewal, record: Record, expected: Version, *, broken: bool
    ) -> Flow[HeldToken | None]:
        del broken
        return exchange(self, record, expected, broken=False)

    monkeypatch.setattr(Renewal, "_exchange", spend)


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

    def renewed(
        self: Renewal, record: Record, expected: Version, *, broken: bool
    ) -> Flow[HeldToken | None]:
        yield from once(self, record, expected, broken=broken)
        return None

    monkeypatch.setattr(Renewal, "_exchange", renewed)


def seat_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never give the permit to renew back."""
    release = Permits.release

    def writes_only(self: Permits, number: int, error: CoboAuthError | None = None) -> None:
        if not self.is_renewal(number):
            release(self, number, error)

    monkeypatch.setattr(Permits, "release", writes_only)


def each_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a renewal in vain once for each request that it did not help."""
    did_not_help = RenewalThrottle.did_not_help

    def once_more(self: RenewalThrottle, now: float, kind: str, *, forced: bool) -> RenewalThrottle:
        failures = sum(backoff.failures for _, backoff in self.ineffective)
        return did_not_help(self, now + 1000.0 * failures, kind, forced=forced)

    monkeypatch.setattr(RenewalThrottle, "did_not_help", once_more)


@pytest.mark.parametrize(
    ("breaks", "name", "says"),
    [
        (no_drain, "renew()", "meets a token that an exchange"),
        (open_door, "renew()", "meets a token that an exchange"),
        (nobody_woken, "EXPIRED", "nobody can go on"),
        (seat_kept, "EXPIRED", "nobody can go on|ends with something held"),
        (no_note, "two processes, fail", "is sent again"),
        (no_doubt, "renew()", "meets a token that an exchange"),
        (noted_is_spent, "noted by somebody gone", "is sent again"),
        (lost_is_unsent, "EXPIRED", "is sent again"),
        (failed_is_refused, "bad write", "is replayed, though it may have run"),
        (renewed_for_nothing, "bad read", "is given the token endpoint's answer"),
        (each_counts, "two reads, always 401", "renewals in vain"),
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
