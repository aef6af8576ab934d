"""The soak of ``make soak``, short; and that it would notice what must not be."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from httpx_cobo_auth import CoboAuth, CoboOAuth, StoreUnavailableError
from httpx_cobo_auth.stores import Record, StoreKey

if TYPE_CHECKING:
    from benchmarks.soak.calls import Call
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the soak be imported from wherever the tests are run."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])


def test_seconds_of_everything_going_wrong() -> None:
    """What must be 0 is. See ``benchmarks/soak``."""
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.12", "--seed", "1"]
    soak = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert soak.stderr == ""
    *_, names, values = soak.stdout.splitlines()
    row = dict(zip(names.split(" | "), map(int, values.split(" | ")), strict=True))
    assert row["answered"] > row["requests"] / 3 > 10
    assert all(row[kind] == 0 for kind in row if kind.endswith("(0)")), soak.stdout
    assert soak.returncode == 0


# ------------------------------------------------------------------ what the simulator tells
def test_the_log_tells_which_fault_a_request_met_and_what_was_issued(
    simulator: CoboSimulator,
) -> None:
    """Also where the answer never arrived: a token issued is a secret all the same."""
    auth = _auth(simulator)
    with auth.client(transport=simulator) as client:
        simulator.inject("token", "drop")
        simulator.inject("token", "answer", status=429)
        simulator.inject("api", "answer", status=503)
        assert [client.get("/wallets").status_code for _ in range(2)] == [503, 200]
    lost, limited, arrived, failed, fine = simulator.log
    assert [lost.fault, limited.fault, arrived.fault] == ["drop", "answer", None]
    assert [failed.fault, fine.fault] == ["answer", None]
    assert [entry.issued is not None for entry in simulator.log] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert arrived.issued is not None
    assert arrived.issued.access_token not in repr(arrived)


def test_nonces_of_several_processes_may_be_the_same_but_must_be_fresh(
    simulator: CoboSimulator,
) -> None:
    """By age alone a repeated request is accepted, and refused once its nonce is too old."""
    simulator.check_nonce = "age"
    auth = _auth(simulator)
    with auth.client(transport=simulator) as client:
        sent = client.get("/wallets").request
    with httpx.Client(transport=simulator) as client:
        assert client.send(sent).status_code == 200
        simulator.max_skew_s = -1
        assert client.send(sent).status_code == 401


def _auth(simulator: CoboSimulator) -> CoboOAuth:
    return CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        clock=simulator.clock,
    )


# ------------------------------------------------------------------------- what it notices
def test_a_part_of_a_secret_is_found(tmp_path: Path) -> None:
    """Twenty digits of it, in capitals, in the middle of a line: file and line are told."""
    from benchmarks.soak.leaks import leaks  # noqa: PLC0415 - importable only now

    secret = "0123456789abcdef" * 4
    clean, leaky = tmp_path / "clean.log", tmp_path / "leaky.log"
    clean.write_text("fedcba9876543210" * 4)
    leaky.write_text(f"first\nbearer={secret[10:30].upper()}!\n")
    assert leaks([clean, leaky], [secret]) == ["leaky.log:2"]


class World:
    """A simulator, what the ledger has of it, and calls that a worker might have made."""

    def __init__(self, simulator: CoboSimulator, clock: ManualClock) -> None:
        from benchmarks.soak.ledger import Ledger  # noqa: PLC0415 - importable only now

        self.simulator = simulator
        self.clock = clock
        self.ledger = Ledger(simulator)
        self.auth = _auth(simulator)

    def send(self, name: str, method: str = "GET") -> None:
        """Send what a call of that name would send."""
        with self.auth.client(transport=self.simulator) as client:
            client.request(method, "/echo", headers={"X-Soak-Call": name})
        self.ledger.collect()

    def bearer(self, name: str) -> str:
        """Return the token that a call carried."""
        return self.ledger.arrivals[name][-1].bearer

    def resend(self, name: str, method: str = "GET", *, bearer: str = "") -> int:
        """Send a request with that token, or the last one's, dead or not; return the status."""
        if not bearer:
            header = dict(self.simulator.log[-1].headers)[b"Authorization"]
            bearer = header.decode().removeprefix("Bearer ")
        with httpx.Client(transport=self.simulator) as client:
            request = client.build_request(method, f"{self.auth.environment.base_url}/echo")
            request.headers["X-Soak-Call"] = name
            _signed(self, request, f"Bearer {bearer}")
            status = client.send(request).status_code
        self.ledger.collect()
        return status

    def verdict(self, name: str, **fields: Any) -> str:  # noqa: ANN401
        """Judge a call that ends now."""
        from benchmarks.soak.verdicts import judge  # noqa: PLC0415 - importable only now

        return judge(self.call(name, **fields), self.ledger, {"9.9"})[0].name

    def call(self, name: str, **fields: Any) -> Call:  # noqa: ANN401
        """Return a call that ends now."""
        from benchmarks.soak.calls import TRANSFER, Call  # noqa: PLC0415 - importable only now

        now = self.clock.monotonic()
        call = Call(
            name=name,
            worker=name.partition("-")[0],
            org_id=self.simulator.org_id,
            method=fields.pop("method", "GET"),
            path=TRANSFER,
            plain=fields.pop("plain", True),
            replay=fields.pop("replay", False),
            request_id="",
            begun=now - 0.1,
        )
        call.ended = now
        for field, value in fields.items():
            setattr(call, field, value)
        return call


@pytest.fixture
def world(simulator: CoboSimulator, clock: ManualClock) -> World:
    return World(simulator, clock)


REFUSED = {"status": 500, "attempts": [("api", "500")]}
NO_TOKEN = {"error": "TokenEndpointError", "typed": True}
BROKEN = {"error": "ReadError", "attempts": [("token", "ReadError")]}


def test_a_failure_is_exempt_only_where_a_fault_met_that_very_call(world: World) -> None:
    """A 503 that no fault explains, or another failure than the fault's, counts as needless."""
    failed = {"status": 503, "attempts": [("api", "503")]}
    with world.simulator.inject("api", "answer", status=503):
        world.send("0.1-1")
    world.send("0.1-2")
    assert world.verdict("0.1-1", **failed) == "INJECTED"
    assert world.verdict("0.1-1", **REFUSED) == "NEEDLESS"  # another failure than the fault's
    assert world.verdict("0.1-2", **failed) == "NEEDLESS"
    assert world.verdict("0.1-2", status=200) == "FINE"


def test_only_calls_of_killed_processes_need_no_end(world: World) -> None:
    """A call without an end is needless, unless its process was killed."""
    assert world.verdict("0.1-1", ended=None) == "NEEDLESS"
    assert world.verdict("9.9-1", ended=None) == "KILLED"


def test_a_broken_exchange_excuses_only_the_plain_call_that_carried_it(world: World) -> None:
    """During an outage, by ``auth=``: never outside of one, nor by ``auth.client()``."""
    assert world.verdict("0.1-1", **BROKEN) == "NEEDLESS"
    world.ledger.outages.append((world.clock.monotonic() - 1, world.clock.monotonic() + 1))
    assert world.verdict("0.1-1", **BROKEN) == "CARRIED"
    assert world.verdict("0.1-1", plain=False, **BROKEN) == "NEEDLESS"


def test_a_broken_endpoint_excuses_nobody_while_there_is_a_good_token(world: World) -> None:
    """Needless before it expires and long after the outage; down during it, held shortly after."""
    world.send("0.1-1")
    assert world.verdict("0.1-2", **NO_TOKEN) == "NEEDLESS"
    world.clock.advance(world.simulator.token_lifetime)
    assert world.verdict("0.1-3", **NO_TOKEN) == "NEEDLESS"  # nobody has asked
    world.ledger.outages.append((world.clock.monotonic() - 1, world.clock.monotonic() + 1))
    assert world.verdict("0.1-3", **NO_TOKEN) == "DOWN"
    world.clock.advance(10)
    assert world.verdict("0.1-4", **NO_TOKEN) == "HELD"
    world.clock.advance(60)
    assert world.verdict("0.1-5", **NO_TOKEN) == "NEEDLESS"


@pytest.mark.parametrize("died", ["revoked", "expired", "stepped", "not"])
def test_a_write_may_come_back_only_if_its_token_died_before_its_time(
    world: World, died: str
) -> None:
    """A revoked token excuses a 500, an expired one does not; nor where it may be replayed."""
    world.send("0.1-1")
    world.clock.advance(1)
    if died == "revoked":
        world.ledger.revoke(world.simulator.org_id)
    elif died in {"expired", "stepped"}:
        world.clock.advance(world.simulator.token_lifetime)
    world.clock.advance(1)
    if died == "stepped":
        now = world.clock.monotonic()
        world.ledger.unsettled.append((now - 0.5, now))
    status = world.resend("0.1-2", "POST")
    refused = {"status": 500, "attempts": [("api", "500")], "method": "POST"}
    assert (status == 500) == (died != "not")
    assert world.verdict("0.1-2", **refused) == (
        "BOUNCED" if died in {"revoked", "stepped"} else "NEEDLESS"
    )
    assert world.verdict("0.1-2", replay=True, **refused) == "NEEDLESS"


def test_a_dead_token_is_returned_only_where_nothing_shows_that_renewals_help(
    world: World,
) -> None:
    """For 30 s after an odd 500 to a write; but never where its token had been accepted before."""
    with world.simulator.inject("api", "answer", method="POST", status=500, error_code=1000):
        world.send("0.1-1", "POST")
    world.send("0.1-2")
    world.clock.advance(1)
    world.ledger.revoke(world.simulator.org_id)
    world.clock.advance(1)
    assert [world.resend(name) for name in ("0.2-1", "0.1-3")] == [500, 500]
    assert world.verdict("0.2-1", **REFUSED) == "HELD"
    assert world.verdict("0.1-3", **REFUSED) == "NEEDLESS"
    world.clock.advance(36)
    assert world.resend("0.2-2") == 500
    assert world.verdict("0.2-2", **REFUSED) == "NEEDLESS"


def test_a_write_may_come_back_if_it_took_longer_than_other_processes_leave_it(
    world: World,
) -> None:
    """Not one that began when another process was about to renew; nor in the process itself."""
    refused = {"method": "POST", **REFUSED}
    world.send("0.1-1")
    world.clock.advance(1)
    with world.auth.client(transport=world.simulator) as client:
        client.event_hooks["request"].append(_marked)
        world.auth.renew(client)
    world.ledger.collect()
    world.clock.advance(0.2)
    bearer = world.bearer("0.1-1")
    statuses = [world.resend(name, "POST", bearer=bearer) for name in ("0.1-2", "0.2-2")]
    assert statuses == [500, 500]
    now = world.clock.monotonic()
    assert world.verdict("0.1-2", **refused, begun=now - 0.5) == "BOUNCED"
    assert world.verdict("0.1-2", **refused, begun=now - 0.3) == "NEEDLESS"
    assert world.verdict("0.2-2", **refused, begun=now - 0.5) == "NEEDLESS"


NO_STORE = {"error": "StoreUnavailableError", "typed": True}


def test_a_store_excuses_only_its_own_process_and_only_without_a_good_token(world: World) -> None:
    """Nobody needs a store while the token in memory works."""
    assert world.verdict("0.1-1", **NO_STORE) == "NEEDLESS"
    world.ledger.store_fails("0.1", 1.0)
    world.clock.advance(0.5)
    assert world.verdict("0.1-1", **NO_STORE) == "STORELESS"
    assert world.verdict("0.2-1", **NO_STORE) == "NEEDLESS"
    assert world.verdict("0.1-1", **NO_STORE, attempts=[("api", "500")]) == "STORELESS"
    world.send("0.1-2")
    world.clock.advance(1)
    world.send("0.2-2")
    assert world.verdict("0.1-3", **NO_STORE) == "NEEDLESS"
    assert world.verdict("0.1-3", **NO_TOKEN) == "NEEDLESS"


def test_a_program_that_fails_twice_in_a_row_is_found(world: World) -> None:
    """By organization, and only while nothing kept it from renewing in between."""
    from benchmarks.soak.verdicts import Verdict, twice_in_a_row  # noqa: PLC0415

    calls: list[Call] = []
    for number in range(3):
        world.clock.advance(1)
        calls.append(world.call(f"0.1-{number}"))
    world.clock.advance(1)
    elsewhere = world.call("0.2-1")

    def found(*verdicts: Verdict) -> list[tuple[str, str]]:
        judged = [*zip(calls, verdicts, strict=True), (elsewhere, Verdict.BOUNCED)]
        return [(one.name, two.name) for one, two in twice_in_a_row(judged, world.ledger)]

    bounced, fine = Verdict.BOUNCED, Verdict.FINE
    assert found(bounced, bounced, Verdict.NEEDLESS) == [("0.1-0", "0.1-1"), ("0.1-1", "0.1-2")]
    assert found(bounced, fine, bounced) == found(Verdict.DOWN, bounced, Verdict.DOWN) == []
    ended = calls[1].ended
    assert ended is not None
    world.ledger.outages.append((ended - 0.5, ended))
    assert found(bounced, bounced, fine) == []
    world.ledger.outages.clear()
    world.send("0.1-4")
    exchanges = world.ledger.exchanges[world.simulator.org_id]
    exchanges[-1] = replace(exchanges[-1], fault="drop", at=(calls[0].begun - 5))
    assert found(bounced, bounced, fine) == []


def test_a_store_fails_before_or_after_the_fact_or_not_at_all(tmp_path: Path) -> None:
    """What it says is the same; whether something was saved is for the next load to tell."""
    from benchmarks.soak.stores import Failure, make  # noqa: PLC0415 - importable only now

    chance = random.Random(1)  # noqa: S311 - to be repeatable
    failure = Failure(chance)
    key = StoreKey("https://cobo.test/v2", "client", "org")
    saved: set[bool] = set()
    for number in range(20):
        store = make({"store": "file", "store_path": str(tmp_path / str(number))}, failure)
        failure.last(60.0)
        for call in (store.load, partial(store.try_lock, ttl=1.0)):
            with pytest.raises(StoreUnavailableError):
                call(key)
        with pytest.raises(StoreUnavailableError):
            store.save(key, Record(1), expected=(0, None))
        failure.last(0.0)
        saved.add(store.load(key) == Record(1))
    assert saved == {False, True}


def test_bombs_are_counted_and_do_not_go_off() -> None:
    """All codings and statuses; the memory that one of them would take is missed at once."""
    from benchmarks.soak.bombs import Bombs, drop  # noqa: PLC0415 - importable only now

    bombs = drop(50)
    assert not bombs.went_off
    assert "50 bombs of 64 MiB" in str(bombs)
    assert Bombs(1, 1.0, 50_000, 50_000 + (64 << 10)).went_off


def _marked(request: httpx.Request) -> None:
    request.headers["X-Soak-Call"] = "0.2-1"


def _signed(world: World, request: httpx.Request, bearer: str) -> None:
    """Sign by the app's key, with a token of one's own choice."""
    auth = CoboAuth(
        api_secret=world.simulator.app_secret,
        environment=world.simulator.environment,
        clock=world.clock,
    )
    next(auth.sync_auth_flow(request))
    request.headers["Authorization"] = bearer
