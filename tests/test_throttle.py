"""How often renewals may be forced, and how long the memory of that lasts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey
from httpx_cobo_auth._protocol.throttle import RenewalThrottle, kind_of
from tests.fuzzing import fuzz

NOW = 1_800_000_000.0


KIND = "GET /x"


def ineffective(times: int, kind: str = KIND) -> RenewalThrottle:
    """Make the memory of so many renewals that did not help, each after the wait, the last now."""
    throttle = RenewalThrottle()
    for left in reversed(range(times)):
        throttle = throttle.did_not_help(NOW - 1000 * left, kind, forced=False)
    return throttle


def forced(*ago: float) -> RenewalThrottle:
    return RenewalThrottle(forced_at=tuple(NOW - seconds for seconds in ago))


@pytest.mark.hazard(27, 56)
@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/v2/wallets", "GET /v2/wallets"),
        ("POST", "/v2/transactions/transfer", "POST /v2/transactions/transfer"),
        ("GET", "/v2/transactions/7fa9cf38-0000-41d2-8c1f-52c31e1a0f5b", "GET /v2/transactions/*"),
        ("GET", "/v2/wallets/f47ac10b58cc4372a5670e02b2c3d479/tokens", "GET /v2/wallets/*/tokens"),
        ("GET", "/v2/addresses/0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B", "GET /v2/addresses/*"),
        ("GET", "/v2/orders/2026-11-26", "GET /v2/orders/*"),
        ("GET", "/v2/things/" + "a" * 33, "GET /v2/things/*"),
        ("GET", "/v2//wallets/", "GET /v2/wallets"),
        ("GET", "/", "GET /"),
        ("GET", "/v2/web3-wallets/ETH_USDT", "GET /v2/*/ETH_USDT"),
    ],
)
def test_a_kind_is_a_method_and_a_path_without_identifiers(
    method: str, path: str, kind: str
) -> None:
    """So a thousand transactions are one kind; and it is never long."""
    assert kind_of(method, path) == kind
    assert len(kind_of(method, path * 50)) <= 200


class TestIneffective:
    @pytest.mark.hazard(27)
    def test_at_first_nothing_waits(self) -> None:
        """One forced renewal is free."""
        assert RenewalThrottle().wait(NOW, KIND) == 0.0
        assert RenewalThrottle().contention(NOW) == 0.0

    @pytest.mark.hazard(27)
    @pytest.mark.parametrize(
        ("times", "seconds"),
        [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 600), (7, 600), (50, 600)],
    )
    def test_each_doubles_the_wait_of_its_kind(self, times: int, seconds: float) -> None:
        """From 30 s to 10 min. Requests of other kinds wait for 30 s."""
        throttle = ineffective(times)
        assert throttle.wait(NOW, KIND) == seconds
        assert throttle.wait(NOW + seconds - 1, KIND) == 1
        assert throttle.wait(NOW + seconds, KIND) == 0
        assert throttle.wait(NOW + 10 * seconds, KIND) == 0
        assert throttle.wait(NOW, "GET /y") == 30
        assert throttle.wait(NOW + 30, "GET /y") == 0

    @pytest.mark.parametrize("times", [1, 2, 7])
    def test_a_kind_that_the_token_proved_waits_only_for_its_own(self, times: int) -> None:
        """The odd refusals of another program do not keep it from renewing a token that died."""
        throttle = ineffective(times)
        assert throttle.wait(NOW, "GET /y", proven=True) == 0.0
        assert throttle.wait(NOW, KIND, proven=True) == throttle.wait(NOW, KIND)
        contended = RenewalThrottle(throttle.ineffective, (NOW,) * 4)
        assert contended.wait(NOW, "GET /y", proven=True) == 30.0

    @pytest.mark.hazard(21)
    def test_a_count_out_of_a_record_breaks_nothing(self) -> None:
        """However large it is; a power of two would not fit into a float."""
        throttle = RenewalThrottle(((KIND, Backoff(10**9, 0.0)),))
        assert throttle.did_not_help(NOW, KIND, forced=False).wait(NOW, KIND) == 600

    @pytest.mark.hazard(43)
    def test_acceptance_ends_the_wait_of_its_kind(self) -> None:
        """How often renewals were forced is not forgotten."""
        throttle = ineffective(3).forced(NOW)
        assert throttle.accepted(KIND) == RenewalThrottle(forced_at=(NOW,))
        assert throttle.accepted("GET /y") is throttle

    def test_a_renewal_that_helped_ends_all_waits(self) -> None:
        """The new token works, so those of other kinds may as well be refused for old reasons."""
        both = ineffective(2).did_not_help(NOW, "GET /y", forced=False).forced(NOW)
        assert both.helped() == RenewalThrottle(forced_at=(NOW,))

    @pytest.mark.hazard(27)
    def test_one_renewal_did_not_help_once(self) -> None:
        """For however many requests at the same time; none prolongs the wait."""
        throttle = ineffective(1)
        assert throttle.did_not_help(NOW + 29, KIND, forced=False) == throttle
        later = throttle.did_not_help(NOW + 31, KIND, forced=False)
        assert later.wait(NOW + 31, KIND) == 60

    @pytest.mark.hazard(43)
    @pytest.mark.parametrize("waiting", [False, True])
    def test_what_did_not_help_is_no_contention(self, *, waiting: bool) -> None:
        """A renewal that was counted as forced counts so no longer."""
        throttle = (ineffective(1) if waiting else RenewalThrottle()).forced(NOW)
        assert throttle.did_not_help(NOW, KIND, forced=True) == ineffective(1)

    def test_eight_kinds_are_remembered(self) -> None:
        """The latest: a record does not grow."""
        throttle = RenewalThrottle()
        for number in range(20):
            throttle = throttle.did_not_help(NOW, f"GET /{number}", forced=False)
        assert [kind for kind, _ in throttle.ineffective] == [f"GET /{n}" for n in range(12, 20)]

    @pytest.mark.hazard(31)
    @pytest.mark.parametrize("step", [-3600.0, -86400.0])
    def test_a_clock_set_back_makes_no_longer_wait(self, step: float) -> None:
        """A wait longer than any there is means nothing."""
        assert ineffective(9).wait(NOW + step, KIND) == 0.0
        assert ineffective(1).wait(NOW - 570, KIND) == 600
        assert ineffective(1).wait(NOW - 571, KIND) == 0.0


class TestContention:
    @pytest.mark.hazard(43)
    def test_four_within_the_hour_are_free(self) -> None:
        """A permission changed, a token revoked: that happens."""
        for count in range(4):
            assert forced(*range(count)).wait(NOW, KIND) == 0.0
            assert forced(*range(count)).contention(NOW) == 0.0

    @pytest.mark.hazard(43)
    @pytest.mark.parametrize(
        ("count", "seconds"), [(4, 30), (5, 60), (6, 120), (9, 600), (99, 600)]
    )
    def test_more_are_held_off(self, count: int, seconds: float) -> None:
        """Somebody else renews the same token; the more, the longer."""
        throttle = forced(*[0.0] * count)
        assert throttle.contention(NOW) == throttle.wait(NOW, KIND) == seconds
        assert throttle.contention(NOW + seconds) == throttle.wait(NOW + seconds, KIND) == 0.0

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
        assert forced(0, 0, 0, 0, 0).wait(NOW + step, KIND) == 0.0
        assert forced(0, 0, 0, 0, 0).forced(NOW + step).forced_at == (NOW + step,)

    @pytest.mark.hazard(43)
    def test_the_longer_of_both_waits_counts(self) -> None:
        """Both at once."""
        assert forced(*[5] * 4).did_not_help(NOW, KIND, forced=False).wait(NOW, KIND) == 30
        assert forced(*[0] * 9).did_not_help(NOW, KIND, forced=False).wait(NOW, KIND) == 600


@pytest.mark.hazard(27)
@fuzz(200)
@given(
    throttle=st.builds(
        RenewalThrottle,
        ineffective=st.lists(
            st.tuples(
                st.text(max_size=3),
                st.builds(Backoff, st.integers(0, 10**12), st.floats(allow_nan=False)),
            ),
            max_size=8,
        ).map(tuple),
        forced_at=st.lists(st.floats(NOW - 1e4, NOW + 1e4), max_size=20).map(tuple),
    ),
    now=st.floats(NOW - 1e4, NOW + 1e4),
)
def test_no_wait_is_longer_than_ten_minutes(throttle: RenewalThrottle, now: float) -> None:
    """Whatever a stored record says."""
    for memory in (
        throttle,
        throttle.forced(now),
        throttle.did_not_help(now, "x", forced=True),
        throttle.accepted("x"),
        throttle.helped(),
    ):
        assert 0.0 <= memory.wait(now, "x") <= 600.0 + 1e-3
        assert 0.0 <= memory.contention(now) <= 600.0 + 1e-3


class TestRecords:
    def test_versions_tell_records_apart(self) -> None:
        """By generation and by the exchange noted; what else is in it does not matter."""
        record = Record()
        noted = record.with_pending(PendingExchange("me", NOW))
        assert record.version == (0, None)
        assert noted.version == (0, "me")
        assert Record(7, throttle=ineffective(1)).version == (7, None)
        assert record.revised("mine", throttle=ineffective(1)).version == (0, "mine")

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


def test_a_renewal_forced_an_hour_ago_is_forgotten() -> None:
    """At the very second: three newer ones are not four."""
    assert (
        RenewalThrottle(forced_at=(NOW - 3599.0, NOW - 3, NOW - 2, NOW - 1)).contention(NOW) == 29.0
    )
    hour_ago = RenewalThrottle(forced_at=(NOW - 3600.0, NOW - 3, NOW - 2, NOW - 1))
    assert hour_ago.contention(NOW) == 0.0
    assert hour_ago.forced(NOW).forced_at == (NOW - 3, NOW - 2, NOW - 1, NOW)
