"""One call of a worker, and what becomes of it: as a worker writes it down, the parent reads it."""

from __future__ import annotations

import json
import os
import time
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CALL_HEADER = "X-Soak-Call"
TRANSFER = "/transactions/transfer"
WALLETS = "/wallets"
GRACE_S = 0.2
"""How long an early renewal leaves the writes of other processes."""


@dataclass(slots=True)
class Call:
    """A call.

    Attributes:
        name: unlike any other's; begins with the worker's.
        worker: the process, ``slot.generation``.
        org_id: of the organization.
        method: ``GET`` or ``POST``.
        path: below the base URL.
        plain: by a client's ``auth=``, so that an exchange travels as a part of this call.
        replay: a write that may be replayed after a 500/1000.
        request_id: of a write.
        begun: monotonic seconds, which all processes of a machine share.
        ended: the same; ``None`` for a call that was never answered, as its process died.
        status: of the answer; ``None`` where there was none.
        error: the class of the exception, if there was one.
        message: of the exception.
        typed: whether it was one of the package's own.
        attempts: each request that left the client: what for, and status or exception.

    """

    name: str
    worker: str
    org_id: str
    method: str
    path: str
    plain: bool
    replay: bool
    request_id: str
    begun: float = field(default_factory=time.monotonic)
    ended: float | None = None
    status: int | None = None
    error: str = ""
    message: str = ""
    typed: bool = False
    attempts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @property
    def good(self) -> bool:
        """Whether the caller got what it asked for."""
        return self.status in {200, 201}

    @property
    def last_attempt(self) -> tuple[str, str]:
        """What was sent last, and what came of it."""
        what, outcome = self.attempts[-1] if self.attempts else ("", "")
        return what, outcome


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)
"""The call that this task or thread is making; ``None`` in a renewal that runs on its own."""


class Journal:
    """A file that is written call by call, so that SIGKILL loses nothing."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, entry: Mapping[str, object]) -> None:
        """Add one line, by one system call."""
        os.write(self._file, (json.dumps(entry) + "\n").encode())

    def call(self, call: Call) -> None:
        """Write down what is known of a call: once before, once after."""
        self.write(asdict(call))


def read_journal(path: Path) -> dict[str, Call]:
    """Give all calls of one worker, by their names; the last that is known of each."""
    calls: dict[str, Call] = {}
    for line in path.read_text().splitlines():
        entry: dict[str, Any] = json.loads(line)
        calls[entry["name"]] = Call(**entry)
    return calls
