"""The right to renew as a lock on a file, for all processes of one host.

The operating system frees it the moment its owner dies, and only then: it never lapses. A
fresh lock object for each try, because one that is shared lets everybody in who shares it;
never waiting, because the waiting is done elsewhere; and no ``SoftFileLock`` instead, where
the file system has no locks, because it would survive its owner. A forked child closes its
copy without unlocking: the parent goes on holding it, and takes it along when it dies.
The lock file stays: deleting it would let two in, on two files of one name.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import filelock

__all__ = ["FileHold", "prepare_file_locks", "try_file_lock"]


class FileHold:
    """A held file lock, as a ``StoreLock``."""

    def __init__(self, lock: filelock.BaseFileLock) -> None:
        """Hold a lock that was acquired."""
        self._lock = lock

    def remaining(self) -> float:
        """Seconds: ``inf`` while it is held; 0.0 once released, and in a forked child."""
        return math.inf if self._lock.is_locked else 0.0

    def release(self) -> None:
        """Unlock; idempotent, from any thread."""
        with contextlib.suppress(OSError):  # it is unlocked when it is garbage, at the latest
            self._lock.release(force=True)


def prepare_file_locks() -> None:
    """Import what locking needs, for the constructors of stores.

    Not with this package, because it takes longer than the rest of it; and not with the first
    lock either: a child that is forked while another thread imports something waits for ever
    to import the same.
    """
    importlib.import_module("filelock")


def try_file_lock(path: Path) -> FileHold | None:
    """Take the lock at ``path``, in a folder that exists, if nobody has it.

    Raises:
        OSError: there is no lock to be had there.

    """
    import filelock  # noqa: PLC0415 - see above

    lock = filelock.FileLock(path, thread_local=False, mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:  # an OSError as well
        return None
    return FileHold(lock)
