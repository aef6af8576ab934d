"""``CoboSimulator.expect``: one renewal, then the replay, and not one request more or less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import anyio
import pytest

from httpx_cobo_auth.testing import CoboSimulator, IssuedToken, LogEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from httpx_cobo_auth import CoboOAuth
    from httpx_cobo_auth.testing import ManualClock

SECRET = "a8f5f167f44f4964e6c998dee827110c"
LIFETIME_S = 43_199
TOKEN = b"/v2/oauth/token?client_id=app"


# ------------------------------------------------------------------------------ real clients
@pytest.fixture
def client(cobo_client: httpx.Client) -> httpx.Client:
    """A client that has its first token."""
    cobo_client.get("/wallets").raise_for_status()
    return cobo_client


@pytest.mark.parametrize("status", [500, 401])
def test_one_renewal_then_the_replay(
    client: httpx.Client, cobo_simulator: CoboSimulator, status: Literal[500, 401]
) -> None:
    """Whichever way a dead token shows itself."""
    cobo_simulator.expired_status = status
    cobo_simulator.revoke_tokens()
    with cobo_simulator.expect(renewals=1, replays=1):
        client.get("/wallets", params={"limit": 2}).raise_for_status()


def test_a_refusal_may_be_an_injected_one(
    client: httpx.Client, cobo_simulator: CoboSimulator
) -> None:
    """It is told by the answer, as a client tells it."""
    cobo_simulator.inject("/v2/wallets", "answer", status=401, error_code=2021)
    with cobo_simulator.expect(renewals=1, replays=1):
        client.get("/wallets").raise_for_status()
    cobo_simulator.inject("/v2/wallets", "answer", status=500)
    with cobo_simulator.expect():
        assert client.get("/wallets").status_code == 500


def test_a_token_that_ran_out_is_renewed_before_anything_is_refused(
    client: httpx.Client, cobo_simulator: CoboSimulator, cobo_clock: ManualClock
) -> None:
    """One renewal, and nothing to replay."""
    cobo_clock.advance(LIFETIME_S)
    with cobo_simulator.expect(renewals=1):
        client.get("/wallets").raise_for_status()


def test_a_good_token_is_just_used(client: httpx.Client, cobo_simulator: CoboSimulator) -> None:
    """One request, no renewal and no replay is what is expected where nothing is said."""
    with cobo_simulator.expect():
        client.get("/wallets").raise_for_status()
    with cobo_simulator.expect(requests=3):
        for _ in range(3):
            client.post("/echo", json={"same": "body"}).raise_for_status()


def test_a_renewal_needs_no_request(
    cobo_auth: CoboOAuth, client: httpx.Client, cobo_simulator: CoboSimulator
) -> None:
    """As one that a program asks for."""
    with cobo_simulator.expect(renewals=1, requests=0):
        cobo_auth.renew(client)


def test_a_replay_needs_no_renewal(
    client: httpx.Client, cobo_simulator: CoboSimulator, cobo_clock: ManualClock
) -> None:
    """As one after the clock was wrong."""
    cobo_clock.step(-120)
    with cobo_simulator.expect(replays=1):
        client.get("/wallets").raise_for_status()


async def test_calls_side_by_side_are_one_renewal(
    cobo_async_client: httpx.AsyncClient, cobo_simulator: CoboSimulator
) -> None:
    """However many of them are refused before it."""
    await cobo_async_client.get("/wallets")
    cobo_simulator.revoke_tokens()
    with cobo_simulator.expect(renewals=1, replays=None, requests=20):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(cobo_async_client.get, "/wallets")


def test_a_write_that_was_handed_back_is_no_replay(
    client: httpx.Client, cobo_simulator: CoboSimulator
) -> None:
    """A request that was refused, and not sent again, fails whatever the numbers are."""
    cobo_simulator.revoke_tokens()
    told = pytest.raises(AssertionError, match="not sent again: POST /v2/wallets -> 500")
    with told, cobo_simulator.expect(replays=None, requests=None):
        client.post("/wallets", json={"name": "mine"})


def test_a_renewal_that_failed_is_none(client: httpx.Client, cobo_simulator: CoboSimulator) -> None:
    """Two were needed, and both are counted."""
    cobo_simulator.revoke_tokens()
    cobo_simulator.inject("token", "drop")
    with pytest.raises(AssertionError) as told, cobo_simulator.expect(renewals=1, replays=1):
        client.get("/wallets").raise_for_status()
    assert "- renewals: 2, not 1\n- a renewal failed\n" in str(told.value)
    assert "2. POST /v2/oauth/token -> no answer (fault: drop)" in str(told.value)


# -------------------------------------------------------------------------------- made-up ones
def entry_of(letter: str) -> LogEntry:
    """Make up what arrived.

    ``x`` an exchange, ``X`` one that failed; ``a`` to ``c`` three requests answered, ``A`` to
    ``C`` the same refused.
    """
    if letter in "xX":
        failed = letter == "X"
        issued = None if failed else IssuedToken(SECRET, SECRET, 60)
        return LogEntry("GET", TOKEN, (), b"", 400 if failed else 200, None, 0.0, issued=issued)
    refused = letter.isupper()
    body = SECRET.encode() if letter in "cC" else b""  # b and c differ in their bodies
    target = b"/v2/" + (b"a" if letter in "aA" else b"b?token=" + SECRET.encode())
    secret = ((b"Authorization", SECRET.encode()),)
    status = 401 if refused else 200
    return LogEntry("PUT", target, secret, body, status, None, 0.0, refused=refused)


def problems_of(story: str, expected: Mapping[str, int | None]) -> list[str]:
    """Say what is wrong with what arrived: a line each, without what arrived."""
    simulator, told = CoboSimulator(), ""
    try:
        with simulator.expect(**cast("Any", expected)):
            for entry in map(entry_of, story):
                for watcher in simulator._core.watchers:
                    watcher(entry)
    except AssertionError as error:
        told = str(error)
    if not told:
        return []
    first, *lines, last = told.splitlines()
    assert first == "not as expected:"
    assert last.startswith(f"  {len(story)}. " if story else "nothing arrived")
    assert SECRET not in told
    return [line.removeprefix("- ") for line in lines if line.startswith("- ")]


ONE: dict[str, int | None] = {"renewals": 1, "replays": 1}
ANY: dict[str, int | None] = {"replays": None, "requests": None}
ORDER = "the order was not: refused, renewed, replayed"
LOST = "refused, and not sent again: PUT /v2/a -> 401"
LOST_B = "refused, and not sent again: PUT /v2/b?… -> 401"


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("Axa", ONE),
        ("ABxba", {"renewals": 1, "replays": 2, "requests": 2}),
        ("xaAxa", {"renewals": 2, "replays": 1, "requests": 2}),
        ("aAxbBbab", {"renewals": 1, "replays": None, "requests": 5}),
        ("xa", {"renewals": 1}),
        ("a", {}),
        ("abc", {"requests": None}),
        ("", {"requests": 0}),
    ],
)
def test_what_is_as_expected_passes(story: str, expected: dict[str, int | None]) -> None:
    """Every refused request is followed by itself, whatever else goes on."""
    assert problems_of(story, expected) == []


@pytest.mark.parametrize(
    ("story", "expected", "problems"),
    [
        ("", {}, ["requests: 0, not 1"]),
        ("x", {}, ["renewals: 1, not 0", "requests: 0, not 1"]),
        ("a", ONE, ["renewals: 0, not 1", "replays: 0, not 1"]),
        ("xa", ONE, ["replays: 0, not 1"]),
        ("Aa", ONE, ["renewals: 0, not 1"]),
        ("Axxa", ONE, ["renewals: 2, not 1"]),
        ("AXxa", {**ONE, "renewals": 2}, ["a renewal failed"]),
        ("AXa", ONE, ["a renewal failed"]),
        ("Ax", ONE, ["replays: 0, not 1", LOST]),
        ("Axaa", ONE, ["requests: 2, not 1"]),
        ("AxAxa", ONE, ["renewals: 2, not 1", "requests: 2, not 1", LOST]),
        ("Axb", ONE, ["replays: 0, not 1", "requests: 2, not 1", LOST]),
        ("Bxc", ONE, ["replays: 0, not 1", "requests: 2, not 1", LOST_B]),
        ("xAa", ONE, [ORDER]),
        ("Aax", ONE, [ORDER]),
        ("A", ANY, [LOST]),
        ("AxABa", {**ANY, "renewals": 1}, [LOST, LOST_B]),
    ],
)
def test_what_is_not_as_expected_is_told(
    story: str, expected: dict[str, int | None], problems: list[str]
) -> None:
    """Each thing that is wrong in a line of its own, then what arrived; no secret."""
    assert problems_of(story, expected) == problems


def test_a_block_that_fails_is_not_judged(
    client: httpx.Client, cobo_simulator: CoboSimulator
) -> None:
    """Its own error is what a reader has to see."""
    with pytest.raises(ZeroDivisionError), cobo_simulator.expect(renewals=7):
        raise ZeroDivisionError
    assert client.get("/wallets").is_success
    assert cobo_simulator._core.watchers == []


def test_blocks_may_lie_in_each_other_and_be_used_again(
    client: httpx.Client, cobo_simulator: CoboSimulator
) -> None:
    """Each looks at its own requests alone."""
    again = cobo_simulator.expect()
    with cobo_simulator.expect(requests=3):
        for _ in range(2):
            with again:
                client.get("/wallets")
        client.get("/wallets")
    with again:
        client.get("/wallets")


def test_it_shows_nothing_of_what_it_saw(
    client: httpx.Client, cobo_simulator: CoboSimulator
) -> None:
    """Not in its repr either, which pytest prints."""
    with cobo_simulator.expect() as expectation:
        client.get("/wallets")
    assert repr(expectation) == "Expectation(renewals=0, replays=0, requests=1)"
