"""``status``, ``renew`` and ``forget``, against a simulator over a socket."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth import FileStore, StoreUnavailableError
from httpx_cobo_auth._cli import chosen
from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey
from httpx_cobo_auth.testing import ManualClock
from tests.family import CoboOAuth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.cli.conftest import Ran, Runs

STORE = "cobo-tokens"


def tokens_of(simulator: CoboSimulator) -> list[str]:
    """Return every token that was issued."""
    return [
        token
        for entry in simulator.log
        if entry.issued is not None
        for token in (entry.issued.access_token, entry.issued.refresh_token)
    ]


def shows_no_secret(ran: Ran, simulator: CoboSimulator) -> None:
    secrets = [simulator.app_secret, *tokens_of(simulator)]
    assert not [secret for secret in secrets if secret in ran.out + ran.err]


def test_a_token_from_first_to_last(run: Runs, cobo: CoboSimulator) -> None:
    """Missing, renewed twice by the very endpoint, seen by others, forgotten; no secret shown."""
    first = run("status")
    assert first.code == 0
    assert "token         missing\ngeneration    0\n" in first.out
    with cobo.expect(renewals=1, requests=0):
        renewed = run("renew")
    with cobo.expect(renewals=1, requests=0):
        again = run("renew", "--json")
    seen = run("status", "--json")
    forgotten = run("forget")
    for ran in (first, renewed, again, seen, forgotten):
        assert (ran.code, ran.err) == (0, "")
        shows_no_secret(ran, cobo)
    assert "token         fresh\ngeneration    1\nexpires       20" in renewed.out
    assert "(in 11 h 59 min)\ntrust         trusted\n" in renewed.out
    assert again.data == seen.data
    assert seen.data == {
        "org_id": cobo.org_id,
        "client_id": cobo.client_id,
        "base_url": cobo.environment.base_url,
        "state": "fresh",
        "expires_at": pytest.approx(time.time() + cobo.token_lifetime, abs=60),
        "generation": 2,
        "trust": "trusted",
        "exchange_pending": False,
        "next_attempt_at": None,
    }
    assert "token         missing\ngeneration    3\n" in forgotten.out
    assert len(tokens_of(cobo)) == 4


def test_a_program_goes_on_with_what_was_renewed_here(run: Runs, cobo: CoboSimulator) -> None:
    """It shares the store: no exchange of its own."""
    assert run("renew").code == 0
    auth = CoboOAuth.from_env()
    with auth.client() as client, cobo.expect(renewals=0):
        assert client.get("/wallets").status_code == 200


def test_all_that_a_store_holds(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every app and environment, one line each; credentials are not needed."""
    other = "11111111-2222-4333-8444-555555555555"
    cobo.add_org(other)
    assert run("status", "--all").out == "the store holds no token\n"
    assert run("status", "--all", "--json").data == []
    for argv in (("renew",), ("renew", "--org", other), ("forget", "--org", other)):
        assert run(*argv).code == 0
    elsewhere = StoreKey("https://api.cobo.com/v2", "another", "some-organization")
    FileStore(STORE).save(elsewhere, Record(1), expected=(0, None))
    for name in ("COBO_APP_SECRET", "COBO_APP_CLIENT_ID", "COBO_ORG_ID", "COBO_BASE_URL"):
        monkeypatch.delenv(name)
    shown, data = run("status", "--all"), run("status", "--all", "--json").data
    assert shown.code == 0
    here, first, second, there, third = shown.out.splitlines()
    assert here == f"{cobo.environment.base_url}, client ID {cobo.client_id}"
    assert first == f"  {other}  missing"
    assert second.startswith(f"  {cobo.org_id}  fresh    20")
    assert second.endswith("(in 11 h 59 min)  trusted")
    assert there == "https://api.cobo.com/v2, client ID another"
    assert third == "  some-organization  missing"
    assert [(each["org_id"], each["state"], each["generation"]) for each in data] == [
        (other, "missing", 2),
        (cobo.org_id, "fresh", 1),
        ("some-organization", "missing", 1),
    ]


def test_a_record_that_cannot_be_understood(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as such, is kept, and is a failure; also where it was deleted meanwhile."""
    assert run("renew").code == 0
    [file] = Path(STORE).glob("*.json")
    good = file.read_bytes()
    key = StoreKey(cobo.environment.base_url, cobo.client_id, cobo.org_id)
    file.write_text("garbage", encoding="utf-8")
    one = run("status")
    assert (one.code, one.out) == (1, "")
    assert one.err.startswith(f"httpx-cobo-auth: cannot use {file.absolute()}: ")
    told = run("status", "--json")
    assert told.code == 1
    assert told.data["error"] == "StoreCorruptError"
    assert f"httpx-cobo-auth: {told.data['message']}\n" == told.err == one.err
    # What is unreadable cannot say whose it is, so some stores do not list it.

    def listed(_store: FileStore) -> list[StoreKey]:
        return [key]

    monkeypatch.setattr(FileStore, "keys", listed)
    every = run("status", "--all")
    assert every.code == 1
    assert f"  {cobo.org_id}  unreadable  cannot use {file.absolute()}" in every.out
    [row] = run("status", "--all", "--json").data
    assert (row["org_id"], row["state"]) == (cobo.org_id, "unreadable")
    assert file.read_text(encoding="utf-8") == "garbage"
    file.unlink()
    assert f"  {cobo.org_id}  missing\n" in run("status", "--all").out
    file.write_bytes(good)
    assert run("status", "--all").code == 0


def test_trouble_is_shown(run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token request whose end nobody knows, and a renewal that is held off."""
    assert run("renew").code == 0
    store = FileStore(STORE)
    key = StoreKey(cobo.environment.base_url, cobo.client_id, cobo.org_id)
    record = store.load(key)
    assert record is not None
    pending = record.with_pending(PendingExchange("somebody", time.time()))
    held_off = record.attempts.failed(time.time(), 90.0, 90.0)
    store.save(key, pending.revised("1", attempts=held_off), expected=record.version)
    shown, data = run("status"), run("status", "--json").data
    assert "\ntrust         unknown\npending       a token request has begun, and" in shown.out
    assert "\nnext attempt  20" in shown.out
    assert (data["trust"], data["exchange_pending"]) == ("unknown", True)
    assert data["next_attempt_at"] == pytest.approx(held_off.until, abs=10)
    later = ManualClock()
    later.advance(13 * 3600)
    monkeypatch.setattr("httpx_cobo_auth._cli.tokens._CLOCK", later)
    assert f"  {cobo.org_id}  expired  20" in run("status", "--all").out
    assert " min ago)  unknown\n" in run("status", "--all").out


def test_what_cobo_refuses_is_told(run: Runs, cobo: CoboSimulator) -> None:
    """On standard error, as the error says it, once."""
    cobo.uninstall()
    refused = run("renew")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("httpx-cobo-auth: Cobo refuses to issue a token (HTTP 403")
    assert refused.err.count("\n") == 1
    told = run("renew", "--json")
    assert told.data["error"] == "TokenRefusedError"


@pytest.mark.parametrize("command", ["status", "renew", "forget"])
def test_a_store_of_ones_own_is_needed(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Tokens in memory are other processes' own; a new one would end theirs."""
    for value in ("", "memory:"):
        monkeypatch.setenv("COBO_TOKEN_STORE", value)
        refused = run(command)
        assert refused.code == 2
        assert refused.err.startswith("httpx-cobo-auth: set COBO_TOKEN_STORE (or --store) to")
    assert cobo.counters.exchanges == 0
    assert run(command, "--store", f"file:{STORE}").code == 0


def test_a_store_that_cannot_list(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and what to do instead."""
    del cobo

    class Unlisted:
        shared = True

    def unlisted(_options: object) -> dict[str, object]:
        return {"store": Unlisted()}

    monkeypatch.setattr(chosen, "with_store", unlisted)
    refused = run("status", "--all")
    assert refused.code == 2
    assert "cannot list what it holds: name organizations by --org\n" in refused.err


def test_a_store_that_fails(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is told, too: exit code 1."""
    del cobo

    def fails(_store: FileStore) -> Iterable[Any]:
        message = "the disk is on fire"
        raise StoreUnavailableError(message)

    monkeypatch.setattr(FileStore, "keys", fails)
    failed = run("status", "--all")
    assert (failed.code, failed.err) == (1, "httpx-cobo-auth: the disk is on fire\n")


def test_options_take_precedence(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--org``, ``--env`` and ``--store`` over their variables, whatever is in these."""
    for name in ("COBO_ORG_ID", "COBO_BASE_URL", "COBO_TOKEN_STORE"):
        monkeypatch.setenv(name, "no such thing\n")
    argv = ("--org", cobo.org_id, "--env", "dev", "--store", f"file:{STORE}", "--json")
    shown = run("status", *argv)
    assert shown.data["base_url"] == "https://api.dev.cobo.com/v2"
    assert shown.data["org_id"] == cobo.org_id
