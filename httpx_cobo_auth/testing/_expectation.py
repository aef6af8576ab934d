"""What is to reach the simulator while a block runs: so much, in that order, and nothing else."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from httpx_cobo_auth.testing._core import Core
    from httpx_cobo_auth.testing._records import LogEntry

__all__ = ["Expectation"]

_FIRST_ERROR = 400


@dataclass(slots=True, eq=False)
class Expectation:
    """A context manager that looks at what arrives, and judges it at the end of the block.

    Each number is exact; ``None`` stands for any. A block that raises is not judged.
    """

    _core: Core = field(repr=False)
    renewals: int
    replays: int | None
    requests: int | None
    _seen: list[LogEntry] = field(default_factory=list["LogEntry"], repr=False)

    def __enter__(self) -> Self:
        with self._core.lock:
            self._seen.clear()
            self._core.watchers.append(self._note)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Judge what arrived.

        Raises:
            AssertionError: it was not as expected. The message tells what arrived, path by
                path, without queries, headers and bodies.

        """
        __tracebackhide__ = True  # pytest's: the failure is shown at the user's own line
        with self._core.lock:
            self._core.watchers.remove(self._note)
        if exc_type is not None:
            return
        problems = [*self._problems()]
        if problems:
            raise AssertionError("\n".join(["not as expected:", *problems, *_told(self._seen)]))

    def _note(self, entry: LogEntry) -> None:
        """Take down what has arrived. Called by the simulator, under its lock."""
        self._seen.append(entry)

    def _problems(self) -> Iterator[str]:
        exchanges = [at for at, entry in enumerate(self._seen) if entry.for_token]
        pairs, left = _paired(self._seen)
        counted = {
            "renewals": (len(exchanges), self.renewals),
            "replays": (len(pairs), self.replays),
            "requests": (len(self._seen) - len(exchanges) - len(pairs), self.requests),
        }
        for name, (found, expected) in counted.items():
            if expected is not None and found != expected:
                yield f"- {name}: {found}, not {expected}"
        if not all(_renewed(self._seen[at]) for at in exchanges):
            yield "- a renewal failed"
        for refused in left:
            yield f"- refused, and not sent again: {_line(self._seen[refused])}"
        between = any(
            refused < exchange < replay for refused, replay in pairs for exchange in exchanges
        )
        if exchanges and pairs and not between:
            yield "- the order was not: refused, renewed, replayed"


def _paired(seen: list[LogEntry]) -> tuple[list[tuple[int, int]], list[int]]:
    """Return refused requests, each with the answered one that repeats it; and those without."""
    waiting: defaultdict[tuple[str, bytes, bytes], deque[int]] = defaultdict(deque)
    pairs: list[tuple[int, int]] = []
    for at, entry in enumerate(seen):
        same = waiting[entry.method, entry.target, entry.body]
        if entry.refused:
            same.append(at)
        elif same:
            pairs.append((same.popleft(), at))
    return pairs, sorted(at for left in waiting.values() for at in left)


def _renewed(entry: LogEntry) -> bool:
    return entry.issued is not None and (entry.status or _FIRST_ERROR) < _FIRST_ERROR


def _line(entry: LogEntry) -> str:
    path, mark, _ = entry.target.decode("latin-1").partition("?")
    fault = f" (fault: {entry.fault})" if entry.fault else ""
    return f"{entry.method} {path}{'?…' if mark else ''} -> {entry.status or 'no answer'}{fault}"


def _told(seen: list[LogEntry]) -> list[str]:
    lines = [f"  {number}. {_line(entry)}" for number, entry in enumerate(seen, start=1)]
    return ["what arrived:", *lines] if lines else ["nothing arrived"]
