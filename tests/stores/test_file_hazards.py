"""``FileStore`` where files and locks are known to go wrong."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import (
    FileStore,
    RenewalTimeoutError,
    StoreCorruptError,
    StoreUnavailableError,
    Timeouts,
)
from httpx_cobo_auth._protocol.records import StoreKey
from tests.family import CoboOAuth

if TYPE_CHECKING:
    import httpx

    from httpx_cobo_auth.events import Event
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.stores.conftest import MakesRecords, RunsPython


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "tokens")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def auth(
    store: FileStore, simulator: CoboSimulator, clock: ManualClock, events: list[Event]
) -> CoboOAuth:
    return CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        store=store,
        timeouts=Timeouts(grace=0.0, lock=0.3),
        clock=clock,
        on_event=events.append,
    )


@pytest.fixture
def client(auth: CoboOAuth, simulator: CoboSimulator) -> httpx.Client:
    return auth.client(transport=simulator)


@pytest.fixture
def simulated_key(simulator: CoboSimulator) -> StoreKey:
    return StoreKey(simulator.environment.base_url, simulator.client_id, simulator.org_id)


@pytest.mark.hazard(20)
def test_a_reader_never_sees_a_part(
    store: FileStore, key: StoreKey, make_record: MakesRecords
) -> None:
    """Neither half of a record nor a mixture of two, at any moment of a save."""
    store.save(key, make_record(1), expected=(0, None))
    over = threading.Event()
    seen: list[int] = []

    def read() -> None:
        reader = FileStore(store._folder.path)
        while not over.is_set():
            record = reader.load(key)
            assert record
            assert record == make_record(record.generation)
            seen.append(record.generation)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for generation in range(1, 300):
        store.save(key, make_record(generation + 1), expected=(generation, None))
    over.set()
    for thread in threads:
        thread.join()
    assert len(set(seen)) > 10


@pytest.mark.hazard(17)
def test_a_lock_inherited_by_exec_is_none(
    store: FileStore, key: StoreKey, run_python: RunsPython
) -> None:
    """Programs that are started while the lock is held do not keep it."""
    hold = store.try_lock(key, ttl=60)
    assert hold
    listing = run_python("import os; print(*os.listdir('/proc/self/fd'))")
    assert str(hold._lock._context.lock_file_fd) not in listing.split()
    hold.release()


@pytest.mark.hazard(18)
def test_a_file_system_without_locks_is_an_error(
    store: FileStore, key: StoreKey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No lock of a lesser kind takes its place: one that would survive its owner."""

    def flock(file: int, how: int) -> None:
        del file, how
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreUnavailableError, match="Function not implemented"):
        store.try_lock(key, ttl=60)
    monkeypatch.undo()
    hold = FileStore(tmp_path / "tokens").try_lock(key, ttl=60)
    assert hold
    hold.release()


def test_a_lock_that_cannot_be_released_raises_nothing(
    store: FileStore, key: StoreKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is free once nobody knows of it any more."""
    hold = store.try_lock(key, ttl=60)
    assert hold

    def flock(file: int, how: int) -> None:
        del file, how
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", flock)
        hold.release()
    hold.release()
    again = store.try_lock(key, ttl=60)
    assert again
    again.release()


@pytest.mark.hazard(18)
def test_a_lock_held_elsewhere_is_a_typed_error_in_time(
    store: FileStore, client: httpx.Client, simulator: CoboSimulator, simulated_key: StoreKey
) -> None:
    """By a process that hangs, say, on a network file system; nothing is sent meanwhile."""
    hold = store.try_lock(simulated_key, ttl=60)
    assert hold
    begun = time.monotonic()
    with pytest.raises(RenewalTimeoutError):
        client.get("/wallets")
    assert 0.3 <= time.monotonic() - begun < 3
    assert simulator.counters.exchanges == simulator.counters.requests == 0
    hold.release()
    assert client.get("/wallets").status_code == 200


@pytest.mark.hazard(21)
def test_a_corrupt_file_is_a_typed_error_and_no_reason_to_ask_for_a_token(
    store: FileStore, client: httpx.Client, simulator: CoboSimulator, simulated_key: StoreKey
) -> None:
    """Somebody has to look; until then it is neither used nor overwritten."""
    place = store._folder.path
    hold = store.try_lock(simulated_key, ttl=60)
    assert hold
    hold.release()
    [lock] = place.iterdir()
    lock.with_suffix(".json").write_bytes(b"garbage")
    for _ in range(2):
        with pytest.raises(StoreCorruptError):
            client.get("/wallets")
    assert simulator.counters.exchanges == 0
    assert lock.with_suffix(".json").read_bytes() == b"garbage"


def test_a_token_that_cannot_be_saved_is_used_reported_and_saved_later(
    store: FileStore,
    client: httpx.Client,
    simulator: CoboSimulator,
    simulated_key: StoreKey,
    clock: ManualClock,
    events: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full after the exchange: the refresh token is spent, and never sent again."""
    assert client.get("/wallets").status_code == 200
    clock.advance(simulator.token_lifetime + 1)
    replace, times = Path.replace, 0

    def fail_after_the_note(path: Path, target: Path) -> Path:
        nonlocal times
        times += 1
        if times > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail_after_the_note)
    assert client.get("/wallets").status_code == 200
    assert client.get("/wallets").status_code == 200
    assert [type(event).__name__ for event in events] == [
        "TokenAcquired",
        "SaveFailed",
        "TokenRenewed",
    ]
    noted = store.load(simulated_key)
    assert noted
    assert noted.pending
    monkeypatch.undo()
    clock.advance(10)
    assert client.get("/wallets").status_code == 200
    saved = store.load(simulated_key)
    assert saved
    assert saved.pending is None
    assert saved.generation == 2
    assert simulator.counters.spent_refresh_reused == 0
    assert simulator.counters.issued == 2


def test_whoever_finds_a_note_sends_no_refresh_token(
    store: FileStore,
    auth: CoboOAuth,
    simulator: CoboSimulator,
    clock: ManualClock,
    run_python: RunsPython,
    tmp_path: Path,
) -> None:
    """Its owner died between note and save; nobody knows whether the token is spent."""
    del auth
    program = """
import os, sys
from httpx_cobo_auth import FileStore
from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey
from httpx_cobo_auth._protocol.tokens import Token

folder, base_url, client_id, org_id, access, refresh, now = sys.argv[1:]
store, key = FileStore(folder), StoreKey(base_url, client_id, org_id)
assert store.try_lock(key, ttl=60)
token = Token(
    access_token=access, refresh_token=refresh, expires_at=float(now) + 9999, obtained_at=float(now)
)
store.save(key, Record(1, token, PendingExchange("dead", float(now))), expected=(0, None))
os._exit(0)
"""
    issued = simulator.issue_token()
    run_python(
        program,
        tmp_path / "tokens",
        simulator.environment.base_url,
        simulator.client_id,
        simulator.org_id,
        issued.access_token,
        issued.refresh_token,
        clock.time(),
    )
    fresh = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        store=store,
        timeouts=Timeouts(grace=0.0),
        clock=clock,
    )
    with fresh.client(transport=simulator) as client:
        assert client.get("/wallets").status_code == 200
    assert simulator.counters.refreshes == 0
    assert simulator.counters.implicits == 1


def test_nothing_of_it_is_in_the_log(
    client: httpx.Client,
    simulator: CoboSimulator,
    store: FileStore,
    simulated_key: StoreKey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not at DEBUG either, of whatever library."""
    with caplog.at_level(logging.DEBUG):
        client.get("/wallets")
    record = store.load(simulated_key)
    assert record
    assert record.token
    assert record.token.access_token not in caplog.text
    assert str(record.token.refresh_token) not in caplog.text
    assert simulator.app_secret not in caplog.text


def test_ten_thousand_organizations_are_no_burden(
    tmp_path: Path, make_record: MakesRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save looks at its own files only: the folder is listed, to sweep it, once an hour."""
    store = FileStore(tmp_path / "tokens")

    def save(organization: str) -> None:
        key = StoreKey("https://api.example/v2", "client", organization)
        store.save(key, make_record(1), expected=(0, None))

    def refuse(*_: object) -> None:
        message = "the folder is listed"
        raise AssertionError(message)

    save("first")
    for owner, name in ((Path, "glob"), (Path, "iterdir"), (os, "listdir"), (os, "scandir")):
        monkeypatch.setattr(owner, name, refuse)
    for number in range(100):
        save(f"another-{number}")
