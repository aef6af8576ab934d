"""The worker processes: begun, told, killed, begun again, ended."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WAYS = ("asyncio", "trio", "threads", "mixed")
ONLY_WRITES = {1, 2}
"""The slots of the programs that read nothing: half of them."""
_LONGEST_END_S = 60.0


@dataclass(slots=True, eq=False)
class Process:
    """One worker process.

    Attributes:
        slot: which of the four it is.
        name: of the process, unlike any other's.
        popen: the process itself.
        killed_at: monotonic seconds; ``None`` while nobody has killed it.

    """

    slot: int
    name: str
    popen: subprocess.Popen[str]
    killed_at: float | None = None

    def tell(self, command: Mapping[str, object]) -> None:
        """Send one line. One that is dead hears nothing."""
        if self.killed_at is not None:
            return
        pipe = cast("IO[str]", self.popen.stdin)
        with contextlib.suppress(BrokenPipeError):
            pipe.write(json.dumps(command) + "\n")
            pipe.flush()


@dataclass(slots=True)
class Fleet:
    """All processes of one soak.

    Attributes:
        folder: for their journals and logs.
        task: what all of them are told to begin with.
        orgs: the organizations they work for.
        clock_off: seconds that the wall clock of their machine is ahead.
        processes: all that ever ran; the last of each slot runs now.

    """

    folder: Path
    task: dict[str, Any]
    orgs: list[str]
    clock_off: float = 0.0
    processes: list[Process] = field(default_factory=list[Process])

    def start(self, slot: int) -> None:
        """Start a process, of the kind that belongs to the slot."""
        name = f"{slot}.{len(self.processes)}"
        with (self.folder / f"{name}.err").open("w") as errors:
            popen = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.soak.worker"],
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                text=True,
            )
        process = Process(slot, name, popen)
        process.tell(
            self.task
            | {
                "name": name,
                "how": WAYS[slot],
                "verify": slot % 2 == 0,
                "only_writes": slot in ONLY_WRITES,
                "orgs": self.orgs,
                "clock_off": self.clock_off,
                "seed": f"{self.task['seed']}/{name}",
                "journal": str(self.folder / f"{name}.journal"),
                "log": str(self.folder / f"{name}.log"),
            }
        )
        self.processes.append(process)

    def running(self, slot: int) -> Process:
        """Give the process that runs in the slot now."""
        return [process for process in self.processes if process.slot == slot][-1]

    def kill(self, slot: int) -> None:
        """Kill by SIGKILL, and start another in its place."""
        process = self.running(slot)
        process.killed_at = time.monotonic()
        process.popen.kill()
        process.popen.wait()
        with contextlib.suppress(BrokenPipeError):
            cast("IO[str]", process.popen.stdin).close()
        self.start(slot)

    def tell(self, command: dict[str, object]) -> None:
        """Tell all that run."""
        for slot in range(len(WAYS)):
            self.running(slot).tell(command)

    def use(self, orgs: list[str]) -> None:
        """Let them work for other organizations from now on."""
        self.orgs = orgs
        self.tell({"orgs": orgs})

    def step(self, seconds: float) -> None:
        """Step the wall clock of the machine that they run on."""
        self.clock_off += seconds
        self.tell({"step": seconds})

    def end(self) -> None:
        """Let them end their calls; a process that does not is killed, and counts as crashed."""
        for slot in range(len(WAYS)):
            with contextlib.suppress(BrokenPipeError):
                cast("IO[str]", self.running(slot).popen.stdin).close()
        deadline = time.monotonic() + _LONGEST_END_S
        for slot in range(len(WAYS)):
            popen = self.running(slot).popen
            try:
                popen.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()

    def crashed(self) -> list[str]:
        """Name the processes that ended otherwise than they were made to."""
        return [
            process.name
            for process in self.processes
            if process.killed_at is None and process.popen.poll() not in {None, 0}
        ]
