"""``FileStore``: what is on the disk, who may read it, and what it refuses."""

from __future__ import annotations

import math
import os
import secrets
import stat
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import (
    CoboAuthError,
    ConfigurationError,
    FileStore,
    StoreConflictError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
)
from httpx_cobo_auth._protocol.records import PendingExchange, StoreKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.stores.conftest import MakesRecords

NONE = (0, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tokens"


@pytest.fixture
def store(folder: Path) -> FileStore:
    return FileStore(folder)


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Hide no file by the process's own mask."""
    before = os.umask(0)
    yield
    os.umask(before)


def record_file(folder: Path) -> Path:
    [file] = folder.glob("*.json")
    return file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def locals_of(error: BaseException | None) -> str:
    """Show the error as a tracker with locals would, causes and contexts included."""
    shown = ""
    while error is not None:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
        # From the package on; the frames of the test know the record.
        shown += "".join(
            f"{name}={value}\n"
            for frame in report.stack
            if "httpx_cobo_auth" in frame.filename
            for name, value in (frame.locals or {}).items()
        ) + str(error)
        error = error.__cause__ or error.__context__
    return shown


# ------------------------------------------------------------------------- files and folders
@pytest.mark.hazard(22)
@pytest.mark.usefixtures("no_umask")
def test_nobody_else_can_read_anything(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """Also where the process hides nothing by itself, and from the first moment on."""
    hold = store.try_lock(key, ttl=60)
    assert hold
    store.save(key, make_record(), expected=NONE)
    hold.release()
    assert mode(folder) == mode(folder.parent) == 0o700
    assert {mode(file) for file in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) == 2


@pytest.mark.hazard(22)
@pytest.mark.usefixtures("no_umask")
def test_a_file_has_its_mode_from_birth(
    store: FileStore,
    folder: Path,
    key: StoreKey,
    make_record: MakesRecords,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no moment between making and protecting it."""
    born: list[int] = []

    def watch(file: int) -> None:
        born.extend(mode(path) for path in folder.glob(".*.tmp"))
        del file

    monkeypatch.setattr(os, "fsync", watch)
    store.save(key, make_record(), expected=NONE)
    assert set(born) == {0o600}


@pytest.mark.parametrize(
    "org_id",
    [
        "../../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "a/b",
        "a\\b",
        "C:\\x",
        "~root",
        "日本",
        "x" * 5000,
    ],
)
def test_no_name_escapes_the_folder(
    store: FileStore, folder: Path, org_id: str, make_record: MakesRecords, tmp_path: Path
) -> None:
    """Whatever an organization is called, its record is a file of the folder, and found again."""
    key = StoreKey("https://api.example/v2", "../client", org_id)
    store.save(key, make_record(), expected=NONE)
    assert FileStore(folder).load(key) == make_record()
    assert record_file(folder).parent == folder
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(folder.glob("*.json"))


def test_keys_that_look_alike_have_files_of_their_own(
    store: FileStore, make_record: MakesRecords
) -> None:
    """Sixteen keys that differ by case, slash or one part keep sixteen records, on any disk."""
    keys = [
        StoreKey(base, client, org)
        for base in ("https://a/v2", "https://b/v2")
        for client in ("c", "C")
        for org in ("o/1", "o\\1", "O-1", "o-1")
    ]
    for generation, key in enumerate(keys, start=1):
        store.save(key, make_record(generation), expected=NONE)
    assert [store.load(key) for key in keys] == [make_record(n) for n in range(1, 17)]


def test_a_home_is_expanded(
    tmp_path: Path, key: StoreKey, make_record: MakesRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``~`` is the user's home, as in the README's example, and no folder of that name."""
    monkeypatch.setenv("HOME", str(tmp_path))
    FileStore("~/tokens").save(key, make_record(), expected=NONE)
    assert record_file(tmp_path / "tokens").exists()


def test_objects_of_one_folder_are_one_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that objects made anew for each request share their gate."""
    monkeypatch.chdir(tmp_path)
    identities = {
        FileStore(path).identity
        for path in (
            "tokens",
            "./tokens",
            "x/../tokens",
            tmp_path / "tokens",
            f"{tmp_path}//tokens/",
        )
    }
    assert identities == {FileStore(tmp_path / "tokens").identity}
    assert FileStore(tmp_path / "others").identity not in identities


async def test_making_one_touches_nothing(folder: Path) -> None:
    """Not even in an event loop, where the fixture of every test would notice."""
    assert FileStore(folder).identity is not None
    assert not folder.parent.exists()


def test_nothing_there_is_no_record(store: FileStore, folder: Path, key: StoreKey) -> None:
    """Neither a missing folder nor an empty one is an error, and reading makes none."""
    assert store.load(key) is None
    assert not folder.exists()
    folder.mkdir(parents=True)
    assert store.load(key) is None


def test_a_folder_that_others_can_only_list_is_used_as_it_is(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """Its permissions are the user's to change."""
    folder.mkdir(parents=True, mode=0o755)
    folder.chmod(0o755)
    store.save(key, make_record(), expected=NONE)
    assert mode(folder) == 0o755
    assert mode(record_file(folder)) == 0o600


def attempts(
    store: FileStore, key: StoreKey, make_record: MakesRecords
) -> list[Callable[[], object]]:
    return [
        lambda: store.load(key),
        lambda: store.save(key, make_record(), expected=NONE),
        lambda: store.try_lock(key, ttl=60),
    ]


@pytest.mark.parametrize("wide", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(
    store: FileStore, folder: Path, wide: int, key: StoreKey, make_record: MakesRecords
) -> None:
    """They could plant a file, or delete the lock."""
    folder.mkdir(parents=True)
    folder.chmod(wide)
    for attempt in attempts(store, key, make_record):
        with pytest.raises(StoreUnavailableError, match="others can write"):
            attempt()
    assert mode(folder) == wide
    assert not list(folder.iterdir())


def test_another_users_folder_is_refused(
    store: FileStore,
    folder: Path,
    key: StoreKey,
    make_record: MakesRecords,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading, saving and locking all say so: that user could read and replace the tokens."""
    folder.mkdir(parents=True, mode=0o700)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    for attempt in attempts(store, key, make_record):
        with pytest.raises(StoreUnavailableError, match="belongs to another user"):
            attempt()


@pytest.mark.hazard(22)
def test_a_planted_link_in_place_of_the_folder_is_refused(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords, tmp_path: Path
) -> None:
    """Nothing is read or written where it points to."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(elsewhere)
    for attempt in attempts(store, key, make_record):
        with pytest.raises(StoreUnavailableError, match="no link"):
            attempt()
    assert not list(elsewhere.iterdir())


@pytest.mark.hazard(22)
def test_a_planted_link_in_place_of_the_file_is_refused(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords, tmp_path: Path
) -> None:
    """Neither what it leads to is read, nor overwritten."""
    store.save(key, make_record(), expected=NONE)
    file, elsewhere = record_file(folder), tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    with pytest.raises(StoreCorruptError, match="symbolic link"):
        store.load(key)
    with pytest.raises(StoreCorruptError, match="symbolic link"):
        store.save(key, make_record(2), expected=(1, None))
    assert file.is_symlink()
    assert elsewhere.read_bytes() == before


def test_a_planted_link_in_place_of_the_lock_is_refused(
    store: FileStore, folder: Path, key: StoreKey, tmp_path: Path
) -> None:
    """The lock is not followed, and no file is made where the link points to."""
    hold = store.try_lock(key, ttl=60)
    assert hold
    hold.release()
    [lock] = folder.glob("*.lock")
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailableError, match="cannot lock"):
        store.try_lock(key, ttl=60)
    assert not (tmp_path / "elsewhere").exists()


def test_a_planted_pipe_keeps_nobody_waiting(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """Opening it would block until somebody writes; it is a typed error at once."""
    store.save(key, make_record(), expected=NONE)
    file = record_file(folder)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(StoreCorruptError, match="not a regular file"):
        store.load(key)


def test_a_file_in_place_of_the_folder_is_refused(
    store: FileStore, folder: Path, key: StoreKey
) -> None:
    """The error says that a folder is needed, and does not take it for an empty store."""
    folder.parent.mkdir()
    folder.touch()
    with pytest.raises(StoreUnavailableError, match="a folder is needed"):
        store.load(key)


def test_a_folder_in_place_of_the_file_is_an_error(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """A typed one, not ``IsADirectoryError``, and no empty record."""
    store.save(key, make_record(), expected=NONE)
    file = record_file(folder)
    file.unlink()
    file.mkdir()
    with pytest.raises(StoreError):
        store.load(key)


# --------------------------------------------------------------------------- compare and set
def test_only_the_expected_version_is_replaced(
    store: FileStore, key: StoreKey, make_record: MakesRecords
) -> None:
    """Generation and note must both match; a refused save leaves the stored record as it was."""
    first, second = make_record(1), make_record(2)
    for expected in ((1, None), (0, "owner")):
        with pytest.raises(StoreConflictError):
            store.save(key, first, expected=expected)
    store.save(key, first, expected=NONE)
    noted = first.with_pending(PendingExchange("owner", 1.0))
    store.save(key, noted, expected=(1, None))
    for expected in (NONE, (1, None), (1, "another"), (2, "owner")):
        with pytest.raises(StoreConflictError):
            store.save(key, second, expected=expected)
    assert store.load(key) == noted
    store.save(key, second, expected=(1, "owner"))
    assert store.load(key) == second


def test_a_lower_generation_is_never_saved(
    store: FileStore, key: StoreKey, make_record: MakesRecords
) -> None:
    """Not even by who expects the stored version: generations only rise."""
    store.save(key, make_record(2), expected=NONE)
    with pytest.raises(StoreConflictError):
        store.save(key, make_record(1), expected=(2, None))


# --------------------------------------------------------------------------- corrupt, kept
@pytest.mark.hazard(21)
@pytest.mark.parametrize("damage", [b"", b"{", b"garbage", b'{"format": 2}', b"x" * 300_000])
def test_what_cannot_be_understood_is_kept(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords, damage: bytes
) -> None:
    """Corrupt is not empty: neither read as nothing, nor overwritten."""
    store.save(key, make_record(), expected=NONE)
    record_file(folder).write_bytes(damage)
    with pytest.raises(StoreCorruptError, match="left as it is") as caught:
        store.load(key)
    assert str(record_file(folder)) in str(caught.value)
    with pytest.raises(StoreCorruptError):
        store.save(key, make_record(), expected=NONE)
    assert record_file(folder).read_bytes() == damage


@pytest.mark.hazard(35)
def test_a_file_moved_to_another_organizations_place_is_refused(
    store: FileStore, folder: Path, key: StoreKey, other_key: StoreKey, make_record: MakesRecords
) -> None:
    """The record names its key, so one organization never sends another's token."""
    store.save(key, make_record(), expected=NONE)
    mine = record_file(folder)
    content = mine.read_bytes()
    store.save(other_key, make_record(), expected=NONE)
    [theirs] = set(folder.glob("*.json")) - {mine}
    theirs.write_bytes(content)
    with pytest.raises(StoreCorruptError, match="another environment, client or organization"):
        store.load(other_key)


# --------------------------------------------------------------------------- encryption
def test_a_file_in_another_ones_place_is_not_listed(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """Nor one that cannot be understood: nobody's token is shown for another's."""
    store.save(key, make_record(), expected=(0, None))
    assert store.keys() == [key]
    (folder / "elsewhere.json").write_bytes(record_file(folder).read_bytes())
    (folder / "damaged.json").write_text("{")
    assert store.keys() == [key]


def test_a_folder_that_cannot_be_listed_is_an_error(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """As one that others can write to: what is in there is nobody's word."""
    store.save(key, make_record(), expected=(0, None))
    folder.chmod(0o777)
    with pytest.raises(StoreUnavailableError, match="cannot read the token store"):
        store.keys()


def test_an_encrypted_file_shows_nothing(
    folder: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """No token, no organization in it; the key opens it as hex or bytes, and is not shown."""
    secret = secrets.token_hex(32)
    store = FileStore(folder, encryption_key=secret)
    store.save(key, make_record(), expected=NONE)
    content = record_file(folder).read_bytes()
    assert b"5ec2e7" not in content
    assert key.org_id.encode() not in content
    assert FileStore(folder, encryption_key=bytes.fromhex(secret)).load(key) == make_record()
    assert secret not in repr(store)
    assert "encrypted" in repr(store)


def test_a_wrong_key_is_an_error_and_the_file_is_kept(
    folder: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """So is none, and so is one for a file that is not encrypted."""
    right, wrong = secrets.token_bytes(32), secrets.token_bytes(32)
    FileStore(folder, encryption_key=right).save(key, make_record(), expected=NONE)
    content = record_file(folder).read_bytes()
    with pytest.raises(StoreCorruptError, match="another encryption_key, or is damaged"):
        FileStore(folder, encryption_key=wrong).load(key)
    with pytest.raises(StoreCorruptError, match="has no encryption_key"):
        FileStore(folder).load(key)
    for length in range(len(content)):
        record_file(folder).write_bytes(content[:length])
        with pytest.raises(StoreCorruptError):
            FileStore(folder, encryption_key=right).load(key)
    record_file(folder).unlink()
    FileStore(folder).save(key, make_record(), expected=NONE)
    with pytest.raises(StoreCorruptError, match="is not encrypted"):
        FileStore(folder, encryption_key=right).load(key)


@pytest.mark.parametrize("bad", [b"5ec2e7", "5ec2e7", "", b"", "5ec2e7" * 12, "é" * 64], ids=repr)
def test_a_key_that_is_none_is_refused_without_showing_it(folder: Path, bad: bytes | str) -> None:
    """The error says what is expected; no frame of its traceback holds what was given."""
    with pytest.raises(ConfigurationError, match="32 bytes or 64 hex digits") as caught:
        FileStore(folder, encryption_key=bad)
    assert "5ec2e7" not in locals_of(caught.value)


# --------------------------------------------------------------------------- a failing disk
@pytest.mark.parametrize("failing", ["open", "fsync", "fdopen"])
def test_a_failing_disk_is_a_typed_error_without_secrets(
    store: FileStore,
    key: StoreKey,
    make_record: MakesRecords,
    failing: str,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
) -> None:
    """The old record stays, and so does nothing half-written."""
    store.save(key, make_record(1), expected=NONE)
    flags_of_writing = os.O_CREAT
    real = getattr(os, failing)

    def fail(*arguments: object, **options: object) -> object:
        if failing == "open" and not int(str(arguments[1])) & flags_of_writing:
            return real(*arguments, **options)
        if failing == "fdopen" and arguments[1] != "wb":
            return real(*arguments, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(StoreUnavailableError, match="No space left") as caught:
        store.save(key, make_record(2), expected=(1, None))
    monkeypatch.undo()
    assert "5ec2e7" not in locals_of(caught.value)
    assert store.load(key) == make_record(1)
    assert [file.suffix for file in folder.iterdir()] == [".json"]


def test_a_read_only_place_is_a_typed_error(
    key: StoreKey, make_record: MakesRecords, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Saving and locking name the system's reason; reading needs no folder."""

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    store = FileStore(tmp_path / "a" / "b")
    for attempt in attempts(store, key, make_record)[1:]:
        with pytest.raises(StoreUnavailableError, match="Permission denied"):
            attempt()


def test_an_unreadable_file_is_a_typed_error(
    store: FileStore, key: StoreKey, make_record: MakesRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be read is not taken for no record."""
    store.save(key, make_record(), expected=NONE)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreUnavailableError, match="cannot read"):
        store.load(key)


@pytest.mark.hazard(20)
def test_what_dead_writers_left_is_swept_away(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """Once an hour; what is younger may be somebody's who is still writing."""
    folder.mkdir(parents=True)
    old, young, foreign = folder / ".x.json.1.tmp", folder / ".x.json.2.tmp", folder / "mine.tmp"
    for file in (old, young, foreign):
        file.touch()
    an_hour_ago = time.time() - 3700
    for file in (old, foreign):
        os.utime(file, (an_hour_ago, an_hour_ago))
    store.save(key, make_record(1), expected=NONE)
    assert not old.exists()
    assert young.exists()
    assert foreign.exists()
    old.touch()
    os.utime(old, (an_hour_ago, an_hour_ago))
    store.save(key, make_record(2), expected=(1, None))
    assert old.exists()


# --------------------------------------------------------------------------- locks
@pytest.mark.hazard(17)
def test_a_lock_excludes_everybody_until_it_is_released(
    store: FileStore, folder: Path, key: StoreKey, other_key: StoreKey
) -> None:
    """Its own process included, but no other key; a second release frees nobody else's."""
    hold = store.try_lock(key, ttl=60)
    assert hold
    assert hold.remaining() == math.inf
    assert store.try_lock(key, ttl=60) is None
    assert FileStore(folder).try_lock(key, ttl=60) is None
    other = store.try_lock(other_key, ttl=60)
    assert other
    hold.release()
    hold.release()
    assert hold.remaining() == 0.0
    again = store.try_lock(key, ttl=60)
    assert again
    hold.release()
    assert store.try_lock(key, ttl=60) is None
    again.release()
    other.release()


def test_a_lock_is_released_by_any_thread(store: FileStore, key: StoreKey) -> None:
    """Flows are abandoned, and worker threads come from a pool."""
    holds = [store.try_lock(key, ttl=60)]
    for _ in range(3):

        def release_and_take() -> None:
            hold = holds.pop()
            assert hold
            hold.release()
            holds.append(store.try_lock(key, ttl=60))

        thread = threading.Thread(target=release_and_take)
        thread.start()
        thread.join()
    assert holds[0]
    assert store.try_lock(key, ttl=60) is None
    holds[0].release()


def test_a_lock_that_is_dropped_is_free(store: FileStore, key: StoreKey) -> None:
    """An owner that forgot to release it blocks nobody: it goes with the object."""
    hold = store.try_lock(key, ttl=60)
    assert hold
    del hold
    again = store.try_lock(key, ttl=60)
    assert again
    again.release()


def test_the_lock_file_stays(store: FileStore, folder: Path, key: StoreKey) -> None:
    """Deleting it would let two in, on two files of one name."""
    hold = store.try_lock(key, ttl=60)
    assert hold
    [lock] = folder.glob("*.lock")
    number = lock.stat().st_ino
    hold.release()
    again = store.try_lock(key, ttl=60)
    assert again
    again.release()
    assert lock.stat().st_ino == number


def test_every_error_is_of_the_package() -> None:
    """``except CoboAuthError`` catches what a store raises."""
    assert issubclass(StoreError, CoboAuthError)
