"""What ``httpx_cobo_auth.stores`` exports is enough for a store of one's own."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import StoreConflictError, StoreCorruptError, StoreUnavailableError, stores
from httpx_cobo_auth.stores import Record, StoreKey, decode, encode
from httpx_cobo_auth.testing import StoreContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from httpx_cobo_auth.stores import StoreLock, TokenStore, Version
    from tests.stores.conftest import MakesRecords


class BareStore:
    """Anybody's store over SQLite, as the docs describe one, in some thirty lines."""

    shared = True

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(self.connect()) as db:
            db.execute("CREATE TABLE IF NOT EXISTS tokens (name TEXT PRIMARY KEY, record BLOB)")
            db.execute("CREATE TABLE IF NOT EXISTS locks (name TEXT PRIMARY KEY, until REAL)")

    def connect(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(self.path, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreUnavailableError(type(error).__name__) from None

    def load(self, key: StoreKey) -> Record | None:
        with closing(self.connect()) as db:
            return self.read(db, key)

    def read(self, db: sqlite3.Connection, key: StoreKey) -> Record | None:
        row = db.execute("SELECT record FROM tokens WHERE name = ?", [repr(key)]).fetchone()
        return decode(row[0], key=key) if row else None

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        with closing(self.connect()) as db:
            db.execute("BEGIN IMMEDIATE")
            stored = self.read(db, key) or Record()
            if stored.version != expected:
                message = "another version is stored"
                raise StoreConflictError(message)
            values = [repr(key), encode(record, key=key)]
            db.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?)", values)
            db.execute("COMMIT")

    def try_lock(self, key: StoreKey, *, ttl: float) -> StoreLock | None:
        with closing(self.connect()) as db:
            values = [repr(key), ttl / 86_400]
            taken = db.execute(
                "INSERT INTO locks VALUES (?, julianday() + ?) ON CONFLICT DO UPDATE"
                " SET until = excluded.until WHERE until < julianday() RETURNING until",
                values,
            ).fetchone()
        return BareLock(self, key, taken[0], ttl) if taken else None


class BareLock:
    def __init__(self, store: BareStore, key: StoreKey, until: float, ttl: float) -> None:
        self.store, self.key, self.until = store, key, until
        self.process, self.deadline = os.getpid(), time.monotonic() + ttl - 0.01

    def remaining(self) -> float:
        return self.deadline - time.monotonic() if self.process == os.getpid() else 0.0

    def release(self) -> None:
        if self.process == os.getpid():
            self.deadline = -math.inf
            values = [repr(self.key), self.until]
            with closing(self.store.connect()) as db:
                db.execute("DELETE FROM locks WHERE name = ? AND until = ?", values)


class TestBareStore(StoreContract):
    """It keeps to the contract."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "db"

    @pytest.fixture
    def make_store(self) -> Callable[[], BareStore]:
        return functools.partial(BareStore, self.path)

    def damage(self, store: TokenStore, key: StoreKey) -> None:
        del store, key
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("UPDATE tokens SET record = substr(record, 1, 99)")


def test_bytes_of_a_record(key: StoreKey, other_key: StoreKey, make_record: MakesRecords) -> None:
    """They come back as the record, with a key or without; never as another organization's."""
    record = make_record()
    assert decode(encode(record)) == record
    assert decode(encode(record, key=key)) == record
    assert decode(encode(record, key=key), key=key) == record
    for data in (encode(record), encode(record, key=other_key)):
        with pytest.raises(StoreCorruptError, match="belongs to another"):
            decode(data, key=key)


@pytest.mark.parametrize("damage", [b"", b"5ec2e7", b'{"format": 9}'])
def test_bytes_that_are_none_of_a_record_are_an_error(
    damage: bytes, make_record: MakesRecords
) -> None:
    """The error says what is wrong, and neither it nor its frames show any of the bytes."""
    for data in (damage, encode(make_record())[:-2] + b" "):
        with pytest.raises(StoreCorruptError, match="cannot use the record: it ") as caught:
            decode(data)
        frames = [entry.frame for entry in caught.traceback[1:]]
        assert not any("5ec2e7" in repr(frame.f_locals) for frame in frames)
        assert "5ec2e7" not in str(caught.value)
        assert caught.value.__cause__ is caught.value.__context__ is None


def test_whoever_writes_a_store_needs_no_private_module() -> None:
    """All parts of a record are exported, each under its one name."""
    parts = {field.type for field in dataclasses.fields(Record)}
    names = {word for part in parts for word in str(part).replace("|", " ").split()}
    assert names - {"int", "float", "str", "None"} <= set(stores.__all__)
    for name in set(stores.__all__):
        assert getattr(stores, name) is not None


def test_no_database_is_imported_before_it_is_needed() -> None:
    """Neither with the package nor with its stores."""
    program = "import sys, httpx_cobo_auth.stores; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
