"""Where one thing ends and the next begins: the exact edges of what the flow goes by."""

from __future__ import annotations

from hashlib import sha256

import pytest
from nacl.signing import SigningKey

from httpx_cobo_auth._protocol.effects import ResponseSummary
from httpx_cobo_auth._protocol.nonces import NonceSource
from httpx_cobo_auth._protocol.records import Record
from httpx_cobo_auth._protocol.signing import verified_time
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.tokens import HeldToken, TokenState
from httpx_cobo_auth._protocol.verdicts import Verdict, classify_response
from httpx_cobo_auth.errors import TokenEndpointError
from tests.flow.stepping import Desk

NOW = 1_800_000_000.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_clock_may_be_off_by_a_minute(sign: float) -> None:
    """Cobo takes a nonce that is up to 60 s off: only beyond that is the clock to blame."""
    assert classify_response(ResponseSummary(401, 2021, sign * 60.0)) is Verdict.REFUSED
    assert classify_response(ResponseSummary(401, 2021, sign * 60.001)) is Verdict.CLOCK_OFF


def test_a_correction_forgets_the_nonces_before_it() -> None:
    """The next nonce is the corrected time itself, however early that is."""
    clock = Desk().clock
    source = NonceSource(clock)
    assert source.next() == 1_800_000_000_000
    source.correct_by(0.0015 - clock.time())
    assert source.next() == 1
    assert source.next() == 2


def test_the_first_nonce_is_the_time_itself() -> None:
    """However early that is."""
    desk = Desk()
    desk.clock.step(0.0015 - desk.now)
    assert NonceSource(desk.clock).next() == 1


def test_a_spacing_that_was_reset_does_not_come_back_from_the_store() -> None:
    """The stored record still has it until the next save; reading that brings no wait back."""
    desk = Desk()
    account = desk.account
    account.vain("GET /x")
    stored = Record(1, desk.token("a"), throttle=account.throttle)
    account.accepted("GET /x")
    account.saw(stored)
    assert account.forced_wait() == 0.0
    assert account.throttle.ineffective_count == 0


def test_renewals_forced_in_the_same_instant_are_all_counted() -> None:
    """A clock that stands still, or is coarse, does not make two of them one."""
    assert RenewalThrottle().forced(NOW).forced(NOW).forced_at == (NOW, NOW)


def test_the_longest_wait_is_a_wait() -> None:
    """Ten minutes from now is as far as a wait goes: a renewal in vain is still in vain once."""
    longest = RenewalThrottle(ineffective_count=9).ineffective(NOW, "GET /x")
    assert longest.ineffective_until == NOW + 600
    assert longest.wait(NOW) == 600
    assert longest.ineffective(NOW, "GET /y") is longest


def test_a_renewal_forced_an_hour_ago_is_forgotten() -> None:
    """At the very second: three newer ones are not four."""
    assert (
        RenewalThrottle(forced_at=(NOW - 3599.0, NOW - 3, NOW - 2, NOW - 1)).contention(NOW) == 29.0
    )
    hour_ago = RenewalThrottle(forced_at=(NOW - 3600.0, NOW - 3, NOW - 2, NOW - 1))
    assert hour_ago.contention(NOW) == 0.0
    assert hour_ago.forced(NOW).forced_at == (NOW - 3, NOW - 2, NOW - 1, NOW)


@pytest.mark.parametrize("reached", ["wall", "monotonic"])
def test_a_deadline_that_is_reached_has_passed(reached: str) -> None:
    """On either clock, while the other has time left: STALE, then EXPIRED, not a moment later."""
    desk = Desk()
    clock = desk.clock
    reads = {"wall": clock.time(), "monotonic": clock.monotonic()}

    def state(*passed: str) -> TokenState:
        deadlines = {
            f"{kind}_{name}": at + (name != reached or kind not in passed)
            for name, at in reads.items()
            for kind in ("stale", "expired")
        }
        return HeldToken(desk.token("a"), 1, **deadlines).state(clock)

    assert state() is TokenState.FRESH
    assert state("stale") is TokenState.STALE
    assert state("stale", "expired") is TokenState.EXPIRED


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [("99999999999", 99_999_999_999.0), ("100000000000", 100_000_000.0), ("7", 7.0)],
)
def test_a_timestamp_of_twelve_digits_is_in_milliseconds(timestamp: str, seconds: float) -> None:
    """From 1973 on, that is; as seconds, it would be three thousand years from now."""
    key = SigningKey(b"k" * 32)
    digest = sha256(sha256(f"body|{timestamp}".encode()).digest()).digest()
    signature = key.sign(digest).signature.hex()
    found = verified_time(key.verify_key.encode().hex(), b"body", timestamp, signature)
    assert found == seconds


@pytest.mark.parametrize("forgotten", [False, True])
def test_at_first_nothing_is_known(*, forgotten: bool) -> None:
    """Nor that anything stands in the way of the first token; ``forget`` brings that back."""
    desk = Desk()
    account = desk.account
    if forgotten:
        desk.having("a", 7)
        account.begin()
        account.refuse(desk.held, "GET /x")
        account.early_failed()
        account.may_look()
        account.failed(TokenEndpointError("the line is dead"), at_least=60.0)
        account.keep_unsaved(desk.record("b"), (7, None))
        account.vain("GET /x")
        account.forget()
    assert account.settled
    assert account.held is None
    assert account.refused_cause == ""
    assert account.epoch == 0
    assert account.next_generation == 1
    assert account.throttle == RenewalThrottle(0, 0.0, "", ())
    assert account.early_allowed()
    assert account.may_look()
    assert account.held_failure() is None
