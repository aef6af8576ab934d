"""What every test runs under: nothing of the machine's settings, and no blocked event loop."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, Unpack, cast

import blockbuster.blockbuster
import pytest
import trio.lowlevel
from blockbuster import BlockBuster, BlockingError

from tests.passes import FAMILY, ONCE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from httpx_cobo_auth._auth.config import Options
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.family import CoboOAuth

collect_ignore = [] if FAMILY == "httpx" else [*ONCE]

MISSING_SERVICE = "missing service"
"""Begins the reason of every skip for want of a server or daemon. With CI set, it fails."""

OF_THE_MACHINE = re.compile(
    r"\w+_proxy|ssl_cert_(file|dir)|sslkeylogfile|xdg_\w+|python_keyring_\w+|"
    r"dbus_session_bus_address|cobo_(?!fuzz)\w+",
    re.IGNORECASE,
)
"""What httpx, keyrings, our stores and the examples read of the environment."""


def pytest_configure() -> None:
    """Forget it, so that tests, and the processes they start, do the same on every machine."""
    for name in filter(OF_THE_MACHINE.fullmatch, [*os.environ]):
        del os.environ[name]
    # Ignored, and inherited so, where the suite runs in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run every async test on both event loops."""
    return cast("str", request.param)


@pytest.fixture
def clock() -> ManualClock:
    """Time that moves only when the test moves it."""
    from httpx_cobo_auth.testing import ManualClock  # noqa: PLC0415 - coverage has begun by now

    return ManualClock()


@pytest.fixture
def simulator(clock: ManualClock) -> CoboSimulator:
    """A Cobo of the test's own, on the test's clock."""
    from httpx_cobo_auth.testing import CoboSimulator  # noqa: PLC0415 - coverage has begun by now

    return CoboSimulator(clock=clock, check_nonce=True)


class MakesAuth(Protocol):
    """Makes the auth object of the simulator's organization."""

    def __call__(self, simulator: CoboSimulator, **options: Unpack[Options]) -> CoboOAuth: ...


@pytest.fixture
def make_auth() -> MakesAuth:
    """Make auth objects that go by the simulator's clock."""
    from tests.family import CoboOAuth  # noqa: PLC0415 - coverage has begun by now

    def make(simulator: CoboSimulator, **options: Unpack[Options]) -> CoboOAuth:
        options.setdefault("clock", simulator.clock)
        return CoboOAuth(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            org_id=simulator.org_id,
            environment=simulator.environment,
            **options,
        )

    return make


@pytest.fixture
def ticking() -> ManualClock:
    """Time that passes by itself, as sockets and other threads need it, and can be moved."""
    from httpx_cobo_auth.testing import ManualClock  # noqa: PLC0415 - coverage has begun by now

    return ManualClock(running=True)


@pytest.fixture
def running(ticking: ManualClock) -> CoboSimulator:
    """A Cobo of the test's own, whose clock runs."""
    from httpx_cobo_auth.testing import CoboSimulator  # noqa: PLC0415 - coverage has begun by now

    return CoboSimulator(clock=ticking, check_nonce=True)


@pytest.fixture(autouse=True)
def blocking_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail the test if the package blocks an event loop, even where it swallows the error.

    blockbuster knows asyncio only; it is shown trio's loop as well. It cannot see into
    ``with lock:``, whose C code bypasses ``Lock.acquire``, nor below C extensions.
    """
    seen: list[str] = []

    class RecordedBlockingError(BlockingError):
        def __init__(self, func: str) -> None:
            super().__init__(func)
            seen.append(func)

    monkeypatch.setattr(blockbuster.blockbuster, "BlockingError", RecordedBlockingError)
    loops = SimpleNamespace(get_running_loop=_running_loop)
    monkeypatch.setattr(blockbuster.blockbuster, "asyncio", loops)
    watch = BlockBuster("httpx_cobo_auth", excluded_modules=["httpx_cobo_auth.testing"])
    # Not the package's doing: pytest's own log handler, coverage's own lock, and the search for
    # certificates whenever a client is built.
    for write in ("io.TextIOWrapper.write", "io.BufferedWriter.write"):
        watch.functions[write].can_block_in("logging/__init__.py", "emit")
    acquire = watch.functions["threading.Lock.acquire"]
    acquire.can_block_predicate = _unless_coverage_s(acquire.can_block_predicate)
    for function in watch.functions.values():
        for family in ("httpx", "httpx2"):
            function.can_block_in(f"/{family}/_config.py", "create_ssl_context")
        # asyncpg looks for files of passwords and certificates when it connects.
        function.can_block_in("/asyncpg/connect_utils.py", "_parse_connect_dsn_and_args")
    watch.activate()
    try:
        yield seen
    finally:
        watch.deactivate()
    assert not seen, f"blocked the event loop: {', '.join(seen)}"


def _unless_coverage_s(harmless: Callable[..., bool]) -> Callable[..., bool]:
    """Let coverage's tracer take its lock, which it does from C, where no frame tells of it."""
    coverage: Any = sys.modules.get("coverage")  # `make matrix` runs without it
    running = None if coverage is None else coverage.Coverage.current()
    own = None if running is None else running._collector.data_lock

    def may_block(lock: object, *args: object, **options: object) -> bool:
        return lock is own or harmless(lock, *args, **options)

    return may_block


def _running_loop() -> object:
    """Return the running loop of either kind; ``RuntimeError`` where there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return trio.lowlevel.current_trio_token()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI set, let no test hide behind a service that is not there."""
    report = yield
    wanting = f"Skipped: {MISSING_SERVICE}" in str(report.longrepr)
    if report.skipped and wanting and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped although CI is set: {report.longrepr}"
    return report
