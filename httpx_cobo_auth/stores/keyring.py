"""Tokens in the operating system's keyring: for programs of one user on a desktop."""

from __future__ import annotations

import importlib
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from httpx_cobo_auth.errors import (
    ConfigurationError,
    StoreCorruptError,
    StoreUnavailableError,
)
from httpx_cobo_auth.stores._checks import Secret, Trouble, attempt, require_version
from httpx_cobo_auth.stores._file_locks import FileHold, prepare_file_locks, try_file_lock
from httpx_cobo_auth.stores._folder import Folder, absolute, name_for
from httpx_cobo_auth.stores._records_json import decode, encode
from httpx_cobo_auth.stores._worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from keyring.backend import KeyringBackend

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version

__all__ = ["KeyringHold", "KeyringStore"]

# CRED_MAX_CREDENTIAL_BLOB_SIZE; the text is kept in UTF-16.
_WINDOWS_LIMIT_BYTES = 2560


class KeyringStore:
    """Keeps tokens in the keyring of the user that is logged in, by way of ``keyring``.

    For desktop programs and command lines. On servers without a session there is no keyring:
    take a ``FileStore`` with an ``encryption_key``. A keyring has no locks, so the right to
    renew is a lock on a file, for all processes of the same user on this host.

    Backends that drop or refuse everything (``null``, ``fail``, a chain of none) are an
    error, and so is one that does not give back what was saved. The Windows Credential
    Manager keeps 2560 bytes for each entry: a record takes some 1600, more where IDs are
    long. Where the keyring asks its user for a password, calls fail until it was typed.

    Example:
        >>> store = KeyringStore("my-app")

    Args:
        service: the name under which entries are found in the keyring.
        lock_dir: the folder of the lock files, with the rules of ``FileStore``; by default
            one in the user's state directory, ``$XDG_STATE_HOME`` or ``~/.local/state``.
        backend: a backend of ``keyring``; by default the one that it chooses.
        timeout: seconds after which a call that has no answer is an error.

    Raises:
        ConfigurationError: ``keyring`` is not installed.

    """

    shared = True
    blocking = True

    def __init__(
        self,
        service: str = "httpx-cobo-auth",
        *,
        lock_dir: str | os.PathLike[str] | None = None,
        backend: KeyringBackend | None = None,
        timeout: float = 10.0,
    ) -> None:
        """Touch nothing yet."""
        try:
            import keyring  # noqa: PLC0415 - an extra
        except ImportError:
            message = "KeyringStore needs keyring: pip install 'httpx-cobo-auth[keyring]'"
            raise ConfigurationError(message) from None
        # Not later: see prepare_file_locks.
        for name in ("chainer", "fail", "null"):
            importlib.import_module(f"keyring.backends.{name}")
        prepare_file_locks()
        self._choose: Callable[[], KeyringBackend] = (
            keyring.get_keyring if backend is None else lambda: backend
        )
        self._given = backend
        self._service = service
        self._folder = Folder(absolute(lock_dir or _state_folder() / "httpx-cobo-auth"))
        self._timeout = timeout
        self._worker = Worker(timeout)

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        """Be the same store in whatever process: same service, folder and time limit."""
        if self._given is not None:
            message = (
                f"a {type(self).__name__} with a backend of your own cannot be pickled or copied, "
                "because that may hold a password; make one in each process"
            )
            raise TypeError(message)
        folder, timeout = self._folder.path, self._timeout
        return partial(type(self), self._service, lock_dir=folder, timeout=timeout), ()

    @property
    def identity(self) -> Hashable:
        """Which objects are the same store: same service, backend and lock folder."""
        return "keyring", self._service, id(self._given), self._folder.path

    def __repr__(self) -> str:
        """Show the service, and nothing of what is kept for it."""
        return f"<KeyringStore {self._service!r}>"

    def load(self, key: StoreKey) -> Record | None:
        """Read the record, if there is one.

        Raises:
            StoreCorruptError: the entry cannot be understood. It is kept.
            StoreUnavailableError: the keyring does not answer, or cannot be used.

        """
        found = self._call(lambda: self._read(key))
        if isinstance(found, str):
            message = (
                f"cannot use the entry {name_for(key)} of {self._service} in the keyring: "
                f"{found}. It was left as it is"
            )
            raise StoreCorruptError(message)
        return cast("Record | None", found)

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Replace the record of that version. The caller holds the lock.

        Raises:
            StoreConflictError: the stored version is another.
            StoreCorruptError: what is stored cannot be understood. It is kept.
            StoreUnavailableError: nothing is known to have been saved.

        """
        require_version(self.load(key), record, expected)
        self._call(lambda: self._replace(key, record))

    def try_lock(self, key: StoreKey, *, ttl: float) -> KeyringHold | None:
        """Take the right to renew if nobody has it.

        ``ttl`` does not matter: the operating system knows when an owner dies.

        Raises:
            StoreUnavailableError: the lock file cannot be opened, or locked.

        """
        del ttl
        hold = attempt(lambda: self._try_lock(key), OSError)
        if isinstance(hold, Trouble):
            message = f"cannot lock beside the keyring: {hold.text}"
            raise StoreUnavailableError(message)
        return KeyringHold(hold, self._worker) if hold is not None else None

    def _call(self, method: Callable[[], object]) -> object:
        result = self._worker.call(method)
        if isinstance(result, Trouble):
            # What is said in words of ours needs no exception's name before it.
            reason = result.text.removeprefix(f"{_UnusableError.__name__}: ")
            message = f"the keyring cannot be used: {reason}"
            raise StoreUnavailableError(message)
        return result

    def _try_lock(self, key: StoreKey) -> FileHold | None:
        self._folder.ensure()
        return try_file_lock(self._folder.path / f"{name_for(key, self._service)}.lock")

    def _read(self, key: StoreKey) -> Record | str | None:
        text: Any = self._backend().get_password(self._service, name_for(key))
        if text is None:
            return None
        # Not everybody's backend keeps to the types.
        return decode(key, Secret(text.encode())) if isinstance(text, str) else "it is not text"

    def _replace(self, key: StoreKey, record: Record) -> None:
        # Its methods are wrapped in a way that loses their types.
        backend: Any = self._backend()
        name = name_for(key)
        text = encode(key, record).data.decode()
        size = len(text.encode("utf-16-le"))
        if type(backend).__module__ == "keyring.backends.Windows" and size > _WINDOWS_LIMIT_BYTES:
            message = (
                f"the record takes {size} bytes, and the Windows Credential Manager keeps no "
                f"more than {_WINDOWS_LIMIT_BYTES}; take a FileStore with an encryption_key"
            )
            raise _UnusableError(message)
        # What it says could repeat the password; what it is called does not.
        refusal: object = attempt(
            lambda: backend.set_password(self._service, name, text), Exception, detailed=False
        )
        if isinstance(refusal, Trouble):
            message = f"it did not take the record ({refusal.text})"
            raise _UnusableError(message)
        if backend.get_password(self._service, name) != text:
            message = f"{_name(backend)} does not give back what was saved"
            raise _UnusableError(message)

    def _backend(self) -> KeyringBackend:
        from keyring.backends import chainer, fail, null  # noqa: PLC0415 - an extra

        backend = self._choose()
        empty = isinstance(backend, chainer.ChainerBackend) and not cast("Any", backend).backends
        if empty or isinstance(backend, (fail.Keyring, null.Keyring)):
            message = (
                f"{_name(backend)} keeps nothing: there is no keyring here. Take a FileStore with "
                "an encryption_key"
            )
            raise _UnusableError(message)
        return backend


class KeyringHold:
    """A lock beside the keyring, as a ``StoreLock``."""

    def __init__(self, hold: FileHold, worker: Worker) -> None:
        """Hold a lock on a file."""
        self._hold = hold
        self._worker = worker

    def remaining(self) -> float:
        """Seconds: ``inf`` while it is held; 0.0 once released, and in a forked child."""
        return self._hold.remaining()

    def release(self) -> None:
        """Unlock, but not before a call that is late has ended: it may still save."""
        self._worker.afterwards(self._hold.release)


class _UnusableError(Exception):
    """Why the keyring cannot be used; it does not leave the worker."""

    def __str__(self) -> str:
        return str(self.args[0])


def _name(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__name__}"


def _state_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state")
