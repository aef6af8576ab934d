"""The page about the command line: its screens are those of the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import httpx_cobo_auth
from httpx_cobo_auth._cli import serve

if TYPE_CHECKING:
    import pytest

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.cli.conftest import Runs

PAGE = Path(httpx_cobo_auth.__path__[0]).parent / "docs" / "command-line.md"
SCREEN = re.compile(r"^```console\n\$ (?P<command>.*)\n(?P<shown>(?:.*\n)*?)```$", re.MULTILINE)
UNSTABLE = {
    r"127\.0\.0\.1:\d+": "127.0.0.1:PORT",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC": "TIME",
    r"in \d+ h \d+ min": "AWAY",
    r"(public key  |RESPONSE_KEY=)[0-9a-f]{64}": r"\1KEY",
    r"FileStore '[^']*/cobo-tokens'": "FileStore 'PATH'",
}


def stable(text: str) -> str:
    """Return the text with names in place of what differs from run to run."""
    for pattern, name in UNSTABLE.items():
        text = re.sub(pattern, name, text)
    return text


def test_the_screens_are_those_of_the_program(
    run: Runs, cobo: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Command by command, from the top of the page to its end."""
    del cobo

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serve, "_wait", interrupted)
    screens = SCREEN.findall(PAGE.read_text(encoding="utf-8"))
    assert len(screens) > 8
    for command, shown in screens:
        words = shlex.split(command)
        program = words.index("httpx-cobo-auth")
        with monkeypatch.context() as changed:
            for word in words[:program]:
                name, is_set, value = word.partition("=")
                if is_set:
                    changed.setenv(name, value)
            if "-u" in words[:program]:
                changed.delenv(words[words.index("-u") + 1])
            ran = run(*words[program + 1 :], *(("--port", "0") if "serve" in words else ()))
        assert not ran.err
        assert stable(ran.out) == stable(shown), command


def test_every_exit_code_is_documented() -> None:
    """Those of the program's own description, and no others."""
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == ["0", "1", "2", "130"]
