"""The program as a whole: usage, exit codes, colours, and as a process of its own."""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import httpx_cobo_auth
from httpx_cobo_auth import __version__
from httpx_cobo_auth._cli import serve
from httpx_cobo_auth._cli.main import main
from httpx_cobo_auth._cli.screen import Colour, Screen, time_text

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator
    from tests.cli.conftest import Runs

PROGRAM = [sys.executable, "-W", "error", "-m", "httpx_cobo_auth"]
ROOT = Path(httpx_cobo_auth.__path__[0]).parent
COMMANDS = ["status", "renew", "forget", "keys", "check", "serve"]


class Terminal(io.StringIO):
    """Somewhere a person reads."""

    def isatty(self) -> bool:
        return True


def test_help_names_commands_variables_and_exit_codes(run: Runs) -> None:
    """What there is, without looking at the documentation."""
    shown = run("--help")
    assert shown.code == 0
    for word in (*COMMANDS, "COBO_TOKEN_STORE", "COBO_BASE_URL", "2 wrong usage", "130"):
        assert word in shown.out
    for command in COMMANDS:
        assert run(command, "--help").code == 0
    assert run("--version").out == f"httpx-cobo-auth {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("keys",),
        ("nonsense",),
        ("status", "--org", "x", "--all"),
        ("status", "--env", "live"),
        ("status", "--js"),
        ("serve", "--port", "65536"),
        ("serve", "--port", "-1"),
        ("serve", "--port", "http"),
        ("serve", "--token-lifetime", "0"),
    ],
)
def test_wrong_usage(run: Runs, argv: tuple[str, ...]) -> None:
    """Exit code 2, and how it is used, on standard error."""
    refused = run(*argv)
    assert (refused.code, refused.out) == (2, "")
    assert "usage: httpx-cobo-auth" in refused.err


def test_settings_that_are_missing(run: Runs) -> None:
    """Exit code 2, and which; nothing is logged beside it."""
    refused = run("status", "--store", "file:x")
    assert refused.code == 2
    assert refused.err.startswith("httpx-cobo-auth: set COBO_APP_CLIENT_ID and COBO_APP_SECRET")
    assert main(["status"]) == 2
    handlers = logging.getLogger("httpx_cobo_auth").handlers
    assert len([each for each in handlers if isinstance(each, logging.NullHandler)]) == 1


def test_an_interrupt(run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130, as shells have it, and no traceback."""
    del cobo

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("httpx_cobo_auth.CoboOAuth.status", interrupted)
    ran = run("status")
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_colours_are_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal only, and not where ``NO_COLOR`` is set to anything."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Screen(Terminal(), as_json=False).paint("ok", Colour.GREEN) == "\x1b[32mok\x1b[0m"
    assert Screen(io.StringIO(), as_json=False).paint("ok", Colour.GREEN) == "ok"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen(Terminal(), as_json=False).paint("ok", Colour.GREEN) == "ok"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "in 0 s"),
        (119, "in 119 s"),
        (120, "in 2 min"),
        (7199, "in 119 min"),
        (7200, "in 2 h 0 min"),
        (43199, "in 11 h 59 min"),
        (172800, "in 2 days"),
        (-60, "60 s ago"),
    ],
)
def test_times_are_in_utc_and_from_now(seconds: int, text: str) -> None:
    """Both, for the one is compared with logs, the other read."""
    assert time_text(86400.0, 86400.0 - seconds) == f"1970-01-02 00:00:00 UTC ({text})"


def test_a_port_that_is_taken(run: Runs) -> None:
    """It says so, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run("serve", "--port", str(port))
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith(f"httpx-cobo-auth: cannot serve on port {port}: ")
    assert "--port" in refused.err


def test_served_in_this_process(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """As text for a shell, and as JSON; an interrupt is the way to end it: exit code 0."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serve, "_wait", interrupted)
    shown, told = run("serve", "--port", "0"), run("serve", "--port", "0", "--json")
    assert (shown.code, told.code) == (0, 0)
    exported = re.findall(r"^export (\w+)=(\S+)$", shown.out, re.MULTILINE)
    assert [name for name, _ in exported] == list(told.data)


def test_served_to_a_program_of_its_own(tmp_path: Path) -> None:
    """The real thing: one process serves, others work with the variables that it printed."""
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*PROGRAM, "serve", "--port", "0", "--json", "--token-lifetime", "5400"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=here, cwd=tmp_path
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        try:
            variables = json.loads(server.stdout.readline())
            there = {**here, **variables, "COBO_TOKEN_STORE": f"file:{tmp_path}/tokens"}
            done: subprocess.CompletedProcess[str] | None = None
            for argv, told in (("check", "accepted"), ("status", "fresh"), ("renew", " 2\n")):
                done = subprocess.run(
                    [*PROGRAM, argv], capture_output=True, text=True, env=there, check=False
                )
                assert (done.returncode, done.stderr) == (0, "")
                assert told in done.stdout
                assert "\x1b" not in done.stdout
            assert done is not None
            assert re.search(r"\(in (89|90) min\)", done.stdout)
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 0
        assert not server.stderr.read()


def test_whoever_read_along_has_gone(cobo: CoboSimulator) -> None:
    """Exit code 1, and no complaint of Python's, neither at once nor at the end."""
    del cobo
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*PROGRAM, "status"], stdout=writing, stderr=subprocess.PIPE, env=here, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_command_is_the_module() -> None:
    """What an installation puts on the path calls the same ``main``."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, function = settings["project"]["scripts"]["httpx-cobo-auth"].partition(":")
    assert getattr(importlib.import_module(module), function) is main


def test_importing_the_program_does_not_run_it() -> None:
    """Tools walk all modules of a package."""
    assert importlib.import_module("httpx_cobo_auth.__main__").main is main


def test_no_extra_is_imported() -> None:
    """Neither httpx2, nor what stores need that are not used, nor pytest."""
    code = (
        "import sys, httpx_cobo_auth._cli.main\n"
        "unwanted = {'httpx2', 'keyring', 'redis', 'sqlalchemy', 'pytest', 'cryptography'}\n"
        "assert not unwanted & sys.modules.keys(), unwanted & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
