"""How often renewals may be forced, and how long the memory of that lasts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from tests.fuzzing import fuzz

NOW = 1_800_000_000.0


def vain(times: int) -> RenewalThrottle:
    """Give the memory of so many renewals in vain, each after the wait for it, the last now."""
    throttle = RenewalThrottle()
    for left in reversed(range(times)):
        throttle = throttle.ineffective(NOW - 1000 * left, "GET /x")
    return throttle


def forced(*ago: float) -> RenewalThrottle:
    return RenewalThrottle(forced_at=tuple(NOW - seconds for seconds in ago))


class TestInVain:
    @pytest.mark.hazard(27)
    def test_at_first_nothing_waits(self) -> None:
        """One forced renewal is free."""
        assert RenewalThrottle().wait(NOW) == 0.0
        assert RenewalThrottle().contention(NOW) == 0.0

    @pytest.mark.hazard(27)
    @pytest.mark.parametrize(
        ("times", "seconds"),
        [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 600), (7, 600), (50, 600)],
    )
    def test_each_one_in_vain_doubles_the_wait(self, times: int, seconds: float) -> None:
        """From 30 s to 10 min."""
        throttle = vain(times)
        assert throttle.ineffective_count == times
        assert throttle.wait(NOW) == seconds
        assert throttle.wait(NOW + seconds - 1) == 1
        assert throttle.wait(NOW + seconds) == 0
        assert throttle.wait(NOW + 10 * seconds) == 0

    @pytest.mark.hazard(21)
    def test_a_count_out_of_a_record_breaks_nothing(self) -> None:
        """However large it is; a power of two would not fit into a float."""
        throttle = RenewalThrottle(ineffective_count=10**9).ineffective(NOW, "GET /x")
        assert throttle.wait(NOW) == 600

    @pytest.mark.hazard(43)
    def test_acceptance_ends_it(self) -> None:
        """The waits are forgotten; how often renewals were forced is not."""
        throttle = vain(3).forced(NOW).accepted()
        assert throttle == RenewalThrottle(forced_at=(NOW,))
        assert throttle.wait(NOW) == 0

    @pytest.mark.hazard(27)
    def test_one_renewal_is_in_vain_once(self) -> None:
        """For however many requests at the same time; none prolongs the wait."""
        throttle = vain(1)
        assert throttle.ineffective(NOW + 29, "POST /y") is throttle
        later = throttle.ineffective(NOW + 31, "POST /y")
        assert (later.ineffective_count, later.ineffective_cause) == (2, "POST /y")
        assert later.wait(NOW + 31) == 60

    @pytest.mark.hazard(31)
    @pytest.mark.parametrize("step", [-3600.0, -86400.0])
    def test_a_clock_set_back_makes_no_longer_wait(self, step: float) -> None:
        """A wait longer than any there is means nothing."""
        assert vain(9).wait(NOW + step) == 0.0
        assert vain(1).wait(NOW - 570) == 600
        assert vain(1).wait(NOW - 571) == 0.0


class TestContention:
    @pytest.mark.hazard(43)
    def test_four_within_the_hour_are_free(self) -> None:
        """A permission changed, a token revoked: that happens."""
        for count in range(4):
            assert forced(*range(count)).wait(NOW) == 0.0
            assert forced(*range(count)).contention(NOW) == 0.0

    @pytest.mark.hazard(43)
    @pytest.mark.parametrize(
        ("count", "seconds"), [(4, 30), (5, 60), (6, 120), (9, 600), (99, 600)]
    )
    def test_more_are_held_off(self, count: int, seconds: float) -> None:
        """Somebody else renews the same token; the more, the longer."""
        throttle = forced(*[0.0] * count)
        assert throttle.contention(NOW) == throttle.wait(NOW) == seconds
        assert throttle.contention(NOW + seconds) == throttle.wait(NOW + seconds) == 0.0

    @pytest.mark.hazard(43)
    def test_the_wait_counts_from_the_last_one(self) -> None:
        """Oldest first, as they are noted."""
        throttle = forced(300, 200, 100, 10)
        assert throttle.contention(NOW) == 20
        assert throttle.contention(NOW + 20) == 0

    @pytest.mark.hazard(43)
    def test_after_an_hour_they_are_forgotten(self) -> None:
        """Also from the record, which does not grow."""
        old = forced(3600, 3601, 4000, 9999)
        assert old.contention(NOW) == 0.0
        assert old.forced(NOW).forced_at == (NOW,)
        assert len(forced(*range(3000, 0, -1)).forced(NOW).forced_at) == 3001
        assert forced(5, 4).forced(NOW).forced_at == (NOW - 5, NOW - 4, NOW)

    @pytest.mark.hazard(31)
    @pytest.mark.parametrize("step", [-3600.0, -7200.0, -10.0])
    def test_those_of_the_future_count_for_nothing(self, step: float) -> None:
        """The clock was set back, or another host's is ahead."""
        assert forced(0, 0, 0, 0, 0).wait(NOW + step) == 0.0
        assert forced(0, 0, 0, 0, 0).forced(NOW + step).forced_at == (NOW + step,)

    @pytest.mark.hazard(43)
    def test_the_longer_of_both_waits_counts(self) -> None:
        """In vain and contention at once."""
        assert forced(*[5] * 4).ineffective(NOW, "x").wait(NOW) == 30
        assert forced(*[0] * 9).ineffective(NOW, "x").wait(NOW) == 600


@pytest.mark.hazard(27)
@fuzz(500)
@given(
    throttle=st.builds(
        RenewalThrottle,
        ineffective_count=st.integers(0, 10**12),
        ineffective_until=st.floats(allow_nan=False),
        ineffective_cause=st.text(max_size=3),
        forced_at=st.lists(st.floats(NOW - 1e4, NOW + 1e4), max_size=20).map(tuple),
    ),
    now=st.floats(NOW - 1e4, NOW + 1e4),
)
def test_no_wait_is_longer_than_ten_minutes(throttle: RenewalThrottle, now: float) -> None:
    """Whatever a stored record says."""
    for memory in (
        throttle,
        throttle.forced(now),
        throttle.ineffective(now, "x"),
        throttle.accepted(),
    ):
        assert 0.0 <= memory.wait(now) <= 600.0 + 1e-3
        assert 0.0 <= memory.contention(now) <= 600.0 + 1e-3


class TestRecords:
    def test_versions_tell_records_apart(self) -> None:
        """By generation and by the exchange noted; what else is in it does not matter."""
        record = Record()
        noted = record.with_pending(PendingExchange("me", NOW))
        assert record.version == (0, None)
        assert noted.version == (0, "me")
        assert Record(7, throttle=vain(1)).version == (7, None)
        assert noted.with_pending(None) == record

    @pytest.mark.hazard(35)
    def test_a_key_says_whose_token_it_is(self) -> None:
        """Environment, client and organization, each of them."""
        keys = {
            StoreKey(base_url, client_id, org_id)
            for base_url in ("https://a", "https://b")
            for client_id in ("c", "d")
            for org_id in ("o", "p")
        }
        assert len(keys) == 8
        assert StoreKey("https://a", "c", "o") in keys


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
