"""``SqlStore`` keeps to the contract on each database that it knows, sync and async."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth.stores import SqlStore
from httpx_cobo_auth.testing import StoreContract

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from httpx_cobo_auth import TokenStore
    from httpx_cobo_auth._protocol.records import StoreKey
    from tests.stores.databases import DatabaseServer, MariaServer, PostgresServer


class Served(StoreContract):
    """Over a server."""

    server: DatabaseServer
    url: str

    @pytest.fixture
    def make_store(self) -> Callable[[], SqlStore]:
        return functools.partial(SqlStore, self.url, timeout=1.0, auto_create=True)

    def damage(self, store: TokenStore, key: StoreKey) -> None:
        del store, key
        assert self.server.execute("UPDATE cobo_tokens SET record = '5ec2e7'") == 1

    @contextlib.contextmanager
    def cut_off(self, store: TokenStore) -> Generator[None]:
        del store
        with self.server.paused():
            yield


class TestPostgres(Served):
    @pytest.fixture(autouse=True)
    def place(self, postgres: PostgresServer) -> None:
        self.server, self.url = postgres, postgres.url


class TestAsyncPostgres(Served):
    @pytest.fixture(autouse=True)
    def place(self, postgres: PostgresServer) -> None:
        self.server, self.url = postgres, postgres.url.replace("psycopg", "asyncpg")


class TestMariaDB(Served):
    @pytest.fixture(autouse=True)
    def place(self, mariadb: MariaServer) -> None:
        self.server, self.url = mariadb, mariadb.url


class TestSQLite(StoreContract):
    driver = "pysqlite"
    options: dict[str, Any] = {}  # noqa: RUF012 - not changed

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "tokens.db"

    @pytest.fixture
    def make_store(self) -> Callable[[], SqlStore]:
        url = f"sqlite+{self.driver}:///{self.path}"
        return functools.partial(SqlStore, url, auto_create=True, **self.options)

    def damage(self, store: TokenStore, key: StoreKey) -> None:
        del store, key
        with contextlib.closing(sqlite3.connect(self.path)) as database, database:
            database.execute("UPDATE cobo_tokens SET record = substr(record, 1, 99)")

    @contextlib.contextmanager
    def cut_off(self, store: TokenStore) -> Generator[None]:
        del store
        away = self.path.rename(self.path.with_name("away"))
        self.path.mkdir()
        yield
        self.path.rmdir()
        away.rename(self.path)


class TestAsyncEncryptedSQLite(TestSQLite):
    driver = "aiosqlite"
    options = {"encryption_key": "ab" * 32}  # noqa: RUF012 - not changed
