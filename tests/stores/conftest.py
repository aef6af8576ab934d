"""Records to store, and the servers to store them in."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

from httpx_cobo_auth._protocol.records import Record, StoreKey
from httpx_cobo_auth._protocol.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from httpx_cobo_auth.testing import CoboSimulator, LogEntry
    from tests.stores.databases import MariaServer, PostgresServer

SECRET = "5ec2e7"
_HIGHEST_PORT = 65_535
"""Begins every token of these tests, to be searched for."""


class MakesRecords(Protocol):
    """Makes the record of a generation."""

    def __call__(self, generation: int = 1) -> Record: ...


class RunsPython(Protocol):
    """Runs a program in another interpreter and gives what it printed."""

    def __call__(self, program: str, *arguments: object, returncode: int = 0) -> str: ...


@pytest.fixture
def key() -> StoreKey:
    """One organization."""
    return StoreKey("https://api.example/v2", "client", "7e5f5e5c-organization")


@pytest.fixture
def other_key() -> StoreKey:
    """Another organization."""
    return StoreKey("https://api.example/v2", "client", "0ther-organization")


@pytest.fixture
def make_record() -> MakesRecords:
    """Make records that differ by generation."""

    def make(generation: int = 1) -> Record:
        token = Token(
            access_token=f"{SECRET}-access-{generation}",
            refresh_token=f"{SECRET}-refresh-{generation}",
            expires_at=43_199.5 + generation,
            obtained_at=0.5 + generation,
        )
        return Record(generation, token)

    return make


@pytest.fixture
def run_python() -> Iterator[RunsPython]:
    """Run programs in other interpreters, none of which outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def run(program: str, *arguments: object, returncode: int = 0) -> str:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        out, err = process.communicate(timeout=60)
        assert process.returncode == returncode, out + err
        return out

    yield run
    for process in started:
        process.kill()
        process.wait()


class RedisServer:
    """A real Redis, on a free port, that loses nothing when it is stopped."""

    def __init__(self, folder: Path, *, scheme: str = "redis", **options: object) -> None:
        self.port = _free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.client_options: dict[str, Any] = {}
        if scheme == "rediss":
            options |= {"port": 0, "tls-port": self.port}
            self.client_options["ssl_cert_reqs"] = None
        self.options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": folder,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            **options,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @contextlib.contextmanager
    def client(self) -> Generator[Any]:
        """Return a client of the test's own."""
        import redis  # noqa: PLC0415 - an extra

        untyped: Any = redis.Redis
        with untyped.from_url(self.url, **self.client_options) as client:
            yield client

    def start(self) -> None:
        """Start it, and wait until it answers."""
        import redis  # noqa: PLC0415 - an extra

        arguments = [text for name, value in self.options.items() for text in (f"--{name}", value)]
        self.process = subprocess.Popen(
            ["redis-server", *map(str, arguments)],  # noqa: S607 - wherever it is
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except redis.RedisError:
                    gave_up = self.process.poll()
                    assert gave_up is None, f"redis-server ended with {gave_up}"
                    if time.monotonic() > deadline:
                        self.stop()
                        pytest.fail("redis-server does not answer")
                    time.sleep(0.02)
                else:
                    return

    def stop(self) -> None:
        """End it as a crash would."""
        assert self.process
        self.process.kill()
        self.process.wait()

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        """Let it hang: connections are accepted by the system, and nobody answers."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def _free_port() -> int:
    """Return a free port, so low that a cluster's own, 10,000 higher, is one as well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port if port <= _HIGHEST_PORT - 10_000 else _free_port()


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Start a Redis once."""
    if shutil.which("redis-server") is None:
        pytest.skip("missing service: redis-server")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def start_redis(shared_redis: RedisServer, tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Start servers of the test's own, with options."""
    del shared_redis  # Without it there is none at all.
    servers: list[RedisServer] = []

    def start(**options: object) -> RedisServer:
        folder = tmp_path / f"redis-{len(servers)}"
        folder.mkdir()
        servers.append(RedisServer(folder, **cast("Any", options)))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """Return a Redis that is empty."""
    with shared_redis.client() as client:
        client.flushall()
    return shared_redis


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[PostgresServer]:
    """Start a PostgreSQL once."""
    from tests.stores.databases import PostgresServer  # noqa: PLC0415 - SQLAlchemy is an extra

    server = PostgresServer()
    yield server
    server.end()


@pytest.fixture
def postgres(shared_postgres: PostgresServer) -> PostgresServer:
    """Return a PostgreSQL without our table."""
    shared_postgres.empty()
    return shared_postgres


@pytest.fixture(scope="session")
def shared_mariadb() -> Iterator[MariaServer]:
    """Start a MariaDB once."""
    from tests.stores.databases import MariaServer  # noqa: PLC0415 - SQLAlchemy is an extra

    server = MariaServer()
    yield server
    server.end()


@pytest.fixture
def mariadb(shared_mariadb: MariaServer) -> MariaServer:
    """Return a MariaDB without our table."""
    shared_mariadb.empty()
    return shared_mariadb


@pytest.fixture(scope="session")
def secret_service_bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start a real Secret Service, unlocked, on a bus of its own; gives its environment."""
    for program in ("dbus-daemon", "gnome-keyring-daemon"):
        if shutil.which(program) is None:
            pytest.skip(f"missing service: {program}")
    home = tmp_path_factory.mktemp("home", numbered=True)
    environment = {
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_RUNTIME_DIR": str(home),
    }
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    popen: Any = subprocess.Popen
    everything = {**os.environ, **environment}
    bus = popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address=1"], env=everything, **quiet
    )
    environment["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().decode().strip()
    daemon = popen(
        ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
        env={**everything, **environment},
        **quiet,
    )
    daemon.stdin.write(b"password of the keyring")
    daemon.stdin.close()
    # It tells where its control socket is once it has begun.
    daemon.stdout.readline()
    yield environment
    for process in (daemon, bus):
        process.kill()
        with process:
            pass


@pytest.fixture
def secret_service(
    secret_service_bus: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Have ``keyring`` use it, here and in processes that are started."""
    import keyring  # noqa: PLC0415 - an extra
    from keyring.backends import SecretService  # noqa: PLC0415

    for name, value in secret_service_bus.items():
        monkeypatch.setenv(name, value)
    before = keyring.get_keyring()
    keyring.set_keyring(cast("Any", SecretService).Keyring())
    yield
    keyring.set_keyring(before)


class Fleet:
    """Processes that send requests over one store, to one simulator on a socket."""

    def __init__(self, simulator: CoboSimulator) -> None:
        self.simulator = simulator
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, program: str = "worker", **task: object) -> subprocess.Popen[str]:
        """Start one of the programs beside this file, and let it wait for the others."""
        environment = self.simulator.environment
        whole = {
            "base_url": environment.base_url,
            "response_key": environment.response_key,
            "client_id": self.simulator.client_id,
            "app_secret": self.simulator.app_secret,
            "org_id": self.simulator.org_id,
            "method": "GET",
            "how": "asyncio",
            "tasks": 16,
            "pause": 0.8,
            **task,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.stores.{program}", json.dumps(whole)],
            cwd=Path(__file__).parents[2],
            # At full speed: what they run is covered by other tests.
            env={n: v for n, v in os.environ.items() if not n.startswith("COVERAGE_PROCESS")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def go(self, *processes: subprocess.Popen[str]) -> None:
        """Let them begin, all at once."""
        chosen = processes or self.processes
        for process in chosen:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in chosen:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()

    def work_until(self, issued: int) -> None:
        """Let them work until so many tokens were issued, and a little longer; then stop them."""
        deadline = time.monotonic() + 100
        while self.simulator.counters.issued < issued:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.5)
        for process in self.processes:
            assert process.stdin
            process.stdin.close()

    def reports(self) -> list[dict[str, Any]]:
        """Wait for all, and give what they tell."""
        told: list[dict[str, Any]] = []
        for process in self.processes:
            assert process.stdout
            out = process.stdout.read()
            assert process.wait(timeout=30) == 0
            told += [json.loads(line) for line in out.splitlines()]
        return told

    def exchanges(self) -> list[LogEntry]:
        """Return the requests to the token endpoint, oldest first."""
        return [entry for entry in self.simulator.log if b"/oauth/token" in entry.target]

    def refresh_tokens(self) -> list[str]:
        """Return the refresh tokens that arrived, each as often as it did; the latest thousands."""
        sent = [entry for entry in self.exchanges() if entry.method == "POST"]
        return [json.loads(entry.body)["refresh_token"] for entry in sent]

    def end(self) -> None:
        """End all that still run."""
        for process in self.processes:
            process.kill()
            with process:
                pass


@pytest.fixture
def make_fleet() -> Iterator[Callable[..., Fleet]]:
    """Make fleets, each with a simulator of its own, in real time."""
    with contextlib.ExitStack() as stack:

        def make(**settings: object) -> Fleet:
            from httpx_cobo_auth.testing import CoboSimulator  # noqa: PLC0415

            # Processes that sign in the same millisecond send the same nonce.
            simulator = CoboSimulator(check_nonce=False, **cast("Any", settings))
            stack.enter_context(simulator.serve())
            fleet = Fleet(simulator)
            stack.callback(fleet.end)
            return fleet

        yield make
