"""Tokens: how long they are good for, by any clock, and what a reply has to be to become one."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import pickle
import sys
import traceback
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from httpx_cobo_auth import Token
from httpx_cobo_auth._protocol.reply_body import ReplyBody
from httpx_cobo_auth._protocol.tokens import (
    DEFAULT_LIFETIME_S,
    HeldToken,
    TokenState,
    parse_token_reply,
)
from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import CoboOAuth, httpx
from tests.flow.stepping import Desk
from tests.fuzzing import fuzz
from tests.interrupts import ANY_OPCODE, Interrupt

LIFETIMES = [1, 5, 30, 59, 600, 43199]
START = 1_800_000_000.0
HOUR = 3600.0
ACCESS, REFRESH = "acc-" + "7" * 60, "ref-" + "8" * 60

many = fuzz(150, suppress_health_check=[HealthCheck.too_slow])


def reads_replies(file: str) -> bool:
    return "httpx_cobo_auth" in file and file.endswith(("tokens.py", "reply_body.py"))


def issued(lifetime: float, name: str = "token", at: float = START) -> Token:
    return Token(access_token=name, expires_at=at + lifetime, obtained_at=at)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


def state_after(lifetime: float, seconds: float) -> TokenState:
    clock = ManualClock(START)
    held = HeldToken(issued(lifetime), 1).timed(clock, 0.0)
    clock.advance(seconds)
    return held.state(clock)


# ----------------------------------------------------------------------------------- states
class TestStates:
    @pytest.mark.hazard(29)
    @pytest.mark.parametrize("lifetime", LIFETIMES)
    def test_a_token_passes_through_three_states(self, lifetime: int) -> None:
        """FRESH for three quarters of its life at least, then STALE, then EXPIRED."""
        token = issued(lifetime)
        window, margin = token.renewal_window, token.margin
        assert 0 < margin < window <= lifetime / 4
        assert state_after(lifetime, 0) is TokenState.FRESH
        assert state_after(lifetime, 0.74 * lifetime) is TokenState.FRESH
        assert state_after(lifetime, lifetime - window - 0.001) is TokenState.FRESH
        assert state_after(lifetime, lifetime - window + 0.001) is TokenState.STALE
        assert state_after(lifetime, lifetime - margin - 0.001) is TokenState.STALE
        assert state_after(lifetime, lifetime - margin + 0.001) is TokenState.EXPIRED
        assert state_after(lifetime, lifetime) is TokenState.EXPIRED
        assert state_after(lifetime, 10 * lifetime) is TokenState.EXPIRED

    @pytest.mark.hazard(29)
    @pytest.mark.parametrize("lifetime", LIFETIMES)
    def test_windows_are_capped(self, lifetime: int) -> None:
        """At most 20 minutes and a quarter; the margin at most 30 s and a tenth."""
        for token in (issued(lifetime, f"token {number}") for number in range(100)):
            widest = min(1200, lifetime / 4)
            assert 0.75 * widest <= token.renewal_window <= widest
            assert token.margin == min(30, lifetime / 10)

    @pytest.mark.hazard(29)
    @pytest.mark.parametrize("lifetime", LIFETIMES)
    def test_a_fleet_spreads_out(self, lifetime: int) -> None:
        """100 tokens turn STALE at many moments, all through the jitter's range."""
        windows = [issued(lifetime, f"token {number}").renewal_window for number in range(100)]
        widest = min(1200, lifetime / 4)
        spread = sorted((widest - window) / (widest / 4) for window in windows)
        assert len(set(windows)) > 60
        assert spread[0] < 0.1
        assert spread[-1] > 0.9
        assert 0.35 < sum(spread) / 100 < 0.65

    @pytest.mark.hazard(42)
    def test_all_who_share_a_token_agree(self) -> None:
        """The jitter comes from the token, not from the process."""
        twins = [issued(43199, "one and the same", START + shift) for shift in (0, 0, 7)]
        assert len({token.renewal_window for token in twins}) == 1

    def test_a_token_without_a_life_is_expired(self, clock: ManualClock) -> None:
        """One that was dead when it came, as a stored one may be."""
        dead = issued(-5)
        assert dead.lifetime == dead.renewal_window == dead.margin == 0
        assert HeldToken(dead, 1).timed(clock, 0.0).state(clock) is TokenState.EXPIRED

    @pytest.mark.hazard(23)
    def test_a_stored_token_has_what_is_left_of_its_life(self, clock: ManualClock) -> None:
        """The expiry is absolute; a restart does not begin it anew."""
        token = issued(600, at=START - 580)
        held = HeldToken(token, 1).timed(clock, 0.0)
        assert held.state(clock) is TokenState.EXPIRED
        assert (
            HeldToken(issued(600, at=START - 500), 1).timed(clock, 0.0).state(clock)
            is TokenState.STALE
        )


class TestSteps:
    @pytest.mark.hazard(31, 69)
    @pytest.mark.parametrize("lifetime", LIFETIMES)
    @pytest.mark.parametrize("step", [-24 * HOUR, -HOUR, -1.0])
    def test_a_clock_set_back_lengthens_no_life(
        self, clock: ManualClock, lifetime: int, step: float
    ) -> None:
        """The monotonic deadline wins."""
        held = HeldToken(issued(lifetime), 1).timed(clock, 0.0)
        clock.step(step)
        assert held.state(clock) is TokenState.FRESH
        clock.advance(lifetime - held.token.margin + 0.001)
        assert held.state(clock) is TokenState.EXPIRED

    @pytest.mark.hazard(31)
    @pytest.mark.parametrize("lifetime", LIFETIMES)
    def test_a_clock_set_forwards_ends_a_life(self, clock: ManualClock, lifetime: int) -> None:
        """As it does after a suspend, through which the monotonic clock sleeps."""
        held = HeldToken(issued(lifetime), 1).timed(clock, 0.0)
        clock.step(lifetime)
        assert held.state(clock) is TokenState.EXPIRED
        assert not held.is_fresh(clock)

    @pytest.mark.hazard(31, 57)
    def test_a_clock_that_is_behind_lengthens_no_stored_life(self, clock: ManualClock) -> None:
        """Another host wrote the record, and its clock is half a minute ahead of ours."""
        held = HeldToken(issued(600, at=START + 30), 1).timed(clock, 0.0)
        assert held.state(clock) is TokenState.FRESH
        clock.advance(600)
        assert held.state(clock) is TokenState.EXPIRED

    @pytest.mark.hazard(31, 69)
    def test_a_stored_token_from_the_future_has_an_unknown_age(self, clock: ManualClock) -> None:
        """Our clock was set back since, or is wrong: it may have died long ago."""
        held = HeldToken(issued(600, at=START + 61), 1).timed(clock, 0.0)
        assert held.state(clock) is TokenState.EXPIRED
        ahead = HeldToken(issued(600, at=START + HOUR), 1).timed(clock, HOUR)
        assert ahead.state(clock) is TokenState.FRESH

    @pytest.mark.hazard(31)
    @many
    @given(
        lifetime=st.sampled_from(LIFETIMES),
        moves=st.lists(
            st.tuples(st.sampled_from(["step", "advance"]), st.floats(-1e5, 1e5, width=32)),
            max_size=8,
        ),
    )
    def test_no_step_lengthens_any_life(
        self, lifetime: int, moves: list[tuple[str, float]]
    ) -> None:
        """Wherever the wall clock goes, real time is the bound."""
        clock = ManualClock(START)
        held, lived = HeldToken(issued(lifetime), 1).timed(clock, 0.0), 0.0
        for kind, seconds in moves:
            if kind == "step":
                clock.step(seconds)
            else:
                clock.advance(abs(seconds))
                lived += abs(seconds)
            if lived >= lifetime:
                assert held.state(clock) is TokenState.EXPIRED
            assert held.is_fresh(clock) == (held.state(clock) is TokenState.FRESH)

    @pytest.mark.hazard(31)
    @pytest.mark.parametrize("lifetime", LIFETIMES)
    def test_steps_by_hours_loop_nowhere(self, lifetime: int) -> None:
        """Each step costs an exchange, and one refused for its nonce, at most.

        Every request gets through.
        """
        clock = ManualClock(START)
        simulator = CoboSimulator(clock=ManualClock(START), token_lifetime=lifetime)
        auth = CoboOAuth(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            org_id=simulator.org_id,
            environment=simulator.environment,
            clock=clock,
        )
        steps = [HOUR, -2 * HOUR, HOUR, 13 * HOUR, -13 * HOUR, -5 * HOUR, 5 * HOUR]
        with auth.client(transport=simulator) as client:
            assert client.get("/wallets").status_code == 200
            for number, step in enumerate(steps, start=1):
                clock.step(step)
                for _ in range(20):
                    assert client.get("/wallets").status_code == 200
                assert simulator.counters.exchanges <= 1 + 2 * number
        assert simulator.counters.spent_refresh_reused == 0

    @pytest.mark.hazard(29)
    @pytest.mark.parametrize("lifetime", LIFETIMES)
    def test_short_lives_loop_nowhere(self, lifetime: int) -> None:
        """Over ten lives, read every tenth of one, an exchange or two for each.

        A read that does not wait for the renewal may meet its end: that one is sent again.
        """
        clock = ManualClock(START)
        simulator = CoboSimulator(clock=clock, token_lifetime=lifetime)
        auth = CoboOAuth(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            org_id=simulator.org_id,
            environment=simulator.environment,
            clock=clock,
        )
        with auth.client(transport=simulator) as client:
            for _ in range(100):
                assert client.get("/wallets").status_code == 200
                cast("Any", client)._settle()  # No renewal is under way while the clock jumps.
                clock.advance(lifetime / 10)
        assert 10 <= simulator.counters.exchanges <= 14
        assert simulator.counters.rejected <= simulator.counters.exchanges


# ------------------------------------------------------------------------------ token values
class TestToken:
    token = Token(access_token=ACCESS, refresh_token=REFRESH, expires_at=2.0, obtained_at=1.0)

    @pytest.mark.hazard(37)
    def test_a_token_shows_no_secret(self) -> None:
        """In repr, str, format and vars, alone or held."""
        held = HeldToken(self.token, 3).timed(ManualClock(START), 0.0)
        for shown in (repr(self.token), str(self.token), f"{self.token}", repr(held), str([held])):
            assert ACCESS not in shown
            assert REFRESH not in shown
            assert "expires_at=2.0" in shown
        assert not hasattr(self.token, "__dict__")

    @pytest.mark.hazard(30)
    def test_a_token_is_frozen(self) -> None:
        """Who reads one reads all of it."""
        with pytest.raises(dataclasses.FrozenInstanceError):
            self.token.access_token = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

    def test_a_copy_is_the_token_itself(self) -> None:
        """It never changes."""
        assert copy.copy(self.token) is self.token
        assert copy.deepcopy([self.token])[0] is self.token

    @pytest.mark.hazard(37)
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_a_token_is_not_pickled(self, protocol: int) -> None:
        """A pickle would hold it in the clear; so would one of what holds it."""
        held = HeldToken(self.token, 3).timed(ManualClock(START), 0.0)
        for thing in (self.token, held, [self.token]):
            with pytest.raises(TypeError, match="cannot be pickled"):
                pickle.dumps(thing, protocol)

    def test_its_defaults_are_those_of_the_protocol(self) -> None:
        """A bearer, without scope, perhaps without a refresh token."""
        token = Token(access_token="a", expires_at=2.0, obtained_at=1.0)
        assert (token.token_type, token.scope, token.refresh_token) == ("Bearer", "", None)
        assert token.lifetime == 1.0


# ------------------------------------------------------------------------------ token replies
GOOD: dict[str, Any] = {
    "access_token": ACCESS,
    "token_type": "Bearer",
    "scope": "",
    "expires_in": 43199,
    "refresh_token": REFRESH,
}


def parse(body: bytes, previous: Token | None = None) -> Token | str:
    return parse_token_reply(body, sent_at=START, obtained_at=START + 2, previous=previous)


def reply(**changes: Any) -> bytes:  # noqa: ANN401 - fields of any type
    return json.dumps({**GOOD, **changes}).encode()


def without(*names: str) -> bytes:
    return json.dumps({name: value for name, value in GOOD.items() if name not in names}).encode()


PROBLEMS = {
    "not JSON": "it is not JSON",
    "not a JSON object": "it is not a JSON object",
    "access_token": "access_token is missing or is no bearer token",
    "refresh_token": "refresh_token is not a token",
    "expires_in": "expires_in is not a whole number",
    "life": "expires_in is not a sensible number of seconds",
    "token_type": "token_type is not Bearer",
    "scope": "scope is not text",
}


class TestReplies:
    def test_a_good_reply_is_a_token(self) -> None:
        """Its life counts from when the exchange was sent."""
        assert parse(reply()) == Token(
            access_token=ACCESS,
            refresh_token=REFRESH,
            expires_at=START + 43199,
            obtained_at=START,
        )

    def test_only_two_fields_are_needed(self) -> None:
        """No field is marked required; these are what a token is."""
        token = parse(without("token_type", "scope", "refresh_token"))
        assert token == Token(access_token=ACCESS, expires_at=START + 43199, obtained_at=START)

    @pytest.mark.hazard(72)
    @pytest.mark.parametrize("body", [without("expires_in"), reply(expires_in=None)])
    @pytest.mark.parametrize("lifetime", [None, 5.0, 43199.0])
    def test_a_missing_lifetime_is_a_documented_one(
        self, body: bytes, lifetime: float | None
    ) -> None:
        """Hazard 72: no field is marked required. An hour, or as set; counted as any other."""
        given = {} if lifetime is None else {"default_lifetime": lifetime}
        token = parse_token_reply(
            body, sent_at=START, obtained_at=START + 2, previous=None, **given
        )
        assert isinstance(token, Token)
        assert token.obtained_at == START
        assert token.lifetime == (3600.0 if lifetime is None else lifetime)
        assert DEFAULT_LIFETIME_S == 3600.0

    def test_a_lifetime_that_is_given_counts(self) -> None:
        """The default is for replies that have none."""
        token = parse_token_reply(
            reply(expires_in=7), sent_at=START, obtained_at=START, previous=None, default_lifetime=9
        )
        assert isinstance(token, Token)
        assert token.lifetime == 7

    @pytest.mark.hazard(58)
    @pytest.mark.parametrize("body", [reply(), b"[" + reply() + b"]", reply()[:-1]])
    def test_a_reply_is_read_once_and_shows_nothing(self, body: bytes) -> None:
        """Hazard 58: in a holder that is emptied; neither it nor what is read shows a token."""
        held = ReplyBody(body)
        assert repr(held) == f"<a body of {len(body)} bytes, not shown>"
        parse_token_reply(held, sent_at=START, obtained_at=START, previous=None)
        assert bytes(held) == b""
        assert len(held) == 0
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            pickle.dumps(held)

    @pytest.mark.hazard(58)
    def test_no_frame_shows_a_reply_wherever_reading_is_interrupted(self) -> None:
        """Hazard 58: an exception of a signal handler at any bytecode of the package's.

        All locals of the package's frames are looked at, and what they hold, as error trackers
        do for text, bytes, lists and mappings.
        """
        moment = 0
        for moment in itertools.count():
            held = ReplyBody(reply())

            def read(held: ReplyBody = held) -> None:
                parse_token_reply(held, sent_at=START, obtained_at=START, previous=None)

            interrupt = Interrupt(moment, reads_replies, ANY_OPCODE)
            interrupt.strike(read)
            if not interrupt.struck:
                break
            assert interrupt.error is not None
            for frame, _ in traceback.walk_tb(interrupt.error.__traceback__):
                if "httpx_cobo_auth" in frame.f_code.co_filename:
                    shown = repr(frame.f_locals)
                    assert ACCESS not in shown
                    assert REFRESH not in shown
        assert moment > 30

    @pytest.mark.hazard(23)
    @pytest.mark.parametrize("body", [without("refresh_token"), reply(refresh_token=None)])
    def test_a_missing_refresh_token_carries_the_old_one_on(self, body: bytes) -> None:
        """RFC 6749, section 6."""
        old = Token(access_token="a", refresh_token="old", expires_at=1.0, obtained_at=0.0)
        token = parse(body, previous=old)
        assert isinstance(token, Token)
        assert token.refresh_token == "old"
        new = parse(reply(), previous=old)
        assert isinstance(new, Token)
        assert new.refresh_token == REFRESH

    @pytest.mark.parametrize(
        "changes",
        [
            {"token_type": "bearer"},
            {"token_type": "BEARER"},
            {"token_type": None},
            {"scope": None},
            {"scope": "wallet:read"},
            {"expires_in": 1},
            {"expires_in": 366 * 24 * 3600},
            {"access_token": "a"},
            {"access_token": "A.b_c~d+e/f-1=="},
            {"access_token": "a" * 4096},
            {"something": {"new": [1]}},
        ],
        ids=str,
    )
    def test_what_the_protocol_allows_is_read(self, changes: dict[str, Any]) -> None:
        """Fields may be missing, or more than are known."""
        said = {**GOOD, **changes}
        assert parse(reply(**changes)) == Token(
            access_token=said["access_token"],
            refresh_token=REFRESH,
            expires_at=START + said["expires_in"],
            obtained_at=START,
            token_type=said["token_type"] or "Bearer",
            scope=said["scope"] or "",
        )

    @pytest.mark.hazard(26)
    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"", "not JSON"),
            (b" ", "not JSON"),
            (b"<html>502</html>", "not JSON"),
            (reply()[:-1], "not JSON"),
            (reply() + b"x", "not JSON"),
            (b"\xff\xfe\xff", "not JSON"),
            (b"\x80" + reply(), "not JSON"),
            (b"[" * 100_000, "not JSON"),
            (b'{"a":' * 100_000, "not JSON"),
            (b"9" * 10_000, "not JSON"),
            (b"null", "not a JSON object"),
            (b"[]", "not a JSON object"),
            (b"[" + reply() + b"]", "not a JSON object"),
            (b'"text"', "not a JSON object"),
            (b"7", "not a JSON object"),
            (b"NaN", "not a JSON object"),
            (b"{}", "access_token"),
            (without("access_token"), "access_token"),
            (reply(access_token=None), "access_token"),
            (reply(access_token=""), "access_token"),
            (reply(access_token=7), "access_token"),
            (reply(access_token=[ACCESS]), "access_token"),
            (reply(access_token="two words"), "access_token"),
            (reply(access_token="line\nbreak"), "access_token"),
            (reply(access_token=ACCESS + "\n"), "access_token"),
            (reply(access_token="a\r\nX-Evil: 1"), "access_token"),
            (reply(access_token="t\u00f6ken"), "access_token"),
            (reply(access_token="a=b"), "access_token"),
            (reply(access_token="="), "access_token"),
            (reply(access_token="a" * 4097), "access_token"),
            (reply(refresh_token=""), "refresh_token"),
            (reply(refresh_token=7), "refresh_token"),
            (reply(refresh_token={}), "refresh_token"),
            (reply(refresh_token="two words"), "refresh_token"),
            (reply(refresh_token="a" * 4097), "refresh_token"),
            (reply(expires_in="43199"), "expires_in"),
            (reply(expires_in=43199.5), "expires_in"),
            (reply(expires_in=43199.0), "expires_in"),
            (reply(expires_in=True), "expires_in"),
            (reply(expires_in=[]), "expires_in"),
            (reply(expires_in=0), "life"),
            (reply(expires_in=-1), "life"),
            (reply(expires_in=366 * 24 * 3600 + 1), "life"),
            (reply(expires_in=10**300), "life"),
            (reply().replace(b"43199", b"1e999"), "expires_in"),
            (reply().replace(b"43199", b"NaN"), "expires_in"),
            (reply().replace(b"43199", b"9" * 10_000), "not JSON"),
            (reply(token_type=""), "token_type"),
            (reply(token_type="MAC"), "token_type"),
            (reply(token_type=["Bearer"]), "token_type"),
            (reply(token_type=7), "token_type"),
            (reply(scope=7), "scope"),
            (reply(scope=["a"]), "scope"),
        ],
        ids=lambda value: repr(value)[:40] if isinstance(value, str) else f"{hash(value):x}",
    )
    def test_what_breaks_the_protocol_is_named(self, body: bytes, problem: str) -> None:
        """As text without any of the reply in it; never as an exception."""
        said = parse(body)
        assert said == PROBLEMS[problem]

    @pytest.mark.hazard(31)
    @pytest.mark.parametrize("step", [-24 * HOUR, -HOUR, HOUR, 24 * HOUR])
    def test_a_step_during_the_exchange_lengthens_no_life(self, step: float) -> None:
        """The wall clock was set while the answer was on its way."""
        clock = ManualClock(START)
        clock.step(step)
        clock.advance(2)
        token = parse_token_reply(reply(), sent_at=START, obtained_at=clock.time(), previous=None)
        assert isinstance(token, Token)
        assert token.lifetime == 43199
        held = HeldToken(token, 1).timed(clock, 0.0)
        clock.advance(43199)
        assert held.state(clock) is TokenState.EXPIRED

    @pytest.mark.hazard(26)
    def test_deep_nesting_raises_nothing(self) -> None:
        """What JSON's parser lets pass by a hair breaks nothing afterwards."""
        limit = sys.getrecursionlimit()
        for depth in range(limit - 120, limit + 5):
            nested = b"[" * depth + b"]" * depth
            for name in (b'"token_type"', b'"scope"', b'"refresh_token"', b'"expires_in"'):
                body = b'{"access_token":"a","expires_in":5,' + name + b":" + nested + b"}"
                assert isinstance(parse(body), str)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from([ACCESS, REFRESH, "Bearer", "bearer", 43199]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(list(GOOD)) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)
cuts = st.tuples(st.integers(0, 200), st.integers(0, 200), st.binary(max_size=4))


def damaged(cut: tuple[int, int, bytes]) -> bytes:
    start, length, patch = cut
    return reply()[:start] + patch + reply()[start + length :]


@pytest.mark.hazard(26)
@many
@given(
    body=st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: text.encode(errors="surrogatepass"))
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(list(GOOD)), json_values).map(lambda some: reply(**some))
    | cuts.map(damaged),
    obtained=st.floats(0, 4e9),
    old=st.none() | st.just("old"),
)
@example(body=reply(scope="\ud800"), obtained=START, old=None)
@example(body=json.dumps(GOOD).encode("utf-16"), obtained=START, old=None)
def test_no_reply_raises(body: bytes, obtained: float, old: str | None) -> None:
    """Whatever comes is a sound token, or text that repeats nothing of it."""
    previous = Token(access_token="a", refresh_token=old, expires_at=1.0, obtained_at=0.0)
    result = parse_token_reply(body, sent_at=START, obtained_at=obtained, previous=previous)
    if isinstance(result, str):
        assert ACCESS[:10] not in result
        assert len(result) < 100
    else:
        header = {"Authorization": f"Bearer {result.access_token}"}
        assert httpx.Headers(header)["Authorization"].isascii()
        assert 0 < round(result.lifetime) <= 366 * 24 * 3600
        assert result.obtained_at == min(START, obtained)
        assert result.refresh_token is None or result.refresh_token.isprintable()
        assert isinstance(repr(result), str)


@pytest.mark.parametrize("reached", ["wall", "monotonic"])
def test_a_deadline_that_is_reached_has_passed(reached: str) -> None:
    """On either clock, while the other has time left: STALE, then EXPIRED, not a moment later."""
    desk = Desk()
    clock = desk.clock
    reads = {"wall": clock.time(), "monotonic": clock.monotonic()}

    def state(*passed: str) -> TokenState:
        deadlines: dict[str, Any] = {
            f"{kind}_{name}": at + (name != reached or kind not in passed)
            for name, at in reads.items()
            for kind in ("stale", "expired")
        }
        return HeldToken(desk.token("a"), 1, **deadlines).state(clock)

    assert state() is TokenState.FRESH
    assert state("stale") is TokenState.STALE
    assert state("stale", "expired") is TokenState.EXPIRED
