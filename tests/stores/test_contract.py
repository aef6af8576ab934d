"""The exported contract: the stores keep to it, and it finds out who does not."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import multiprocessing
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

import anyio
import keyring
import pytest

from httpx_cobo_auth import FileStore, KeyringStore, MemoryStore, RedisStore, StoreConflictError
from httpx_cobo_auth.stores._folder import name_for
from httpx_cobo_auth.testing import StoreContract, _actors, _crowd

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from httpx_cobo_auth import TokenStore
    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.stores.base import StoreLock
    from tests.stores.conftest import RedisServer


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self) -> Callable[[], MemoryStore]:
        store = MemoryStore()
        return lambda: store


class TestFileStore(StoreContract):
    encryption_key: str | None = None

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "tokens"

    @pytest.fixture
    def make_store(self) -> Callable[[], FileStore]:
        return functools.partial(FileStore, self.folder, encryption_key=self.encryption_key)

    def damage(self, store: TokenStore, key: StoreKey) -> None:
        del store, key
        for file in self.folder.glob("*.json"):
            file.write_bytes(file.read_bytes()[:-9])

    @contextlib.contextmanager
    def cut_off(self, store: TokenStore) -> Generator[None]:
        del store
        away = self.folder.rename(self.folder.with_name("away"))
        self.folder.touch()
        yield
        self.folder.unlink()
        away.rename(self.folder)


class TestEncryptedFileStore(TestFileStore):
    encryption_key = "ab" * 32


class TestRedisStore(StoreContract):
    @pytest.fixture(autouse=True)
    def server(self, redis_server: RedisServer) -> None:
        self.redis = redis_server

    @pytest.fixture
    def make_store(self) -> Callable[[], RedisStore]:
        return functools.partial(RedisStore, self.redis.url, timeout=0.5)

    def damage(self, store: TokenStore, key: StoreKey) -> None:
        del store, key
        with self.redis.client() as client:
            for name in client.keys("*:token"):
                client.hset(name, "record", "5ec2e7")

    @contextlib.contextmanager
    def cut_off(self, store: TokenStore) -> Generator[None]:
        del store
        with self.redis.paused():
            yield


class TestKeyringStore(StoreContract):
    @pytest.fixture(autouse=True)
    def places(self, tmp_path: Path, secret_service: None) -> None:
        del secret_service
        self.folder = tmp_path / "locks"
        self.service = tmp_path.name

    @pytest.fixture
    def make_store(self) -> Callable[[], KeyringStore]:
        return functools.partial(KeyringStore, self.service, lock_dir=self.folder)

    def damage(self, store: TokenStore, key: StoreKey) -> None:
        del store
        keyring.set_password(self.service, name_for(key), '{"format": 1, "5ec2e7"')


class AsyncMemoryStore:
    """Anybody's async store."""

    shared = False

    def __init__(self) -> None:
        self.wrapped = MemoryStore()
        self.closed = False

    def __repr__(self) -> str:
        return "<AsyncMemoryStore>"

    async def load(self, key: StoreKey) -> Record | None:
        await anyio.lowlevel.checkpoint()
        return self.wrapped.load(key)

    async def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        await anyio.lowlevel.checkpoint()
        self.wrapped.save(key, record, expected=expected)

    async def try_lock(self, key: StoreKey, *, ttl: float) -> AsyncHold | None:
        await anyio.lowlevel.checkpoint()
        lock = self.wrapped.try_lock(key, ttl=ttl)
        return AsyncHold(lock) if lock else None

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed = True


class AsyncHold:
    def __init__(self, wrapped: StoreLock) -> None:
        self.wrapped = wrapped

    def remaining(self) -> float:
        return self.wrapped.remaining()

    async def release(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.wrapped.release()


class TestAsyncStore(StoreContract):
    """Async stores run the same tests."""

    @pytest.fixture
    def make_store(self) -> Iterator[Callable[[], AsyncMemoryStore]]:
        store = AsyncMemoryStore()
        yield lambda: store
        assert store.closed


# --------------------------------------------------------- who does not keep to the contract
class Careless(MemoryStore):
    """Keeps to all of it, but for what derived classes leave out."""

    @property
    def identity(self) -> int:
        return id(self)


class ForgetsTheNote(Careless):
    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        super().save(key, dataclasses.replace(record, pending=None), expected=expected)


class ComparesNothing(Careless):
    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        del expected
        stored = self.load(key)
        super().save(key, record, expected=stored.version if stored else (0, None))


class MixesOrganizations(Careless):
    def load(self, key: StoreKey) -> Record | None:
        return super().load(dataclasses.replace(key, org_id="any"))

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        super().save(dataclasses.replace(key, org_id="any"), record, expected=expected)


class MixesVersions(Careless):
    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        super().save(key, record, expected=(expected[0] + 1, None))


class ChangesIdentity(MemoryStore):
    shared = True

    @property
    def identity(self) -> object:
        return object()


class Hold:
    def remaining(self) -> float:
        return math.inf

    def release(self) -> None:
        pass


class ExcludesNobody(Careless):
    def try_lock(self, key: StoreKey, *, ttl: float) -> Any:  # noqa: ANN401 - no MemoryStore's
        del key, ttl
        return Hold()


class NeverGetsFree(Careless):
    def try_lock(self, key: StoreKey, *, ttl: float) -> None:
        del key, ttl


class ShowsSecrets(Careless):
    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        try:
            super().save(key, record, expected=expected)
        except StoreConflictError as error:
            assert record.token
            message = f"no room for {record.token.access_token}"
            raise StoreConflictError(message) from error


class Shared(AsyncMemoryStore):
    """An async store without anything to close, that says other processes share it."""

    shared = True
    aclose: Any = None


def test_what_does_not_apply_is_skipped() -> None:
    """Rather than failed, or passed unseen."""
    store, contract = Shared(), StoreContract()
    with pytest.raises(SkipTest, match="a store of its own"):
        contract.test_all_objects_see_the_same_records(MemoryStore)
    with pytest.raises(SkipTest, match="an event loop is not forked"):
        contract.test_a_fork_inherits_no_lock(lambda: store)


def test_what_goes_wrong_in_another_process_is_told(key: StoreKey) -> None:
    """With its traceback, to the test that waits for it."""
    ours, theirs = multiprocessing.Pipe()
    store = MemoryStore()
    with ours, theirs:
        _crowd._act("count_up", lambda: store, key, 3, theirs)
        assert ours.recv() == "done"
        _crowd._act("count_up", MixesVersions, key, 1, theirs)
        assert "StoreConflictError" in ours.recv()
    stored = store.load(key)
    assert stored
    assert stored.generation == 3


def damage_nothing(store: TokenStore, key: StoreKey) -> None:
    del store, key


@pytest.mark.parametrize(
    ("store", "test"),
    [
        (ForgetsTheNote(), "a_record_comes_back_as_it_was"),
        (ForgetsTheNote(), "a_noted_exchange_is_there_for_the_next_one"),
        (ComparesNothing(), "only_the_expected_version_is_replaced"),
        (MixesOrganizations(), "keys_do_not_meet"),
        (ChangesIdentity(), "all_objects_see_the_same_records"),
        (ExcludesNobody(), "the_lock_excludes_until_it_is_released"),
        (ShowsSecrets(), "no_secret_is_shown"),
        (Careless(), "what_cannot_be_understood_is_kept"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_who_does_not_keep_to_it_is_found_out(
    store: MemoryStore, test: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores with one fault each: the test of the contract that is about it fails."""
    monkeypatch.setattr(StoreContract, "damage", staticmethod(damage_nothing))
    with pytest.raises((AssertionError, StoreConflictError)):
        getattr(StoreContract(), f"test_{test}")(lambda: store)


def test_a_lock_that_never_gets_free_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract fails after a while, and says what it waited for, instead of hanging."""
    monkeypatch.setattr(_actors, "_PATIENCE_S", 0.01)
    with pytest.raises(AssertionError, match="the lock gets free"):
        StoreContract().test_a_noted_exchange_is_there_for_the_next_one(NeverGetsFree)
