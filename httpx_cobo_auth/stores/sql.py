"""Tokens in a relational database: for all processes of all hosts that reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from httpx_cobo_auth.stores._checks import Trouble
from httpx_cobo_auth.stores._folder import name_for
from httpx_cobo_auth.stores._lapsing import LapsingLocks
from httpx_cobo_auth.stores._limited import LimitedCalls
from httpx_cobo_auth.stores._sql_async import AsyncSqlStore
from httpx_cobo_auth.stores._sql_base import SqlBase
from httpx_cobo_auth.stores._sql_extra import available, is_async

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.stores._lapsing import LapsingHold, Lease

__all__ = ["AsyncSqlStore", "SqlStore"]

_T = TypeVar("_T")


class SqlStore(SqlBase):
    """Keeps tokens in a database that you have: PostgreSQL, MySQL, MariaDB or SQLite.

    By way of SQLAlchemy 2, and one table, which ``create_table()`` creates, or a migration of
    yours. Saving compares versions in the database, and the lock lapses there should its owner die,
    by the database's clock.

    One object serves any number of threads and of event loops, asyncio and trio: calls run in
    threads. It can be made before a fork: a child opens connections of its own.

    Given a URL, it opens few connections, and closes them after some time. With an engine of your
    own, that is up to the engine; its statements commit by themselves, and their parameters are
    not logged. An async engine, or the URL of one, makes an ``AsyncSqlStore`` instead.

    Everything that the database acknowledged must stay: no asynchronous commit, and no failover to
    a replica that is behind.

    Example:
        >>> store = SqlStore("postgresql+psycopg://user:password@db.internal/app")

    Args:
        engine_or_url: an ``Engine``, or a URL as SQLAlchemy reads it. The driver that it names has
            to be installed.
        table: its name; ``schema.name`` where it is in another schema than the default one.
        encryption_key: 32 random bytes, or 64 hex digits, to encrypt the records by, as for a
            ``FileStore``.
        timeout: seconds after which a call that has no answer is an error.
        auto_create: whether to create the table when it is missing; ``create_table()`` need not be
            called then.

    Raises:
        ConfigurationError: SQLAlchemy or the driver is not installed, or an argument is not usable.

    """

    blocking = True
    _awaits = False

    if not TYPE_CHECKING:  # To type checkers, what takes an async engine is AsyncSqlStore.

        def __new__(cls, engine_or_url: object, **options: object) -> object:
            """Make an ``AsyncSqlStore`` of what is async."""
            try:
                if cls is SqlStore and is_async(engine_or_url):
                    return AsyncSqlStore(engine_or_url, **options)
            finally:
                del engine_or_url, options  # A traceback with locals must not show them.
            return super().__new__(cls)

    def __init__(
        self,
        engine_or_url: str | sa.URL | sa.Engine,
        *,
        table: str = "cobo_tokens",
        encryption_key: bytes | str | None = None,
        timeout: float = 5.0,
        auto_create: bool = False,
    ) -> None:
        """Connect to nothing yet."""
        try:
            super().__init__(
                engine_or_url,
                table=table,
                encryption_key=encryption_key,
                timeout=timeout,
                auto_create=auto_create,
            )
        finally:
            del engine_or_url, encryption_key  # A traceback with locals must not show them.
        self._calls = LimitedCalls(timeout)
        self._locks = LapsingLocks(self._take, self._free)

    def create_table(self) -> None:
        """Create the table, if it is not there.

        Raises:
            StoreUnavailableError: the database cannot be reached, or refuses.

        """
        available(self._run(self._records.table.create))

    def close(self) -> None:
        """Close the connections, where they were made from a URL."""
        self._database.close()

    def keys(self) -> list[StoreKey]:
        """Return whose records there are. Those that cannot be understood are left out.

        Raises:
            StoreUnavailableError: the database cannot be reached, or refuses.

        """
        return available(self._run(self._records.listing))

    def load(self, key: StoreKey) -> Record | None:
        """Read the record, if there is one.

        Raises:
            StoreCorruptError: what is there cannot be understood. It is kept.
            StoreUnavailableError: the database cannot be reached, or refuses.

        """
        return self._records.loaded(key, self._run(self._records.reading(key)))

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Replace the record of that version, atomically.

        Raises:
            StoreConflictError: the stored version is another, or newer than the record.
            StoreCorruptError: what is stored cannot be understood. It is kept.
            StoreUnavailableError: nothing is known to have been saved.

        """
        self._records.saved(key, self._run(self._records.saving(key, record, expected)))

    def try_lock(self, key: StoreKey, *, ttl: float) -> LapsingHold | None:
        """Take the right to renew if nobody has it, for ``ttl`` seconds.

        Raises:
            StoreUnavailableError: the database cannot be reached, or refuses.

        """
        return available(self._locks.try_lock(name_for(key), ttl))

    def _take(self, lease: Lease) -> bool | Trouble:
        return self._run(
            lambda connection: self._records.table.take(connection, lease),
            # Begun before it is asked for: so it is given back, even if it is taken after all.
            late=lambda: self._locks.take_back(lease),
        )

    def _free(self, lease: Lease) -> object:
        return self._run(lambda connection: self._records.table.free(connection, lease))

    def _run(
        self,
        steps: Callable[[sa.Connection], _T],
        *,
        late: Callable[[], object] | None = None,
    ) -> _T | Trouble:
        return self._calls.call(lambda: self._carried_out(steps), late=late)

    def _carried_out(self, steps: Callable[[sa.Connection], _T]) -> _T | Trouble:
        result = self._database.run(steps)
        if self._auto_create and self._database.lacks_table(result):
            created = self._database.run(self._records.table.create)
            return created if isinstance(created, Trouble) else self._database.run(steps)
        return result
