"""What a ``SqlStore`` does over a connection, sync or async, and what comes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from httpx_cobo_auth.errors import (
    ConfigurationError,
    StoreConflictError,
    StoreCorruptError,
)
from httpx_cobo_auth.stores._folder import name_for
from httpx_cobo_auth.stores._sql_extra import available
from httpx_cobo_auth.stores._sql_table import TokenTable

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.stores._checks import Secret, Trouble
    from httpx_cobo_auth.stores._sealing import Codec

__all__ = ["SqlRecords"]

_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Flaw:
    """Why what is stored cannot be understood."""

    text: str


class SqlRecords:
    """Records in a table: steps to be run over a connection, and what their results mean."""

    def __init__(self, table: str, backend: str, codec: Codec) -> None:
        """Name the table.

        Raises:
            ConfigurationError: that is no name for one.

        """
        if not _TABLE.fullmatch(table):
            message = f"table must be a plain name, or schema.name; got {table!r}"
            raise ConfigurationError(message)
        self.name = table
        self.table = TokenTable(table, backend)
        self._codec = codec

    def reading(self, key: StoreKey) -> Callable[[sa.Connection], Record | _Flaw | None]:
        """Return the steps that read a record."""

        def steps(connection: sa.Connection) -> Record | _Flaw | None:
            found = self.table.read(connection, name_for(key))
            return self._record(key, found[1]) if found is not None else None

        return steps

    def saving(
        self, key: StoreKey, record: Record, expected: Version
    ) -> Callable[[sa.Connection], bool | _Flaw]:
        """Return the steps that replace a record; they return whether they did."""
        name, content = name_for(key), self._codec.encode(key, record)

        def steps(connection: sa.Connection) -> bool | _Flaw:
            for _ in range(_ATTEMPTS):
                found = self.table.read(connection, name)
                number, secret = found if found is not None else (0, None)
                stored = self._record(key, secret)
                if isinstance(stored, _Flaw):
                    return stored
                if stored == record:
                    return True  # by an attempt whose answer was lost
                version: Version = stored.version if stored is not None else (0, None)
                if version != expected or record.generation < version[0]:
                    return False
                if found is None:
                    saved = self.table.insert(connection, name, content)
                else:
                    saved = self.table.replace(connection, name, number, content)
                if saved:
                    return True
            return False

        return steps

    def listing(self, connection: sa.Connection) -> list[StoreKey]:
        """Return whose records there are."""
        keys: list[StoreKey] = []
        for name, content in self.table.all(connection):
            key = self._codec.key_of(content)
            # One that was moved to another's place is not a record of that one's.
            if key is not None and name_for(key) == name:
                keys.append(key)
        return keys

    def loaded(self, key: StoreKey, result: Record | _Flaw | Trouble | None) -> Record | None:
        """Return the record, or raise what came instead."""
        found = available(result)
        if isinstance(found, _Flaw):
            raise self._corrupt(key, found)
        return found

    def saved(self, key: StoreKey, result: bool | _Flaw | Trouble) -> None:  # noqa: FBT001 - a result
        """Raise what prevented it."""
        done = available(result)
        if isinstance(done, _Flaw):
            raise self._corrupt(key, done)
        if not done:
            message = "the record moved on since it was read"
            raise StoreConflictError(message)

    def _record(self, key: StoreKey, secret: Secret | None) -> Record | _Flaw | None:
        if secret is None:
            return None
        record = self._codec.decode(key, secret)
        return _Flaw(record) if isinstance(record, str) else record

    def _corrupt(self, key: StoreKey, flaw: _Flaw) -> StoreCorruptError:
        place = f"row {name_for(key)} of the table {self.name}"
        return StoreCorruptError(f"cannot use the {place}: {flaw.text}. It was left as it is")
