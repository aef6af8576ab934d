"""``keys generate``: a pair that fits, and a secret that nobody sees who did not ask to."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import Ed25519Signer

if TYPE_CHECKING:
    from tests.cli.conftest import Runs

HEX = re.compile(r"[0-9a-f]{64}")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in a folder of one's own, with a wide-open umask."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_into_a_file(run: Runs) -> None:
    """New, for its owner alone, 64 digits without a line break, and shown nowhere."""
    before = os.umask(0)
    try:
        ran = run("keys", "generate", "--out", "~/secret.txt")
    finally:
        os.umask(before)
    file = Path("secret.txt")
    secret = file.read_text(encoding="ascii")
    assert HEX.fullmatch(secret)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ran.code == 0
    assert secret not in ran.out + ran.err
    assert ran.out.startswith(
        f"public key  {Ed25519Signer(secret).public_key}\nsecret      in {file.absolute()}, for you"
    )
    told = run("keys", "generate", "--out", "other.txt", "--json")
    secret = Path("other.txt").read_text(encoding="ascii")
    assert told.data == {
        "public_key": Ed25519Signer(secret).public_key,
        "secret_file": "other.txt",
    }


def test_shown_on_request(run: Runs) -> None:
    """By a flag that says so; each time another pair; no file."""
    pairs = [run("keys", "generate", "--show-secret", "--json").data for _ in range(2)]
    for pair in pairs:
        assert Ed25519Signer(pair["secret"]).public_key == pair["public_key"]
    assert pairs[0] != pairs[1]
    ran = run("keys", "generate", "--show-secret")
    key, secret = HEX.findall(ran.out)
    assert Ed25519Signer(secret).public_key == key
    assert not list(Path().iterdir())


def test_nothing_is_overwritten(run: Runs) -> None:
    """Neither a file nor what a link leads to."""
    Path("secret.txt").write_text("the only copy", encoding="ascii")
    Path("link.txt").symlink_to("secret.txt")
    Path("dangling.txt").symlink_to("nowhere.txt")
    for name in ("secret.txt", "link.txt", "dangling.txt"):
        refused = run("keys", "generate", "--out", name)
        assert (refused.code, refused.out) == (1, "")
        assert refused.err == (
            f"httpx-cobo-auth: {name} exists, and a secret is never overwritten: name a new file\n"
        )
    assert Path("secret.txt").read_text(encoding="ascii") == "the only copy"
    assert not Path("nowhere.txt").exists()


def test_a_file_that_cannot_be_made(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, or a disk that fails: it says so, and leaves nothing behind."""
    refused = run("keys", "generate", "--out", "no/folder/secret.txt")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "httpx-cobo-auth: cannot write no/folder/secret.txt: No such file or directory\n"
    )

    def fails(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    refused = run("keys", "generate", "--out", "secret.txt")
    assert refused.err == "httpx-cobo-auth: cannot write secret.txt: No space left on device\n"
    assert not Path("secret.txt").exists()


@pytest.mark.parametrize("argv", [(), ("--out", "x", "--show-secret"), ("--out",)])
def test_one_of_the_two_is_chosen(run: Runs, argv: tuple[str, ...]) -> None:
    """Wrong usage otherwise, and no secret is made."""
    refused = run("keys", "generate", *argv)
    assert (refused.code, refused.out) == (2, "")
    assert "--show-secret" in refused.err
    assert not list(Path().iterdir())
