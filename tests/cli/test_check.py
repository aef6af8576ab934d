"""``check``: every line that it can print, and that it disturbs no program that is running."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import DEVELOPMENT, Ed25519Signer, FileStore
from httpx_cobo_auth._cli.finding import Verdict
from httpx_cobo_auth._cli.probe import Answer, clock_finding
from httpx_cobo_auth._protocol.records import StoreKey
from httpx_cobo_auth.testing import CoboSimulator, ManualClock

if TYPE_CHECKING:
    from tests.cli.conftest import Runs

NAMES = ["environment", "endpoint", "clock", "app key", "API key", "store", "token"]
UNKNOWN_KEY = "ab" * 32
LOST = "(ReadError|RemoteProtocolError)"


def results(run: Runs, *argv: str, code: int = 0) -> dict[str, tuple[str, str]]:
    """Return result and message of each check, by its name; text and JSON say the same."""
    shown, told = run("check", *argv), run("check", "--json", *argv)
    assert (shown.code, told.code) == (code, code)
    assert told.data["ok"] == (code == 0)
    checks = told.data["checks"]
    assert [line.split()[0] for line in shown.out.splitlines()] == [
        each["result"] for each in checks
    ]
    for line, each in zip(shown.out.splitlines(), checks, strict=True):
        assert each["check"] in line
        assert not shown.err
        assert not told.err
    return {each["check"]: (each["result"], each["message"]) for each in checks}


def test_all_is_well(run: Runs, cobo: CoboSimulator) -> None:
    """Each line is ok, and says what it looked at."""
    found = results(run)
    assert list(found) == NAMES
    assert {result for result, _ in found.values()} == {"ok"}
    assert (
        found["app key"][1] == f"public key {Ed25519Signer(cobo.app_secret).public_key} is accepted"
    )
    assert found["environment"][1].startswith(f"custom, {cobo.environment.base_url}; answers are")
    assert cobo.counters.exchanges == 1


def test_the_store_s_token_is_used(run: Runs, cobo: CoboSimulator) -> None:
    """There is one already: none is asked for."""
    assert run("renew").code == 0
    with cobo.expect(renewals=0, requests=None, replays=None):
        assert run("check").code == 0


@pytest.mark.parametrize("store", ["", "memory:"])
def test_without_a_store_no_token_is_asked_for(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """It would replace that of a program which keeps it in memory."""
    monkeypatch.setenv("COBO_TOKEN_STORE", store)
    found = results(run)
    assert found["store"][0] == found["token"][0] == "skipped"
    assert "COBO_TOKEN_STORE" in found["token"][1]
    assert cobo.counters.exchanges == 0


def test_an_api_key_alone(run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of tokens is looked at; an app alone has no API key."""
    monkeypatch.setenv("COBO_API_SECRET", "")
    assert list(results(run)) == [name for name in NAMES if name != "API key"]
    monkeypatch.setenv("COBO_API_SECRET", "5e" * 32)
    monkeypatch.setenv("COBO_APP_SECRET", "")
    assert "set COBO_APP_SECRET in the environment" in results(run, code=1)["settings"][1]
    monkeypatch.setenv("COBO_APP_CLIENT_ID", "")
    assert list(results(run)) == ["environment", "endpoint", "clock", "API key"]
    exchanges = cobo.counters.exchanges
    monkeypatch.setenv("COBO_API_SECRET", UNKNOWN_KEY)
    assert results(run, code=1)["API key"][0] == "failed"
    assert cobo.counters.exchanges == exchanges


def test_a_portal_app_has_no_organization_of_its_own(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then no token is asked for; the rest is checked. ``--org`` names one."""
    monkeypatch.setenv("COBO_ORG_ID", "")
    found = results(run)
    assert found["store"][0] == "ok"
    assert found["token"] == (
        "skipped",
        "set COBO_ORG_ID, or --org, to ask for the token of an organization",
    )
    assert cobo.counters.exchanges == 0
    assert not list(Path("cobo-tokens").glob("*.json"))
    assert results(run, "--org", cobo.org_id)["token"][0] == "ok"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("COBO_ORG_ID", "x ", "COBO_ORG_ID: org_id 'x '"),
        ("COBO_APP_SECRET", "06" * 32 + "\n", "COBO_APP_SECRET: the secret"),
        ("COBO_API_SECRET", "0x", "COBO_API_SECRET: the secret"),
        ("COBO_BASE_URL", "https://api.cobo.com", "COBO_BASE_URL: base_url https://api.cobo.com"),
    ],
)
def test_settings_that_cannot_be_used(
    run: Runs,
    cobo: CoboSimulator,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    said: str,
) -> None:
    """The one line says so, and nothing is sent."""
    monkeypatch.setenv(name, value)
    [(check, (result, message))] = results(run, code=1).items()
    assert (check, result) == ("settings", "failed")
    assert message.startswith(said)
    assert not cobo.log


def test_a_key_that_is_not_known(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public key is shown, to be compared; no token is asked for with it."""
    monkeypatch.setenv("COBO_APP_SECRET", UNKNOWN_KEY)
    found = results(run, code=1)
    key = Ed25519Signer(UNKNOWN_KEY).public_key
    assert found["app key"][0] == "failed"
    assert found["app key"][1].startswith(f"public key {key} is not accepted (code 2024)")
    assert (found["endpoint"][0], found["API key"][0]) == ("ok", "ok")
    assert found["token"] == ("skipped", "not asked for, because of the above")
    assert cobo.counters.exchanges == 0


@pytest.mark.parametrize(("seconds", "side"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_clock_that_is_wrong(
    run: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seconds: int, side: str
) -> None:
    """By how much, and in which direction; the key is accepted all the same."""
    simulator = CoboSimulator(clock=ManualClock(time.time() + seconds, running=True))
    with simulator.serve() as served:
        for name, value in {
            "COBO_BASE_URL": served.base_url,
            "COBO_RESPONSE_KEY": str(served.response_key),
            "COBO_APP_CLIENT_ID": simulator.client_id,
            "COBO_APP_SECRET": simulator.app_secret,
            "COBO_TOKEN_STORE": f"file:{tmp_path}/tokens",
        }.items():
            monkeypatch.setenv(name, value)
        found = results(run, code=1)
    assert found["clock"][0] == "failed"
    off, unit, rest = found["clock"][1].split(" ", 2)
    assert int(off) == pytest.approx(3600, abs=30)
    assert (unit, rest.startswith(f"{side} the server's: have this machine follow a time")) == (
        "s",
        True,
    )
    assert found["app key"][0] == "ok"


def test_a_server_whose_time_is_not_known(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its key the clock cannot be checked; with another key the answers are not Cobo's."""
    monkeypatch.setenv("COBO_RESPONSE_KEY", "")
    found = results(run)
    assert "not verified" in found["environment"][1]
    assert found["clock"][0] == "skipped"
    monkeypatch.setenv("COBO_RESPONSE_KEY", UNKNOWN_KEY)
    found = results(run, code=1)
    assert found["clock"][0] == "failed"
    assert found["clock"][1].startswith("the answer is not signed by this environment's key")
    del cobo


def test_a_signed_time_that_is_none() -> None:
    """The answer is Cobo's, and its timestamp no number: nothing is known of the clock."""
    answer = Answer(200, None, signed=True, seconds_ahead=None)
    assert clock_finding(DEVELOPMENT, answer).verdict is Verdict.SKIPPED


def test_nobody_there(run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is said by its kind; keys and token could not be tried, the store could."""
    monkeypatch.setenv("COBO_BASE_URL", "http://127.0.0.1:1/v2")
    found = results(run, code=1)
    assert found["endpoint"][0] == "failed"
    assert found["endpoint"][1].startswith("no answer from http://127.0.0.1:1/v2 (ConnectError)")
    assert found["app key"][0] == found["API key"][0] == found["token"][0] == "skipped"
    assert found["store"][0] == "ok"
    del cobo


def test_something_else_answers(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy, or a base URL without ``/v2``."""
    cobo.inject("api", "answer", status=404, body=b"<html>", times=None)
    found = results(run, code=1)
    assert found["endpoint"][0] == "failed"
    assert "answers (HTTP 404), but not as Cobo's API does" in found["endpoint"][1]
    assert "/v2." not in found["endpoint"][1]
    root = cobo.environment.base_url.removesuffix("/v2")
    monkeypatch.setenv("COBO_BASE_URL", f"{root}/other")
    cobo.inject("/other", "answer", status=404, body=b"<html>", times=None)
    assert results(run, code=1)["endpoint"][1].endswith("It should end in /v2.")


def test_the_answer_to_one_key_is_lost(run: Runs, cobo: CoboSimulator) -> None:
    """The first key's answer came, so the endpoint is there; the second key was not tried."""
    cobo.inject("api", "delay", times=1)
    cobo.inject("api", "drop", times=1)
    told = run("check", "--json")
    found = {each["check"]: (each["result"], each["message"]) for each in told.data["checks"]}
    assert told.code == 1
    assert (found["endpoint"][0], found["app key"][0], found["API key"][0]) == (
        "ok",
        "ok",
        "failed",
    )
    assert re.search(rf": no answer \({LOST}\)$", found["API key"][1])
    cobo.inject("api", "delay", times=1)
    cobo.inject("api", "answer", status=502, body=b"<html>", times=1)
    told = run("check", "--json")
    assert told.data["checks"][4]["message"].endswith(": no answer of Cobo's API (HTTP 502)")


def test_a_store_that_cannot_be_used(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named wrongly, or a file where a folder is needed."""
    monkeypatch.setenv("COBO_TOKEN_STORE", "nonsense")
    found = results(run, code=1)
    assert found["store"][1].startswith("COBO_TOKEN_STORE: ")
    assert "token" not in found
    Path("a-file").write_text("", encoding="utf-8")
    found = results(run, "--store", "file:a-file", code=1)
    assert found["store"][0] == "failed"
    assert found["token"] == ("skipped", "not asked for, because of the above")
    assert cobo.counters.exchanges == 0


def test_a_store_whose_lock_is_held(run: Runs, cobo: CoboSimulator) -> None:
    """A renewal is under way elsewhere: no fault of the store."""
    assert run("renew").code == 0
    key = StoreKey(cobo.environment.base_url, cobo.client_id, cobo.org_id)
    lock = FileStore("cobo-tokens").try_lock(key, ttl=60)
    assert lock is not None
    try:
        found = results(run)
    finally:
        lock.release()
    assert found["store"][1].endswith("readable; another process holds its lock at the moment")
    assert found["token"][0] == "ok"


def test_an_organization_that_has_uninstalled_the_app(run: Runs, cobo: CoboSimulator) -> None:
    """What Cobo says of it, and what to do."""
    cobo.uninstall()
    found = results(run, code=1)
    assert found["token"][0] == "failed"
    assert found["token"][1].startswith("Cobo refuses to issue a token (HTTP 403")


@pytest.mark.parametrize(
    ("status", "result", "said"),
    [
        (403, "ok", "accepted, but not for /wallets"),
        (418, "failed", "not accepted (HTTP 418): "),
    ],
)
def test_a_token_that_is_not_good_for_everything(
    run: Runs, cobo: CoboSimulator, status: int, result: str, said: str
) -> None:
    """A permission that is missing is no fault of the setup."""
    assert run("renew").code == 0
    for _ in range(2):
        cobo.inject("api", "delay", times=1)
    cobo.inject("api", "answer", status=status, body=b'{"error_code": 4000}', times=1)
    told = run("check", "--json")
    assert (told.code, told.data["checks"][-1]["result"]) == (int(result == "failed"), result)
    assert said in told.data["checks"][-1]["message"]


def test_an_answer_that_is_lost_on_the_way(run: Runs, cobo: CoboSimulator) -> None:
    """To the read with the token, that is: its kind is told, and no text of the transport."""
    assert run("renew").code == 0
    for _ in range(2):
        cobo.inject("api", "delay", times=1)
    cobo.inject("api", "drop", times=1)
    told = run("check", "--json")
    assert told.code == 1
    message = told.data["checks"][-1]["message"]
    assert re.fullmatch(rf"no answer to a request with the token \({LOST}\)", message)
