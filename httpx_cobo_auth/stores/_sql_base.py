"""What both kinds of store over a database have."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores._sealing import Codec
from httpx_cobo_auth.stores._sql_extra import database
from httpx_cobo_auth.stores._uncopied import Uncopied

if TYPE_CHECKING:
    from collections.abc import Hashable

    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncEngine

    from httpx_cobo_auth.stores._sql_engine import Database
    from httpx_cobo_auth.stores._sql_records import SqlRecords

__all__ = ["SqlBase"]


class SqlBase(Uncopied):
    """Base of a store that keeps its records in one table."""

    shared = True
    _why_uncopied = "it holds connections, and perhaps a password; make one in each process"
    _awaits: ClassVar[bool]

    def __init__(
        self,
        engine_or_url: str | sa.URL | sa.Engine | AsyncEngine,
        *,
        table: str = "cobo_tokens",
        encryption_key: bytes | str | None = None,
        timeout: float = 5.0,
        auto_create: bool = False,
    ) -> None:
        """Connect to nothing yet."""
        try:
            codec = Codec(encryption_key)
            self._database: Database = database(engine_or_url, timeout)
        finally:
            del engine_or_url, encryption_key  # A traceback with locals must not show them.
        if self._database.awaits != self._awaits:
            message = (
                f"a {type(self).__name__} needs {'an async' if self._awaits else 'a sync'} engine"
            )
            raise ConfigurationError(message)
        from httpx_cobo_auth.stores._sql_records import SqlRecords  # noqa: PLC0415 - an extra

        self._records: SqlRecords = SqlRecords(table, self._database.backend, codec)
        self._timeout = timeout
        self._auto_create = auto_create

    @property
    def identity(self) -> Hashable:
        """Which objects are the same store: same database and table."""
        return "sql", self._database.identity, self._records.name

    def __repr__(self) -> str:
        """Show the kind of database and the table; the URL could hold a password."""
        return f"<{type(self).__name__} of {self._records.name!r} in {self._database.backend}>"
