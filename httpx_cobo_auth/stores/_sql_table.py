"""The table of a ``SqlStore``, and what is done with it.

One row for each key: the record with a number that counts its saves, and the lease of the right
to renew. Each step is one statement, which a database carries out wholly or not at all, so no
transactions are needed: connections commit by themselves. Each can be sent twice, as is done
where the answer was lost: what the first time did is recognised the second time.

Time is the database's, in whole milliseconds since the epoch, which no time zone changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError, IntegrityError

from httpx_cobo_auth.stores._checks import Secret

if TYPE_CHECKING:
    from httpx_cobo_auth.stores._lapsing import Lease

__all__ = ["BACKENDS", "TokenTable"]

_NOW_MS = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    "mysql": "timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) DIV 1000",
    "mariadb": "timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) DIV 1000",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}
BACKENDS = frozenset(_NOW_MS)


class _RecordBytes(sa.types.TypeDecorator[Secret]):
    """Bytes that a log of fetched rows does not show."""

    impl = sa.LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        # A BLOB of MySQL ends at 64 KiB; a record may be longer.
        mysqls = {"mysql", "mariadb"}
        kind = mysql.MEDIUMBLOB() if dialect.name in mysqls else sa.LargeBinary()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: Secret | None, dialect: sa.Dialect) -> bytes | None:
        del dialect
        return value.data if value is not None else None

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Secret | None:  # noqa: ANN401
        del dialect
        return Secret(bytes(value)) if value is not None else None


class TokenTable:
    """Statements for one table of one kind of database. The methods take an open connection."""

    def __init__(self, name: str, backend: str) -> None:
        """Name the table; ``schema.table`` where it is in another schema than the default."""
        schema, _, table = name.rpartition(".")
        self._table = sa.Table(
            table,
            sa.MetaData(schema=schema or None),
            sa.Column("name", sa.String(80), primary_key=True),
            sa.Column("version", sa.BigInteger, nullable=False),
            sa.Column("record", _RecordBytes),
            sa.Column("lock_owner", sa.String(32)),
            sa.Column("locked_until", sa.BigInteger),
            mysql_engine="InnoDB",
            mariadb_engine="InnoDB",
        )
        self._now: sa.ColumnElement[int] = sa.literal_column(_NOW_MS[backend], sa.BigInteger)

    def create(self, connection: sa.Connection) -> None:
        """Create the table, if it is not there."""
        try:
            self._table.metadata.create_all(connection)
        except DBAPIError:
            # Another process creates it, too.
            if not sa.inspect(connection).has_table(self._table.name, self._table.schema):
                raise

    def read(self, connection: sa.Connection, name: str) -> tuple[int, Secret | None] | None:
        """Return the number and the record of a row; ``None`` where there is no row."""
        columns = self._table.c
        query = sa.select(columns.version, columns.record).where(columns.name == name)
        row = connection.execute(query).one_or_none()
        return (row[0], row[1]) if row is not None else None

    def replace(self, connection: sa.Connection, name: str, version: int, record: Secret) -> bool:
        """Replace the record of that number, and return whether it still had it."""
        columns = self._table.c
        change = (
            sa.update(self._table)
            .where(columns.name == name, columns.version == version)
            .values(version=version + 1, record=record)
        )
        return connection.execute(change).rowcount == 1

    def insert(self, connection: sa.Connection, name: str, record: Secret) -> bool:
        """Add a row with a record, and return whether there was none."""
        return self._insert(connection, name=name, version=1, record=record)

    def take(self, connection: sa.Connection, lease: Lease) -> bool:
        """Take the lock if it is free, lapsed, or the lease's own; return whether it is held."""
        columns = self._table.c
        lock: dict[str, Any] = {
            "lock_owner": lease.owner,
            "locked_until": self._now + int(lease.ttl * 1000),
        }
        free = sa.or_(
            columns.lock_owner.is_(None),
            columns.lock_owner == lease.owner,
            columns.locked_until <= self._now,
        )
        change = sa.update(self._table).where(columns.name == lease.name, free).values(**lock)
        if connection.execute(change).rowcount == 1:
            return True
        there = sa.select(columns.version).where(columns.name == lease.name)
        if connection.execute(there).one_or_none() is not None:
            return False
        # Whoever adds the row first has the lock.
        return self._insert(connection, name=lease.name, version=0, **lock)

    def free(self, connection: sa.Connection, lease: Lease) -> None:
        """Release the lock, if that lease's owner has it."""
        columns = self._table.c
        change = (
            sa.update(self._table)
            .where(columns.name == lease.name, columns.lock_owner == lease.owner)
            .values(lock_owner=None, locked_until=None)
        )
        connection.execute(change)

    def all(self, connection: sa.Connection) -> list[tuple[str, Secret]]:
        """Return the name and record of each row that has a record."""
        columns = self._table.c
        query = (
            sa.select(columns.name, columns.record)
            .where(columns.record.is_not(None))
            .order_by(columns.name)
        )
        return [(row[0], row[1]) for row in connection.execute(query)]

    def _insert(self, connection: sa.Connection, **values: Any) -> bool:  # noqa: ANN401
        try:
            connection.execute(sa.insert(self._table).values(**values))
        except IntegrityError:
            return False
        return True
