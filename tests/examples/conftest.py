"""Where examples run: other interpreters, whose Cobo is a simulator on a loopback socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import httpx
import pytest

from httpx_cobo_auth.testing import CoboSimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 60.0


class Starts(Protocol):
    """Starts an example, or a module (``-m``), in another interpreter that ends with the test."""

    def __call__(self, program: str, *arguments: str) -> subprocess.Popen[str]: ...


class Serves(Protocol):
    """Starts a server in the same way, and gives a client of it once it answers.

    The server listens at the port that is added to the arguments.
    """

    def __call__(self, program: str, *arguments: str) -> httpx.Client: ...


@pytest.fixture
def served() -> Iterator[CoboSimulator]:
    """A Cobo on a socket, on real time, as other processes read the machine's clock.

    Nonces go unchecked: two processes may make requests within one millisecond.
    """
    simulator = CoboSimulator(check_nonce=False)
    with simulator.serve():
        yield simulator


@pytest.fixture
def variables(served: CoboSimulator, tmp_path: Path) -> dict[str, str]:
    """What the examples ask of the environment, and all that leads them to the simulator."""
    assert served.environment.response_key is not None
    return {
        **os.environ,
        "PYTHONPATH": str(EXAMPLES),
        "PYTHONWARNINGS": "default",
        "COBO_BASE_URL": served.environment.base_url,
        "COBO_RESPONSE_KEY": served.environment.response_key,
        "COBO_APP_CLIENT_ID": served.client_id,
        "COBO_APP_SECRET": served.app_secret,
        "COBO_ORG_ID": served.org_id,
        "COBO_ORG_IDS": served.org_id,
        "COBO_TOKEN_STORE": f"file:{tmp_path / 'tokens'}",
    }


@pytest.fixture
def start(variables: dict[str, str], tmp_path: Path) -> Iterator[Starts]:
    """Start programs in a group of their own, none of which outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        if program.endswith(".py"):
            program = str(EXAMPLES / program)
        process = subprocess.Popen(
            [sys.executable, program, *arguments],
            cwd=tmp_path,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def serve(start: Starts) -> Iterator[Serves]:
    """Start servers on free ports."""
    clients: list[httpx.Client] = []

    def serve(program: str, *arguments: str) -> httpx.Client:
        port = free_port()
        process = start(program, *arguments, str(port))
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S)
        clients.append(client)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.get("/")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return client
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"it does not answer: {process.communicate()[0]}")

    yield serve
    for client in clients:
        client.close()


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
