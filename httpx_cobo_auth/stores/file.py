"""Tokens in files: for all processes of one host, and for the next run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from httpx_cobo_auth.errors import StoreCorruptError, StoreUnavailableError
from httpx_cobo_auth.stores._checks import Secret, Trouble, attempt, require_version
from httpx_cobo_auth.stores._file_locks import FileHold, prepare_file_locks, try_file_lock
from httpx_cobo_auth.stores._folder import Folder, absolute, name_for
from httpx_cobo_auth.stores._records_json import MAX_BYTES
from httpx_cobo_auth.stores._sealing import Codec

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version

__all__ = ["FileStore"]


class FileStore:
    """Keeps each organization's token in a file of its own, in a folder on a local disk.

    The folder is made with mode 0700, the files with 0600. A folder that exists already may
    be listed by others, but is refused where they could write to it, where it belongs to
    somebody else, or is a symbolic link: its permissions are yours to change, not ours. Only
    what a volume's ``fsGroup`` changes at each mount of a pod is put back, where nothing but
    files of this package is in the folder (``fsGroupChangePolicy: OnRootMismatch`` prevents the
    change). A file is replaced as a whole and flushed to the disk; a crash at any moment leaves
    the old one or the new one. A file that cannot be understood (damaged, of a newer version,
    encrypted by another key) is an error, and is kept.

    Renewals are excluded by locks of the operating system, on files that stay. On network
    file systems such locks, and what counts as flushed, are not to be relied on: there, and
    for several hosts, take a ``RedisStore``.

    A store can be pickled and handed to other processes; with an ``encryption_key`` the pickle
    holds that key.

    Example:
        >>> store = FileStore("~/.local/state/my-app/cobo-tokens")

    Args:
        path: of the folder; ``~`` is expanded. Name one that holds nothing else.
        encryption_key: 32 random bytes, or 64 hex digits, to encrypt the files by. Give it
            from the beginning: a store with a key does not read files written without one,
            nor the other way round. A key that is lost costs nothing but one exchange:
            delete the files.

    Raises:
        ConfigurationError: the key is neither.

    """

    shared = True
    blocking = True

    def __init__(
        self, path: str | os.PathLike[str], *, encryption_key: bytes | str | None = None
    ) -> None:
        """Touch nothing yet."""
        prepare_file_locks()
        self._folder = Folder(absolute(path))
        self._codec = Codec(None)
        try:
            self._codec = Codec(encryption_key)
        finally:
            del encryption_key  # A traceback with locals must not show it.

    @property
    def identity(self) -> Hashable:
        """Which objects are the same store: those of one path."""
        return "file", self._folder.path

    def __repr__(self) -> str:
        """Show where it is, and nothing of what is in it."""
        encrypted = ", encrypted" if self._codec.seals else ""
        return f"<FileStore {str(self._folder.path)!r}{encrypted}>"

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: the path and, where there is one, the encryption key."""
        return {**self.__dict__, "_codec": self._codec.key}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be the same store, in whatever process."""
        prepare_file_locks()
        try:
            self.__dict__.update(state, _codec=Codec(state["_codec"]))
        finally:
            del state  # A traceback with locals must not show the key.

    def keys(self) -> list[StoreKey]:
        """Return whose records there are. Files that cannot be understood are left out.

        Raises:
            StoreUnavailableError: the folder cannot be read, or is not safe.

        """
        found = attempt(self._keys, OSError)
        if isinstance(found, Trouble):
            message = f"cannot read the token store: {found.text}"
            raise StoreUnavailableError(message)
        return found

    def load(self, key: StoreKey) -> Record | None:
        """Read the record, if there is one.

        Raises:
            StoreCorruptError: the file cannot be understood. It is kept.
            StoreUnavailableError: the file cannot be read, or the folder is not safe.

        """
        found = attempt(lambda: self._read(key), OSError)
        if isinstance(found, Trouble):
            message = f"cannot read the token store: {found.text}"
            raise StoreUnavailableError(message)
        if isinstance(found, str):
            place = self._folder.path / _record_name(key)
            message = f"cannot use {place}: {found}. It was left as it is"
            raise StoreCorruptError(message)
        return found

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Replace the record of that version. The caller holds the lock.

        Raises:
            StoreConflictError: the stored version is another.
            StoreCorruptError: what is stored cannot be understood. It is kept.
            StoreUnavailableError: nothing is known to have been saved.

        """
        require_version(self.load(key), record, expected)
        done = attempt(
            lambda: self._folder.replace(_record_name(key), self._codec.encode(key, record)),
            OSError,
        )
        if isinstance(done, Trouble):
            message = f"cannot write to the token store: {done.text}"
            raise StoreUnavailableError(message)

    def try_lock(self, key: StoreKey, *, ttl: float) -> FileHold | None:
        """Take the right to renew if nobody has it.

        ``ttl`` does not matter: the operating system knows when an owner dies.

        Raises:
            StoreUnavailableError: the lock file cannot be opened, or locked.

        """
        del ttl
        hold = attempt(lambda: self._try_lock(key), OSError)
        if isinstance(hold, Trouble):
            message = f"cannot lock the token store: {hold.text}"
            raise StoreUnavailableError(message)
        return hold

    def _read(self, key: StoreKey) -> Record | str | None:
        content = self._folder.read(_record_name(key), MAX_BYTES)
        if content is None or isinstance(content, str):
            return content
        return self._codec.decode(key, content)

    def _keys(self) -> list[StoreKey]:
        keys: list[StoreKey] = []
        for name in self._folder.names(".json"):
            content = self._folder.read(name, MAX_BYTES)
            key = self._codec.key_of(content) if isinstance(content, Secret) else None
            # One that was moved to another's place is not a record of that one's.
            if key is not None and name == _record_name(key):
                keys.append(key)
        return keys

    def _try_lock(self, key: StoreKey) -> FileHold | None:
        self._folder.ensure()
        return try_file_lock(self._folder.path / f"{name_for(key)}.lock")


def _record_name(key: StoreKey) -> str:
    return f"{name_for(key)}.json"
