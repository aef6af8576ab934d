"""A process whose children die in the middle of renewals; after each, another one gets through.

Run with a task as JSON, like ``worker.py``. ``steps`` kills a child before and after each thing
that a renewal does, one child for each step; ``random`` kills at random moments for as long as
it is told. Prints how often.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from tests.family import httpx
from tests.stores.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = [
    (os, "open"),
    (os, "fsync"),
    (Path, "mkdir"),
    (Path, "replace"),
    (filelock.BaseFileLock, "acquire"),
    (filelock.BaseFileLock, "release"),
    (httpx.HTTPTransport, "handle_request"),
]


def in_child(work: Callable[[], object]) -> int:
    """Fork, and give the child's process ID."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - whatever it was, it failed
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    """Wait for it, and give its exit code; minus the signal, where one killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def renew(worker: Worker, *, times: int = 1) -> None:
    for _ in range(times):
        with worker.auth().client(timeout=30, verify=False) as client:
            worker.auth().renew(client)


def witness(worker: Worker) -> None:
    """Get through, whatever the one before left behind."""
    with worker.auth().client(timeout=30, verify=False) as client:
        for _ in range(2):
            assert client.get("/wallets").status_code == 200
        worker.auth().renew(client)
        assert client.get("/wallets").status_code == 200


def witness_among_others(worker: Worker) -> None:
    """The same while others renew without a pause, which nobody's token survives for long.

    Tokens refused so often look like contention, and forced renewals are held off; asking for
    a new token works all the same.
    """
    with worker.auth().client(timeout=30, verify=False) as client:
        for _ in range(20):
            worker.auth().renew(client)
            if client.get("/wallets").status_code == 200:
                return
    raise AssertionError


def dying_at(step: int) -> None:
    """Kill this process at that step."""
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for owner, name in STEPS:
        real = getattr(owner, name)

        @functools.wraps(real)
        def stepping(*arguments: Any, real: Any = real, **options: Any) -> Any:  # noqa: ANN401
            count()
            result = real(*arguments, **options)
            count()
            return result

        setattr(owner, name, stepping)


def at_every_step(worker: Worker) -> int:
    step = 0
    while True:
        step += 1

        def renew_and_die(step: int = step) -> None:
            dying_at(step)
            renew(worker)

        code = ended(in_child(renew_and_die))
        if code == 0:
            return step - 1
        assert code == -signal.SIGKILL, f"step {step}: {code}"
        assert ended(in_child(lambda: witness(worker))) == 0, f"after step {step}"


def at_random(worker: Worker) -> int:
    chance = random.Random(worker.task["seed"])  # noqa: S311 - no secret
    until, deaths = time.monotonic() + worker.task["seconds"], 0
    while time.monotonic() < until:
        child = in_child(lambda: renew(worker, times=1000))
        time.sleep(chance.uniform(0.01, worker.task["longest"]))
        os.kill(child, signal.SIGKILL)
        assert ended(child) == -signal.SIGKILL
        deaths += 1
        code = ended(in_child(lambda: witness_among_others(worker)))
        assert code == 0, f"after death {deaths}"
    return deaths


def main() -> None:
    worker = Worker(json.loads(sys.argv[1]))
    # Import everything now, or children spend their lives with that.
    witness(worker)
    os.write(1, b"ready\n")
    os.read(0, 1)
    deaths = {"steps": at_every_step, "random": at_random}[worker.task["how"]](worker)
    os.write(1, (json.dumps({"deaths": deaths}) + "\n").encode())


if __name__ == "__main__":
    main()
