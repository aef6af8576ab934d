"""A folder of one's own: files that nobody else reads or writes, each replaced as a whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores._checks import Secret
from httpx_cobo_auth.stores._folder_modes import UnsafeFolderError, require_private

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import StoreKey

__all__ = ["Folder", "absolute", "name_for"]

_POSIX = os.name == "posix"
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
# What systems say whose folders cannot be flushed, as CIFS, 9p, VirtualBox and some of FUSE.
_NO_SUCH_THING = {errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_STALE_S = 3600.0

_swept: dict[Path, float] = {}


class Folder:
    """A folder that is made when first needed, and checked each time.

    It may be one that others can list, for the files have modes of their own; it must not be
    a symbolic link, belong to somebody else, or be writable by group or others. What a mount has
    changed about that is put back, see ``_folder_modes``.
    """

    def __init__(self, path: Path) -> None:
        """Name an absolute path; nothing is touched yet."""
        self.path = path

    def ensure(self) -> None:
        """Make it, with mode 0700, if it is not there; check it.

        Raises:
            OSError: it cannot be made, or is unsafe.

        """
        if not self.check():
            _make(self.path)
            self.check()

    def check(self) -> bool:
        """Return whether it is there.

        Raises:
            OSError: it is, and unsafe.

        """
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(status.st_mode):
            message = "a folder is needed, and no link to one"
            raise UnsafeFolderError(errno.ENOTDIR, message, str(self.path))
        if _POSIX:  # pragma: no branch
            require_private(self.path, status)
        return True

    def read(self, name: str, limit: int) -> Secret | str | None:
        """Return a file's content, what is wrong with it, or ``None`` where there is none.

        Raises:
            OSError: it cannot be read, or the folder is unsafe.

        """
        if not self.check():
            return None
        try:
            file = os.open(self.path / name, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.EMLINK}:
                return "it is a symbolic link"
            raise
        with os.fdopen(file, "rb") as stream:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                return "it is not a regular file"
            if _POSIX and status.st_uid != os.geteuid():
                return "it belongs to another user"
            content = Secret(stream.read(limit + 1))
        return content if len(content.data) <= limit else "it is too long"

    def names(self, suffix: str) -> list[str]:
        """Return the names of files that end so, temporary ones left out.

        Raises:
            OSError: the folder cannot be listed, or is unsafe.

        """
        if not self.check():
            return []
        names = [path.name for path in self.path.iterdir()]
        return sorted(name for name in names if name.endswith(suffix) and not name.startswith("."))

    def replace(self, name: str, content: Secret) -> None:
        """Replace a file as a whole, durably, or leave it as it is.

        Raises:
            OSError: it is not known to have been replaced.

        """
        self.ensure()
        self._sweep()
        temporary = self.path / f".{name}.{secrets.token_hex(8)}.tmp"
        try:
            _write(temporary, content)
            temporary.replace(self.path / name)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync(self.path)

    def _sweep(self) -> None:
        """Delete, now and then, what writers that died have left behind."""
        now = time.monotonic()
        if now - _swept.get(self.path, -_STALE_S) < _STALE_S:
            return
        _swept[self.path] = now
        oldest = time.time() - _STALE_S
        for left in self.path.glob(".*.tmp"):
            with contextlib.suppress(OSError):  # somebody else sweeps, too
                if left.lstat().st_mtime < oldest:
                    left.unlink()


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path, ``~`` expanded, without looking at the file system.

    Raises:
        ConfigurationError: it begins with ``~``, and there is no home directory.

    """
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:
        message = f"cannot expand {str(path)!r}: this user has no home directory; name a folder"
        raise ConfigurationError(message) from None
    if not expanded.is_absolute():
        expanded = Path.cwd() / expanded
    return Path(os.path.normpath(expanded))


def name_for(key: StoreKey, *others: str) -> str:
    """Return a file name: readable to begin with, then unlike any other key's.

    It cannot escape the folder, whatever is in the key.
    """
    whose = json.dumps([key.base_url, key.client_id, key.org_id, *others])
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", key.org_id)[:40].strip("-")
    return f"{readable or 'org'}-{hashlib.sha256(whose.encode()).hexdigest()[:32]}"


def _make(path: Path) -> None:
    """Make a folder and those above it, each for its owner alone."""
    if not path.parent.exists():
        _make(path.parent)
    with contextlib.suppress(FileExistsError):  # somebody else makes it, too
        path.mkdir(0o700)
        _sync(path.parent)


def _write(path: Path, content: Secret) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(content.data)
        stream.flush()
        os.fsync(file)


def _sync(path: Path) -> None:
    """Have what happened to the names in a folder survive a power cut, where that can be had."""
    if _POSIX:  # pragma: no branch - elsewhere folders cannot be opened
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        except OSError as error:
            # The files themselves are flushed; a failing disk is another matter.
            if error.errno not in _NO_SUCH_THING:
                raise
        finally:
            os.close(folder)
