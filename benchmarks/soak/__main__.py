"""A soak: worker processes over one store, while everything around them goes wrong.

    python -m benchmarks.soak --minutes 10 --seed 1

Prints one row of counts at the end; the exit status is 1 where one that must be 0 is not.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.soak.bombs import drop
from benchmarks.soak.fleet import WAYS, Fleet
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.outcome import Outcome, outcome_of
from benchmarks.soak.stores import KINDS
from benchmarks.soak.trouble import Trouble
from httpx_cobo_auth.testing import CoboSimulator

if TYPE_CHECKING:
    from collections.abc import Generator

ORGANIZATIONS = 3
NEW_ORGANIZATIONS_S = 30.0
TASKS = 6
PAUSE_S = 0.25
CALM_S = 2.0
LONGEST_START_S = 60.0
BOMBS_A_MINUTE = 1000
TICK_S = 0.02
FULL_PACE_S = 180.0
SLOWEST_PACE = 0.3


def main() -> int:
    """Soak; give the exit status."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--store", choices=KINDS, default="file")
    parser.add_argument("--keep", type=Path, help="an empty folder for journals and logs")
    options = parser.parse_args()
    seconds: float = options.minutes * 60
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        parser.error("the folder to keep journals and logs in is not empty")
    print(f"seed {options.seed}, {seconds:.0f} s, {options.store} store", flush=True)
    with contextlib.ExitStack() as stack:
        folder: Path = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        place = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "tokens"
        where = str(place)
        if options.store == "redis":
            where = stack.enter_context(redis_server())
        outcome = soak(seconds, options.seed, folder, (options.store, where))
    bombs = drop(round(options.minutes * BOMBS_A_MINUTE))
    outcome.wrongs["bombs that went off"] = int(bombs.went_off)
    for remark in outcome.remarks:
        print(remark)
    for reason, count in sorted(outcome.reasons.items()):
        print(f"{count:>5} {reason}")
    print(bombs)
    print(outcome.row())
    return 0 if outcome.good else 1


def soak(seconds: float, seed: int, folder: Path, store: tuple[str, str]) -> Outcome:
    """Run workers and trouble side by side, and count."""
    chance = random.Random(seed)  # noqa: S311 - to be repeatable
    simulator = CoboSimulator(check_nonce="age")
    ledger = Ledger(simulator)
    ledger.secrets.add(simulator.app_secret)
    fleet = Fleet(folder, {"seed": seed, "tasks": TASKS, "pause": PAUSE_S}, [])
    pace = min(1.0, max(SLOWEST_PACE, seconds / FULL_PACE_S))
    trouble = Trouble(simulator, fleet, ledger, chance, pace)
    fleet.task |= {
        "client_id": simulator.client_id,
        "app_secret": simulator.app_secret,
        "base_url": trouble.base_url,
        "response_key": simulator.environment.response_key,
        "store": store[0],
        "store_path": store[1],
    }
    try:
        fleet.orgs = trouble.new_orgs(ORGANIZATIONS)
        for slot in range(len(WAYS)):
            fleet.start(slot)
        await_workers(fleet, ledger)
        trouble.begin()
        begun = renamed = time.monotonic()
        while time.monotonic() < begun + seconds - CALM_S:
            trouble.tick()
            ledger.collect()
            if time.monotonic() > renamed + NEW_ORGANIZATIONS_S * pace:
                renamed = time.monotonic()
                fleet.use(trouble.new_orgs(ORGANIZATIONS))
            time.sleep(TICK_S)
        trouble.end()
        time.sleep(CALM_S)
    finally:
        fleet.end()
        trouble.close()
    ledger.collect()
    print(", ".join(f"{name} {count}" for name, count in sorted(trouble.kinds.items())))
    return outcome_of(fleet, ledger, trouble.org_ids)


def await_workers(fleet: Fleet, ledger: Ledger) -> None:
    """Wait until all workers call: on a busy machine that takes longer than a short soak."""
    given_up = time.monotonic() + LONGEST_START_S
    while not all(fleet.running(slot).name in ledger.workers for slot in range(len(WAYS))):
        if time.monotonic() > given_up:
            message = "the workers do not start"
            raise TimeoutError(message)
        time.sleep(TICK_S)
        ledger.collect()


@contextlib.contextmanager
def redis_server() -> Generator[str]:
    """Run a Redis of our own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
        try:
            time.sleep(1.0)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
