"""What the tests of threads, tasks and processes share."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.family import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from httpx_cobo_auth.testing import CoboSimulator


LONGEST_S = 30.0
"""After this a thread or a child counts as stuck."""


class RunsThreads(Protocol):
    """Runs functions in threads of their own, all at once; at the end waits for them."""

    def __call__(self, *work: Callable[[], object]) -> AbstractContextManager[None]: ...


@pytest.fixture(params=["memory", "socket"])
def reachable(request: pytest.FixtureRequest, running: CoboSimulator) -> Generator[dict[str, Any]]:
    """Options for a client, by which it reaches the simulator that runs."""
    patient = {"timeout": LONGEST_S, "limits": httpx.Limits(max_connections=None)}
    if request.param == "memory":
        yield {"transport": running, **patient}
    else:
        with running.serve():
            yield patient


@pytest.fixture
def in_threads() -> RunsThreads:
    """Run functions in threads; what one of them raises, the test raises."""

    @contextmanager
    def run(*work: Callable[[], object]) -> Generator[None]:
        failures: list[BaseException] = []
        together = threading.Barrier(len(work))

        def guarded(function: Callable[[], object]) -> None:
            try:
                together.wait(LONGEST_S)
                function()
            except BaseException as failure:  # noqa: BLE001 - raised below
                failures.append(failure)

        threads = [threading.Thread(target=guarded, args=(one,), daemon=True) for one in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for thread in threads:
                thread.join(LONGEST_S)
        stuck = sum(thread.is_alive() for thread in threads)
        if failures:
            raise failures[0]
        assert not stuck, f"{stuck} of {len(threads)} threads are stuck"

    return run
