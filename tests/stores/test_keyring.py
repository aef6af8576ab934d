"""``KeyringStore``: backends that keep nothing, hang, or say too much."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.errors import KeyringLocked

from httpx_cobo_auth import (
    ConfigurationError,
    KeyringStore,
    StoreConflictError,
    StoreCorruptError,
    StoreUnavailableError,
)
from httpx_cobo_auth._protocol.records import Record
from tests.family import CoboOAuth
from tests.held import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.records import StoreKey
    from httpx_cobo_auth.testing import CoboSimulator
    from tests.stores.conftest import MakesRecords, RunsPython

NONE = (0, None)


class Backend(KeyringBackend):
    """A keyring in memory, that fails as it is told."""

    priority = 0  # pyright: ignore[reportAssignmentType]  # so that keyring never chooses it

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], Any] = {}
        self.hang: threading.Event | None = None
        self.error: Exception | None = None
        self.tells = False

    def trouble(self) -> None:
        if self.hang is not None:
            self.hang.wait(20)
        if self.error is not None:
            raise self.error

    def get_password(self, service: str, username: str) -> str | None:
        self.trouble()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.trouble()
        if self.tells:
            raise RuntimeError(password)
        self.entries[service, username] = password


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def make_store(tmp_path: Path, backend: Backend) -> Callable[..., KeyringStore]:
    def make(backend: KeyringBackend = backend, timeout: float = 5.0) -> KeyringStore:
        return KeyringStore("test", lock_dir=tmp_path / "locks", backend=backend, timeout=timeout)

    return make


@pytest.fixture
def store(make_store: Callable[..., KeyringStore]) -> KeyringStore:
    return make_store()


def test_a_record_is_kept_under_the_service(
    store: KeyringStore, backend: Backend, key: StoreKey, make_record: MakesRecords
) -> None:
    """One entry, by service and organization; an unexpected or lower version replaces none."""
    assert store.load(key) is None
    store.save(key, make_record(1), expected=NONE)
    assert store.load(key) == make_record(1)
    [(service, name)] = backend.entries
    assert service == "test"
    assert name.startswith(key.org_id)
    with pytest.raises(StoreConflictError):
        store.save(key, make_record(2), expected=NONE)
    with pytest.raises(StoreConflictError):
        store.save(key, make_record(0), expected=(1, None))


# --------------------------------------------------------------- backends that keep nothing
class EmptyChain(chainer.ChainerBackend):
    backends = ()  # pyright: ignore[reportAssignmentType]


class Drops(Backend):
    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class Truncates(Backend):
    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password[:100]


@pytest.mark.hazard(36)
@pytest.mark.parametrize(
    ("bad", "about"),
    [
        (null.Keyring, "null.Keyring keeps nothing"),
        (fail.Keyring, "fail.Keyring keeps nothing"),
        (EmptyChain, "EmptyChain keeps nothing"),
        (Drops, "Drops does not give back what was saved"),
        (Truncates, "Truncates does not give back what was saved"),
    ],
)
def test_a_backend_that_keeps_nothing_is_refused(
    make_store: Callable[..., KeyringStore],
    bad: Callable[[], KeyringBackend],
    about: str,
    key: StoreKey,
    make_record: MakesRecords,
) -> None:
    """Silence would cost the refresh token with every restart."""
    store = make_store(bad())
    with pytest.raises(StoreUnavailableError, match=about) as caught:
        store.save(key, make_record(), expected=NONE)
    assert "5ec2e7" not in str(caught.value)
    assert "_UnusableError" not in str(caught.value)


def test_a_chain_of_some_is_used(
    make_store: Callable[..., KeyringStore],
    backend: Backend,
    key: StoreKey,
    make_record: MakesRecords,
) -> None:
    """keyring's chain of backends is none of those refused, where one of them works."""

    class Chain(chainer.ChainerBackend):
        backends = (backend,)  # pyright: ignore[reportAssignmentType]

    store = make_store(Chain())  # type: ignore[no-untyped-call]
    store.save(key, make_record(), expected=NONE)
    assert store.load(key) == make_record()


def test_the_backend_that_keyring_chooses_is_asked_each_time(
    tmp_path: Path, key: StoreKey, make_record: MakesRecords, backend: Backend
) -> None:
    """A keyring may come up later than the program."""
    store = KeyringStore("test", lock_dir=tmp_path / "locks")
    before = keyring.get_keyring()
    try:
        keyring.set_keyring(null.Keyring())  # type: ignore[no-untyped-call]
        with pytest.raises(StoreUnavailableError, match="keeps nothing"):
            store.load(key)
        keyring.set_keyring(backend)
        store.save(key, make_record(), expected=NONE)
        assert store.load(key) == make_record()
    finally:
        keyring.set_keyring(before)


@pytest.mark.hazard(36)
def test_what_windows_cannot_keep_is_an_error_that_names_the_limit(
    make_store: Callable[..., KeyringStore],
    key: StoreKey,
    make_record: MakesRecords,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The usual record fits."""
    monkeypatch.setattr(Backend, "__module__", "keyring.backends.Windows")
    store = make_store()
    store.save(key, make_record(1), expected=NONE)
    token = make_record(2).token
    assert token
    [text] = backend.entries.values()
    longer = Record(2, dataclasses.replace(token, scope="x" * 2560))
    with pytest.raises(StoreUnavailableError, match="no more than 2560"):
        store.save(key, longer, expected=(1, None))
    assert [text] == list(backend.entries.values())


# --------------------------------------------------------------------------- trouble
def test_every_failure_of_a_backend_is_a_typed_error(
    store: KeyringStore, backend: Backend, key: StoreKey, make_record: MakesRecords
) -> None:
    """Backends raise what they like, and may repeat what they were given."""
    store.save(key, make_record(1), expected=NONE)
    for error in (RuntimeError("no bus"), KeyringLocked("locked"), OSError(5, "io")):
        backend.error = error
        with pytest.raises(StoreUnavailableError, match=type(error).__name__):
            store.load(key)
    backend.error = None
    found = backend.entries.copy()
    backend.tells = True
    with pytest.raises(StoreUnavailableError, match="RuntimeError") as caught:
        store.save(key, make_record(2), expected=(1, None))
    assert "5ec2e7" not in str(caught.value)
    assert caught.value.__context__ is None
    assert backend.entries == found


@pytest.mark.parametrize("damage", ["", "{", b"\xff5ec2e7", 7], ids=repr)
def test_what_cannot_be_understood_is_kept(
    store: KeyringStore, backend: Backend, key: StoreKey, make_record: MakesRecords, damage: object
) -> None:
    """A damaged entry is a typed error that shows none of it, and saving does not overwrite it."""
    store.save(key, make_record(), expected=NONE)
    [place] = backend.entries
    backend.entries[place] = damage
    with pytest.raises(StoreCorruptError, match="left as it is") as caught:
        store.load(key)
    assert "5ec2e7" not in str(caught.value)
    with pytest.raises(StoreCorruptError):
        store.save(key, make_record(), expected=NONE)
    assert backend.entries[place] == damage


@pytest.mark.hazard(36)
def test_a_backend_that_hangs_is_an_error_in_time(
    make_store: Callable[..., KeyringStore],
    backend: Backend,
    key: StoreKey,
    make_record: MakesRecords,
) -> None:
    """For everybody, until it goes on; a prompt that nobody answers is the usual case."""
    store = make_store(timeout=0.1)
    backend.hang = threading.Event()
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="no answer within"):
        store.load(key)
    with pytest.raises(StoreUnavailableError, match="an earlier call still hangs"):
        store.save(key, make_record(), expected=NONE)
    assert time.monotonic() - begun < 2
    backend.hang.set()
    deadline = time.monotonic() + 5
    while True:
        try:
            store.save(key, make_record(), expected=NONE)
        except StoreUnavailableError:
            assert time.monotonic() < deadline
        else:
            break


def test_the_lock_is_not_released_before_a_late_save_has_ended(
    make_store: Callable[..., KeyringStore],
    backend: Backend,
    key: StoreKey,
    make_record: MakesRecords,
) -> None:
    """It may still overwrite what the next one saves."""
    store = make_store(timeout=0.1)
    hold = store.try_lock(key, ttl=60)
    assert hold
    backend.hang = threading.Event()
    with pytest.raises(StoreUnavailableError):
        store.load(key)
    hold.release()
    assert make_store(timeout=0.1).try_lock(key, ttl=60) is None
    backend.hang.set()
    deadline = time.monotonic() + 5
    again = None
    while again is None:
        assert time.monotonic() < deadline
        again = make_store(timeout=0.1).try_lock(key, ttl=60)
    until(lambda: hold.remaining() == 0.0)  # It notes that it is free right after it is.
    again.release()
    del make_record


@pytest.mark.hazard(84)
def test_no_more_threads_is_a_typed_error(
    store: KeyringStore, key: StoreKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker thread cannot start: the store says so, and works once threads are to be had."""

    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(StoreUnavailableError, match="can't start new thread"):
        store.load(key)
    monkeypatch.undo()
    assert store.load(key) is None


def test_a_forked_child_begins_anew(run_python: RunsPython) -> None:
    """The thread of a call that hangs is its parent's."""
    program = """
import os, threading
from httpx_cobo_auth.stores._checks import Trouble
from httpx_cobo_auth.stores._worker import Worker

worker = Worker(0.05)
assert isinstance(worker.call(threading.Event().wait), Trouble)
assert isinstance(worker.call(int), Trouble)
child = os.fork()
if child == 0:
    os._exit(0 if worker.call(int) == 0 else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    run_python(program)


def test_a_fork_waits_for_a_call_under_way(run_python: RunsPython) -> None:
    """The first one imports backends; a child of that moment could never import them.

    A call that forks itself is not waited for.
    """
    program = """
import os, threading, time
from httpx_cobo_auth.stores._worker import Worker

begun, ended = threading.Event(), []

def slow():
    begun.set()
    time.sleep(0.3)
    ended.append(1)

def fork():
    child = os.fork()
    if child == 0:
        os._exit(len(ended))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

worker = Worker(10)
threading.Thread(target=worker.call, args=(slow,)).start()
begun.wait()
assert fork() == 1
start = time.monotonic()
assert worker.call(fork) == 1
assert time.monotonic() - start < 4
"""
    run_python(program)


@pytest.mark.anyio
async def test_no_event_loop_waits_for_the_keyring(
    make_store: Callable[..., KeyringStore], backend: Backend, simulator: CoboSimulator
) -> None:
    """The loop goes on meanwhile; the fixture of every test would notice if it did not."""
    backend.hang = threading.Event()
    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        store=make_store(),
    )
    statuses: list[int] = []
    async with auth.async_client(transport=simulator) as client, anyio.create_task_group() as tg:

        async def ask() -> None:
            statuses.append((await client.get("/wallets")).status_code)

        tg.start_soon(ask)
        for _ in range(20):
            await anyio.sleep(0.001)
        assert not statuses
        backend.hang.set()
    assert statuses == [200]


# --------------------------------------------------------------------------- the lock beside it
def test_the_lock_excludes_those_of_the_same_service(
    store: KeyringStore, key: StoreKey, tmp_path: Path
) -> None:
    """Another service's lock for the same key is free; releasing twice does no harm."""
    hold = store.try_lock(key, ttl=60)
    assert hold
    assert store.try_lock(key, ttl=60) is None
    other = KeyringStore("other", lock_dir=tmp_path / "locks").try_lock(key, ttl=60)
    assert other
    other.release()
    hold.release()
    hold.release()


def test_locks_are_in_the_users_state_folder(
    tmp_path: Path, key: StoreKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``$XDG_STATE_HOME``, or ``~/.local/state``."""
    for variable, value, place in (
        ("XDG_STATE_HOME", tmp_path / "state", tmp_path / "state" / "httpx-cobo-auth"),
        ("HOME", tmp_path, tmp_path / ".local" / "state" / "httpx-cobo-auth"),
    ):
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        monkeypatch.setenv(variable, str(value))
        hold = KeyringStore().try_lock(key, ttl=60)
        assert hold
        hold.release()
        assert len(list(place.glob("*.lock"))) == 1


def test_a_place_without_locks_is_a_typed_error(tmp_path: Path, key: StoreKey) -> None:
    """A file in place of the locks' folder: the error names the lock, not the keyring."""
    (tmp_path / "locks").touch()
    with pytest.raises(StoreUnavailableError, match="cannot lock beside the keyring"):
        KeyringStore(lock_dir=tmp_path / "locks").try_lock(key, ttl=60)


def test_objects_of_one_service_are_one_store(tmp_path: Path, backend: Backend) -> None:
    """Same service, same gate; another service, folder of locks or backend is another store."""
    assert KeyringStore("a").identity == KeyringStore("a").identity
    different = {
        KeyringStore("a").identity,
        KeyringStore("b").identity,
        KeyringStore("a", lock_dir=tmp_path).identity,
        KeyringStore("a", backend=backend).identity,
    }
    assert len(different) == 4
    assert repr(KeyringStore("a")) == "<KeyringStore 'a'>"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The typed error has pip's argument in it."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match=r"httpx-cobo-auth\[keyring\]"):
        KeyringStore()


# --------------------------------------------------------------------------- a real one
@pytest.mark.hazard(36)
@pytest.mark.usefixtures("secret_service")
def test_a_secret_service_keeps_it_encrypted_and_for_the_next_process(
    key: StoreKey,
    make_record: MakesRecords,
    tmp_path: Path,
    secret_service_bus: dict[str, str],
) -> None:
    """A real one: another store object reads the record; no keyring file has a clear token."""
    store = KeyringStore("test", lock_dir=tmp_path)
    store.save(key, make_record(1), expected=NONE)
    assert KeyringStore("test", lock_dir=tmp_path).load(key) == make_record(1)
    kept = [path.read_bytes() for path in Path(secret_service_bus["HOME"]).rglob("*.keyring")]
    assert kept
    assert not any(b"5ec2e7" in content for content in kept)


@pytest.mark.usefixtures("secret_service")
def test_a_secret_service_that_is_gone_is_a_typed_error(
    key: StoreKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bus at the address: an error, not "there is no token"."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/nobody")
    with pytest.raises(StoreUnavailableError, match="the keyring cannot be used"):
        KeyringStore("test", lock_dir=tmp_path).load(key)
