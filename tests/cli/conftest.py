"""A simulator over a socket, the variables that lead to it, and the program, run in process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from httpx_cobo_auth import Ed25519Signer
from httpx_cobo_auth._cli.main import main
from httpx_cobo_auth.clock import SystemClock
from httpx_cobo_auth.testing import CoboSimulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

API_SECRET = "5e" * 32


@dataclass(frozen=True)
class Ran:
    """How the program ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:  # noqa: ANN401 - JSON
        """What it printed with ``--json``: one line."""
        [line] = self.out.splitlines()
        return json.loads(line)


class Runs(Protocol):
    """Runs a command in this process; whatever goes wrong, there is no traceback."""

    def __call__(self, *argv: str) -> Ran: ...


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Runs:
    """Run the program's ``main``."""

    def run(*argv: str) -> Ran:
        try:
            code = main(argv)
        except SystemExit as end:  # argparse's way
            code = int(end.code or 0)
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return Ran(code, told.out, told.err)

    return run


@pytest.fixture
def cobo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CoboSimulator]:
    """A Cobo that ``COBO_BASE_URL`` leads to, with a folder for tokens."""
    simulator = CoboSimulator(clock=SystemClock())
    simulator.add_api_key(Ed25519Signer(API_SECRET).public_key)
    monkeypatch.chdir(tmp_path)
    with simulator.serve() as served:
        for name, value in {
            "COBO_BASE_URL": served.base_url,
            "COBO_RESPONSE_KEY": str(served.response_key),
            "COBO_APP_CLIENT_ID": simulator.client_id,
            "COBO_APP_SECRET": simulator.app_secret,
            "COBO_API_SECRET": API_SECRET,
            "COBO_ORG_ID": simulator.org_id,
            "COBO_TOKEN_STORE": "file:cobo-tokens",
        }.items():
            monkeypatch.setenv(name, value)
        yield simulator
