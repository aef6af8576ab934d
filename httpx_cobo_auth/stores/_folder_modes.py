"""Who may write to a folder of ours, and what a mount may have changed about that.

Where a pod has an ``fsGroup``, Kubernetes gives every file of a volume to that group, at each
mount: files get ``rw`` for the group, folders ``rwx`` and the set-group-ID bit. Owners stay. So
a folder that we made for ourselves is writable by others after the next start. Where nothing but
our own files is in it, the modes are put back; else the error says how to prevent the change.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from pathlib import Path

__all__ = ["UnsafeFolderError", "require_private"]

_OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_OUR_NAME = re.compile(r"(\.)?[A-Za-z0-9_-]+-[0-9a-f]{32}\.(lock|json)(?(1)\.[0-9a-f]{16}\.tmp)")
_PREVENT = (
    "a volume's fsGroup does that at each mount, unless the pod has "
    "fsGroupChangePolicy: OnRootMismatch"
)


class UnsafeFolderError(OSError):
    """Others could plant files in the folder, or replace it."""


def require_private(path: Path, status: os.stat_result) -> None:
    """Check that only its owner can write to a folder; put back what a mount has changed.

    Raises:
        OSError: others own it, or can write to it.

    """
    if status.st_uid != os.geteuid():
        message = "the folder belongs to another user; name one inside it"
        raise UnsafeFolderError(errno.EPERM, message, str(path))
    writable = status.st_mode & _OF_OTHERS
    if not writable:
        return
    if writable != stat.S_IWGRP or not status.st_mode & stat.S_ISGID:
        message = "others can write to the folder; chmod go-w, or name one inside it"
        raise UnsafeFolderError(errno.EPERM, message, str(path))
    if _foreign(path):
        message = (
            f"a group can write to the folder, and it holds files that are not ours; {_PREVENT}. "
            "Else chmod g-w, or name a folder inside it"
        )
        raise UnsafeFolderError(errno.EPERM, message, str(path))
    _put_right(path, status)


def _put_right(path: Path, status: os.stat_result) -> None:
    try:
        path.chmod(stat.S_IMODE(status.st_mode) & ~_OF_OTHERS)
        closed = not path.lstat().st_mode & _OF_OTHERS
    except OSError:
        closed = False
    if not closed:
        message = f"a group can write to the folder, and its mode cannot be changed; {_PREVENT}"
        raise UnsafeFolderError(errno.EPERM, message, str(path))
    with os.scandir(path) as entries:
        for entry in entries:
            _close(entry)


def _close(entry: os.DirEntry[str]) -> None:
    # A temporary file may be gone by now: another process of ours has put it in its place.
    with contextlib.suppress(FileNotFoundError):
        Path(entry.path).chmod(0o600)


def _foreign(path: Path) -> bool:
    """Whether there is anything but files that are ours by name and by owner."""
    with os.scandir(path) as entries:
        return not all(_is_ours(entry) for entry in entries)


def _is_ours(entry: os.DirEntry[str]) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return True  # See _close.
    return (
        _OUR_NAME.fullmatch(entry.name) is not None
        and stat.S_ISREG(status.st_mode)
        and status.st_uid == os.geteuid()
    )
