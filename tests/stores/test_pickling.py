"""Which stores can be handed to another process, and what the others say."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from typing import TYPE_CHECKING, cast

import pytest

from httpx_cobo_auth import (
    ConfigurationError,
    FileStore,
    KeyringStore,
    MemoryStore,
    RedisStore,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyring.backend import KeyringBackend

    from httpx_cobo_auth import TokenStore
    from httpx_cobo_auth._protocol.records import Record, StoreKey
    from tests.stores.conftest import MakesRecords

ENCRYPTION_KEY = "5ec2e7ab" * 8


def same(store: FileStore) -> FileStore:
    return cast("FileStore", pickle.loads(pickle.dumps(store)))  # noqa: S301 - its own


class NamedStore(FileStore):
    """Anybody's derived store, with an attribute of its own."""

    name = "none"


@pytest.mark.hazard(71)
@pytest.mark.parametrize("encryption_key", [None, ENCRYPTION_KEY])
@pytest.mark.parametrize("again", [same, copy.copy, copy.deepcopy])
def test_a_copy_of_a_file_store_is_the_same_store(
    tmp_path: Path,
    key: StoreKey,
    make_record: MakesRecords,
    encryption_key: str | None,
    again: Callable[[NamedStore], NamedStore],
) -> None:
    """It reads what the original wrote, excludes it by its lock, and keeps what was added to it."""
    store = NamedStore(tmp_path / "tokens", encryption_key=encryption_key)
    store.name = "mine"
    store.save(key, make_record(), expected=(0, None))
    other = again(store)
    assert type(other) is NamedStore
    assert other.name == "mine"
    assert other.load(key) == make_record()
    assert (other.identity, repr(other)) == (store.identity, repr(store))
    lock = store.try_lock(key, ttl=60)
    assert lock
    assert other.try_lock(key, ttl=60) is None
    lock.release()
    assert store.load(key) == make_record()


def load_elsewhere(store: FileStore, key: StoreKey) -> int:
    record: Record | None = store.load(key)
    return record.generation if record else 0


@pytest.mark.hazard(71)
def test_a_spawned_process_gets_the_same_store(
    tmp_path: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """As an argument, through the pickle of ``multiprocessing``."""
    store = FileStore(tmp_path / "tokens", encryption_key=ENCRYPTION_KEY)
    store.save(key, make_record(7), expected=(0, None))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(load_elsewhere, (store, key)) == 7


def test_a_pickle_holds_the_encryption_key_and_nothing_else_that_is_secret(
    tmp_path: Path, key: StoreKey, make_record: MakesRecords
) -> None:
    """No token goes into it; a store without a key has no secret at all."""
    for encryption_key in (None, ENCRYPTION_KEY):
        store = FileStore(tmp_path / str(encryption_key), encryption_key=encryption_key)
        store.save(key, make_record(), expected=(0, None))
        pickled = pickle.dumps(store)
        assert b"5ec2e7-" not in pickled
        assert (bytes.fromhex(ENCRYPTION_KEY) in pickled) is (encryption_key is not None)


def test_a_damaged_pickle_shows_no_key(tmp_path: Path) -> None:
    """A state that cannot be is refused as the constructor refuses it, and no frame keeps it."""
    store = FileStore(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        store.__setstate__({**store.__getstate__(), "_codec": b"5ec2e7"})
    frames = [entry.frame for entry in caught.traceback[1:]]
    assert frames
    assert not any("5ec2e7" in repr(frame.f_locals) for frame in frames)


def test_a_copy_of_a_keyring_store_is_the_same_store(tmp_path: Path) -> None:
    """Its backend is chosen again, by the process that it is in."""
    store = KeyringStore("service", lock_dir=tmp_path, timeout=3.0)
    for other in (pickle.loads(pickle.dumps(store)), copy.deepcopy(store)):  # noqa: S301 - its own
        assert other.identity == store.identity
        assert other._timeout == 3.0


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (MemoryStore, "its tokens are this process's own"),
        (lambda: RedisStore("redis://:5ec2e7@localhost"), "it holds connections"),
        (
            lambda: KeyringStore(backend=cast("KeyringBackend", object())),
            "that may hold a password",
        ),
    ],
)
@pytest.mark.parametrize("again", [pickle.dumps, copy.copy, copy.deepcopy])
def test_other_stores_say_why_they_cannot_be_copied(
    make: Callable[[], TokenStore], why: str, again: Callable[[object], object]
) -> None:
    """A clear ``TypeError``, without any secret."""
    store = make()
    with pytest.raises(TypeError, match="cannot be pickled or copied") as caught:
        again(store)
    assert why in str(caught.value)
    assert type(store).__name__ in str(caught.value)
    assert "5ec2e7" not in str(caught.value)
