"""``keys generate``: a key pair, whose secret nobody sees who did not ask to."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from httpx_cobo_auth import CoboAuthError, Ed25519Signer

if TYPE_CHECKING:
    import argparse

    from httpx_cobo_auth._cli.screen import Screen

__all__ = ["KeyFileError", "generate"]

_SEED_BYTES = 32


class KeyFileError(CoboAuthError):
    """The file for the secret cannot be made."""


def generate(arguments: argparse.Namespace, screen: Screen) -> int:
    """Make an Ed25519 key pair; show the public key, and put the secret where it was asked for."""
    secret = secrets.token_hex(_SEED_BYTES)
    public_key = Ed25519Signer(secret).public_key
    if arguments.show_secret:
        screen.data({"public_key": public_key, "secret": secret})
        screen.fields({"public key": public_key, "secret": secret})
        return 0
    path = Path(arguments.out).expanduser()
    _write(path, secret)
    screen.data({"public_key": public_key, "secret_file": str(path)})
    screen.fields({"public key": public_key, "secret": f"in {path}, for you alone"})
    screen.text()
    screen.text("Give Cobo the public key. Nobody needs the secret but the programs that sign.")
    return 0


def _write(path: Path, secret: str) -> None:
    # Without a line break, which would be taken for a part of it.
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(file, "w", encoding="ascii") as stream:
                stream.write(secret)
                stream.flush()
                os.fsync(file)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
    except FileExistsError:
        message = f"{path} exists, and a secret is never overwritten: name a new file"
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
    else:
        return
    raise KeyFileError(message)
