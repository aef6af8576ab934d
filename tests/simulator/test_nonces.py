"""How strict the simulator is with nonces is for the test to choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth.testing import CoboSimulator
from tests.family import CoboOAuth, httpx
from tests.simulated import UNREACHABLE, App, error_code

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import ManualClock
    from httpx_cobo_auth.testing._settings import NonceCheck

MODES: tuple[NonceCheck, ...] = ("lenient", True, "increasing", "once", "age", False)
NEED_MILLISECONDS: tuple[NonceCheck, ...] = (True, "increasing", "age")
EACH_ONCE: tuple[NonceCheck, ...] = (True, "increasing", "once")


def with_nonce(app: App, bearer: str, nonce: str, target: str = "/v2/echo") -> httpx.Response:
    """Send a well-signed request with this nonce."""
    headers = app.headers("GET", target, bearer=bearer, nonce=nonce)
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    with httpx.Client(transport=app.simulator) as client:
        return client.get(f"{UNREACHABLE}{target}", headers=raw)


def now_ms(app: App, seconds: float = 0.0) -> str:
    """Return the simulator's time, so many seconds on."""
    return str(int((app.simulator.clock.time() + seconds) * 1000))


def test_by_default_it_is_lenient() -> None:
    """So that whatever works against Cobo works against the simulator."""
    assert CoboSimulator().check_nonce == "lenient"


@pytest.mark.parametrize("check", MODES, ids=str)
@pytest.mark.parametrize("offset_s", [-61, 61])
def test_milliseconds_far_from_the_clock_are_refused(
    app: App, bearer: str, check: NonceCheck, offset_s: int
) -> None:
    """Unless nothing is checked. The error names the timestamp, as the documentation does."""
    app.simulator.check_nonce = check
    response = with_nonce(app, bearer, now_ms(app, offset_s))
    if check is False:
        assert response.status_code == 200
    else:
        assert (response.status_code, error_code(response)) == (401, 2024)
        assert "timestamp" in response.json()["error_message"]


@pytest.mark.parametrize("check", MODES, ids=str)
@pytest.mark.parametrize("nonce", ["abc", "-1", "1.5", "²", "12345", "9" * 5000])
def test_any_text_is_a_nonce_where_so_set(
    app: App, bearer: str, check: NonceCheck, nonce: str
) -> None:
    """The documentation allows "any random string"; all SDKs send milliseconds."""
    app.simulator.check_nonce = check
    response = with_nonce(app, bearer, nonce)
    if check in NEED_MILLISECONDS:
        assert (response.status_code, error_code(response)) == (401, 2024)
    else:
        assert response.status_code == 200


@pytest.mark.hazard(74)
@pytest.mark.parametrize("check", MODES, ids=str)
def test_another_request_may_have_the_same_nonce_or_not(
    app: App, bearer: str, check: NonceCheck
) -> None:
    """Where it may, as the SDKs do within a millisecond, it is counted; so it is where not."""
    app.simulator.check_nonce = check
    nonce = now_ms(app)
    first, second = (with_nonce(app, bearer, nonce, f"/v2/echo/{n}") for n in "12")
    assert first.status_code == 200
    assert second.status_code == (401 if check in EACH_ONCE else 200)
    assert app.simulator.counters.nonce_reused == (check is not False)


@pytest.mark.parametrize("check", MODES, ids=str)
def test_the_very_same_request_is_a_replay(app: App, bearer: str, check: NonceCheck) -> None:
    """Refused and counted, as of a transport that retries; a third time as well."""
    app.simulator.check_nonce = check
    nonce = now_ms(app)
    got = [with_nonce(app, bearer, nonce).status_code for _ in range(3)]
    assert got == ([200] * 3 if check in {False, "age"} else [200, 401, 401])
    assert app.simulator.counters.nonce_reused == (0 if check is False else 2)


def test_a_replay_is_refused_in_any_spelling(app: App, bearer: str) -> None:
    """Hex in capitals is the same key, and the same signature."""
    app.simulator.check_nonce = "lenient"
    headers = app.headers("GET", "/v2/echo", bearer=bearer)
    capitals = {name: headers[name].upper() for name in ("Biz-Api-Key", "Biz-Api-Signature")}
    with httpx.Client(transport=app.simulator, base_url=UNREACHABLE) as client:
        got = [client.get("/v2/echo", headers=h) for h in (headers, {**headers, **capitals})]
    assert [response.status_code for response in got] == [200, 401]


@pytest.mark.parametrize(("check", "status"), [(True, 200), ("increasing", 401)], ids=str)
def test_an_earlier_millisecond_may_come_later_or_not(
    app: App, bearer: str, check: NonceCheck, status: int
) -> None:
    """Requests side by side overtake each other; those of a client in turn must not."""
    app.simulator.check_nonce = check
    assert with_nonce(app, bearer, now_ms(app)).status_code == 200
    assert with_nonce(app, bearer, now_ms(app, -1)).status_code == status
    assert with_nonce(app, bearer, now_ms(app, 1)).status_code == 200


def test_each_key_has_nonces_of_its_own(app: App, bearer: str) -> None:
    """Two keys may send the same one."""
    user = App(app.simulator, "22" * 32)
    app.simulator.add_api_key(user.public_key.upper())
    nonce = now_ms(app)
    assert with_nonce(app, bearer, nonce).status_code == 200
    assert with_nonce(user, "", nonce).status_code == 200


def test_old_nonces_are_forgotten(
    app: App, clock: ManualClock, bearer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long run does not collect nonces that are refused for their age anyway."""
    monkeypatch.setattr("httpx_cobo_auth.testing._nonces._KEPT", 2)
    used = app.simulator._core.gate._nonces._of_key
    for _ in range(4):
        assert app.status(bearer) == 200
        clock.advance(200)
    assert len(used[app.public_key].uses) == 1


def test_fresh_nonces_are_kept(app: App, bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are."""
    monkeypatch.setattr("httpx_cobo_auth.testing._nonces._KEPT", 2)
    nonces = [now_ms(app, n) for n in range(5)]
    assert {with_nonce(app, bearer, nonce).status_code for nonce in nonces} == {200}
    assert {with_nonce(app, bearer, nonce).status_code for nonce in nonces} == {401}


def test_this_packages_nonces_pass_the_strictest_check(clock: ManualClock) -> None:
    """Milliseconds, each later than the one before, though the clock stands still."""
    simulator = CoboSimulator(clock=clock, check_nonce="increasing")
    auth = CoboOAuth(**simulator.credentials)
    with auth.client(transport=simulator) as client:
        for number in range(20):
            assert client.get(f"/echo/{number % 2}").status_code == 200
    assert simulator.counters.nonce_reused == 0
    assert simulator.counters.queries_reencoded == 0
