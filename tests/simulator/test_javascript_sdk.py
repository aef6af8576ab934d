"""Cobo's JavaScript SDK, unchanged, as a client of the simulator, where there is node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from httpx_cobo_auth.testing import CoboSimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Runs = Callable[..., list[dict[str, Any]]]

PROGRAM = Path(__file__).with_name("sdk_client.js")
PACKAGE = "@cobo/cobo-waas2@1.8.0"
INSTALLS_S = 240
RUNS_S = 60


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the SDK into a folder of this run, by npm."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("missing service: node and npm")
    folder = tmp_path_factory.mktemp("javascript")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", PACKAGE]
    try:
        installed = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALLS_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"missing service: npm did not install {PACKAGE} in {INSTALLS_S} s")
    if installed.returncode != 0:
        pytest.skip(f"missing service: npm did not install {PACKAGE}")
    return folder / "node_modules"


@pytest.fixture
def served() -> Iterator[CoboSimulator]:
    """A simulator as it is by default, on real time, as the SDK reads the machine's clock."""
    simulator = CoboSimulator()
    with simulator.serve():
        yield simulator


@pytest.fixture
def run(modules: Path, served: CoboSimulator) -> Runs:
    """Have the SDK take steps, each verified; gives what became of each."""

    def run(*steps: dict[str, object]) -> list[dict[str, Any]]:
        told = {
            "base": served.environment.base_url,
            "secret": served.app_secret,
            "client": served.client_id,
            "org": served.org_id,
            "responseKey": served.environment.response_key,
            "steps": steps,
        }
        node = cast("str", shutil.which("node"))
        done = subprocess.run(
            [node, str(PROGRAM), json.dumps(told)],
            env={**os.environ, "NODE_PATH": str(modules)},
            capture_output=True,
            text=True,
            timeout=RUNS_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results: list[dict[str, Any]] = json.loads(done.stdout)
        assert [result["step"] for result in results] == [step["step"] for step in steps]
        return results

    return run


def test_it_gets_and_rotates_tokens(served: CoboSimulator, run: Runs) -> None:
    """By ``org_implicit`` and by refresh token; a spent one is refused in OAuth's shape."""
    first, second, third = run({"step": "token"}, {"step": "refresh"}, {"step": "refresh"})
    assert [first["status"], second["status"], third["status"]] == [200, 201, 201]
    assert all(result["verified"] for result in (first, second, third))
    tokens = [result["data"]["access_token"] for result in (first, second, third)]
    assert len({*tokens}) == 3
    assert (served.counters.implicits, served.counters.refreshes) == (1, 2)
    (refused,) = run({"step": "refresh"})
    assert (refused["status"], refused["error"]["error"]) == (400, "invalid_grant")
    assert refused["verified"]


def test_it_reads(served: CoboSimulator, run: Runs) -> None:
    """In pages and one by one; also where it signs one query and sends another."""
    wallet_id = str(uuid.uuid4())
    _, page, odd, chains, missing = run(
        {"step": "token"},
        {"step": "wallets", "limit": 2},
        {"step": "wallets", "project_id": "a b,é"},
        {"step": "chains", "chain_ids": "BTC,ETH"},
        {"step": "wallet", "id": wallet_id},
    )
    assert len(page["data"]["data"]) == 2
    assert (odd["status"], odd["verified"], chains["status"]) == (200, True, 200)
    assert "BTC" in [chain["chain_id"] for chain in chains["data"]["data"]]
    assert (missing["status"], missing["error"]["error_code"]) == (404, 2028)
    assert missing["verified"]
    assert served.counters.queries_reencoded >= 1
    assert served.counters.bad_signatures == 0


def test_it_makes_a_transfer_once(served: CoboSimulator, run: Runs) -> None:
    """The same ``request_id`` is refused; without one nothing is sent."""
    wallet_id = _first_wallet(served, run)
    transfer = {"step": "transfer", "walletId": wallet_id, "requestId": str(uuid.uuid4())}
    nameless = {"step": "transfer", "walletId": wallet_id}
    _, made, again, without, listed = run(
        {"step": "token"}, transfer, transfer, nameless, {"step": "transactions"}
    )
    assert (made["status"], made["verified"]) == (201, True)
    assert (again["status"], again["error"]["error_code"]) == (400, 30001)
    assert (without["status"], without["error"]["error_code"]) == (400, 30028)
    assert [one["request_id"] for one in listed["data"]["data"]] == [transfer["requestId"]]
    assert served.counters.executed_writes == 1


def test_it_sees_a_dead_token_as_500(served: CoboSimulator, run: Runs) -> None:
    """With the documented code, signed, and an ``error_id`` to quote."""
    served.token_lifetime = 0
    _, dead = run({"step": "token"}, {"step": "wallets"})
    assert (dead["status"], dead["error"]["error_code"], dead["verified"]) == (500, 1000, True)
    assert {*dead["error"]} == {"error_code", "error_message", "error_id"}


def test_it_notices_what_nobody_signed(served: CoboSimulator, run: Runs) -> None:
    """The check of these tests can fail: a signature that is wrong, and one that is missing."""
    served.inject("/v2/wallets", "tamper")
    served.inject("/v2/wallets", "unsigned")
    _, tampered, unsigned = run({"step": "token"}, {"step": "wallets"}, {"step": "wallets"})
    assert (tampered["verified"], unsigned["verified"]) == (False, False)


def _first_wallet(served: CoboSimulator, run: Runs) -> str:
    _, listed = run({"step": "token"}, {"step": "wallets"})
    assert served.counters.issued == 1
    return cast("str", listed["data"]["data"][0]["wallet_id"])
