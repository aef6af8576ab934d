"""A folder that a mount has opened to a group is put right; what is not ours is refused."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from httpx_cobo_auth import FileStore, KeyringStore, StoreCorruptError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.records import StoreKey
    from tests.stores.conftest import MakesRecords

NONE = (0, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "volume" / "tokens"


@pytest.fixture
def store(folder: Path, key: StoreKey, make_record: MakesRecords) -> FileStore:
    """A store that was used before."""
    store = FileStore(folder)
    lock = store.try_lock(key, ttl=60)
    assert lock
    store.save(key, make_record(), expected=NONE)
    lock.release()
    return store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def mount(volume: Path) -> None:
    """Do what the kubelet does to a volume of a pod with an ``fsGroup``."""
    for path in (volume, *volume.rglob("*")):
        path.chmod(mode(path) | (0o2770 if path.is_dir() else 0o660))


@pytest.mark.hazard(81)
@pytest.mark.parametrize("begin", ["load", "save", "lock"])
def test_a_volume_with_fsgroup_is_put_right(
    store: FileStore, folder: Path, key: StoreKey, make_record: MakesRecords, begin: str
) -> None:
    """After each mount: folder and files are closed to others again, and nothing is lost."""
    for generation in (1, 2):
        mount(folder.parent)
        (folder / f".{'org-' + 'a' * 32}.json.{'b' * 16}.tmp").touch()
        if begin == "load":
            assert store.load(key) == make_record(generation)
        elif begin == "save":
            store.save(key, make_record(generation + 1), expected=(generation, None))
        else:
            lock = store.try_lock(key, ttl=60)
            assert lock
            lock.release()
        assert mode(folder) == 0o2750
        assert {mode(path) for path in folder.iterdir()} == {0o600}
        if begin != "save":
            store.save(key, make_record(generation + 1), expected=(generation, None))


def test_a_folder_of_keyring_locks_is_put_right(tmp_path: Path, key: StoreKey) -> None:
    """It is a folder of the same kind."""
    store = KeyringStore("service", lock_dir=tmp_path / "locks")
    for _ in range(2):
        lock = store.try_lock(key, ttl=60)
        assert lock
        lock.release()
        mount(tmp_path / "locks")


def put_file(folder: Path) -> None:
    (folder / "notes.txt").touch()


def put_folder(folder: Path) -> None:
    (folder / "lost+found").mkdir()


def put_link(folder: Path) -> None:
    (folder / f"{'org-' + 'a' * 32}.json").symlink_to("elsewhere")


@pytest.mark.parametrize("put", [put_file, put_folder, put_link])
def test_a_folder_that_holds_other_things_is_left_as_it_is(
    store: FileStore, folder: Path, key: StoreKey, put: Callable[[Path], None]
) -> None:
    """Somebody else may need that mode. The error says what causes it and what prevents it."""
    put(folder)
    folder.chmod(0o2770)
    before = {path: mode(path) for path in folder.iterdir()}
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="fsGroupChangePolicy: OnRootMismatch"):
            store.load(key)
    assert mode(folder) == 0o2770
    assert {path: mode(path) for path in folder.iterdir()} == before


def test_a_file_of_another_user_is_not_believed(
    store: FileStore,
    folder: Path,
    key: StoreKey,
    make_record: MakesRecords,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever could write there may have planted it: the folder is not put right because of it.

    Nor is such a file read in a folder that is closed by now.
    """
    mount(folder.parent)
    ours = os.geteuid()
    real_fstat = os.fstat

    def not_ours(_: object) -> bool:
        return False

    def of_another(file: int) -> os.stat_result:
        status = list(real_fstat(file))
        status[stat.ST_UID] = ours + 1
        return os.stat_result(status)

    monkeypatch.setattr("httpx_cobo_auth.stores._folder_modes._is_ours", not_ours)
    with pytest.raises(StoreUnavailableError, match="fsGroup"):
        store.load(key)
    monkeypatch.undo()
    assert store.load(key) == make_record()
    monkeypatch.setattr(os, "fstat", of_another)
    with pytest.raises(StoreCorruptError, match="it belongs to another user"):
        store.load(key)


@pytest.mark.parametrize("how", ["refused", "ignored"])
def test_a_mode_that_cannot_be_changed_is_an_error(
    store: FileStore, folder: Path, key: StoreKey, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the file system refuses or only does not do it; the error says what helps."""
    mount(folder.parent)

    def chmod(self: Path, mode: int) -> None:
        del mode
        if how == "refused":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "chmod", chmod)
    with pytest.raises(StoreUnavailableError, match=r"cannot be changed.*fsGroup"):
        store.load(key)


def test_a_file_that_goes_away_meanwhile_does_not_matter(
    store: FileStore,
    folder: Path,
    key: StoreKey,
    make_record: MakesRecords,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process of ours replaces its record while this one puts the folder right."""
    mount(folder.parent)
    real, leaving = os.scandir, f".{'org-' + 'a' * 32}.json.{'b' * 16}.tmp"

    def scandir(path: Path) -> object:
        (folder / leaving).touch()
        with real(path) as entries:
            listed = list(entries)
        (folder / leaving).unlink()

        class Listing(list[os.DirEntry[str]]):
            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                pass

        return Listing(listed)

    monkeypatch.setattr(os, "scandir", scandir)
    assert store.load(key) == make_record()
    assert mode(folder) == 0o2750


# ------------------------------------------------------------------------------- flushing
def fsync_failing(number: int) -> Callable[[int], None]:
    real = os.fsync

    def fsync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(number, os.strerror(number))
        real(file)

    return fsync


@pytest.mark.hazard(88)
@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_folder_that_cannot_be_flushed_serves_all_the_same(
    folder: Path,
    key: StoreKey,
    make_record: MakesRecords,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On CIFS, 9p and the like there is no such thing; files are flushed, renamed and locked."""
    monkeypatch.setattr(os, "fsync", fsync_failing(number))
    store = FileStore(folder)
    lock = store.try_lock(key, ttl=60)
    assert lock
    store.save(key, make_record(), expected=NONE)
    lock.release()
    assert FileStore(folder).load(key) == make_record()


@pytest.mark.hazard(88)
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_folder_whose_flush_fails_is_an_error(
    store: FileStore,
    key: StoreKey,
    make_record: MakesRecords,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failing disk is not taken for a file system without that operation."""
    monkeypatch.setattr(os, "fsync", fsync_failing(number))
    with pytest.raises(StoreUnavailableError, match="cannot write"):
        store.save(key, make_record(2), expected=(1, None))
