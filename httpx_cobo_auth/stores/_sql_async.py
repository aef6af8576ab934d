"""Tokens in a relational database, by way of an async engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from httpx_cobo_auth.stores._checks import Trouble
from httpx_cobo_auth.stores._folder import name_for
from httpx_cobo_auth.stores._lapsing import Lease
from httpx_cobo_auth.stores._sql_base import SqlBase
from httpx_cobo_auth.stores._sql_extra import available, on_asyncio

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version

__all__ = ["AsyncSqlHold", "AsyncSqlStore"]

_T = TypeVar("_T")


class AsyncSqlStore(SqlBase):
    """A ``SqlStore`` over an async engine, such as one of asyncpg or aiosqlite.

    For async clients under asyncio; SQLAlchemy has nothing for trio. Take it where your program
    has an async engine anyway; a ``SqlStore`` serves async clients as well.

    Given a URL, it opens a connection for each call, and serves any number of event loops. An
    engine of your own belongs to the one event loop that opened its connections.

    Args:
        engine_or_url: an ``AsyncEngine``, or the URL of one.
        table: as of ``SqlStore``.
        encryption_key: as of ``SqlStore``.
        timeout: as of ``SqlStore``.
        auto_create: as of ``SqlStore``.

    Raises:
        ConfigurationError: SQLAlchemy, greenlet or the driver is not installed, or an argument is
            not usable.

    """

    _awaits = True

    async def create_table(self) -> None:
        """As ``SqlStore.create_table``."""
        available(await self._run(self._records.table.create))

    async def aclose(self) -> None:
        """Close the connections, where they were made from a URL."""
        await self._database.aclose()

    async def keys(self) -> list[StoreKey]:
        """As ``SqlStore.keys``."""
        return available(await self._run(self._records.listing))

    async def load(self, key: StoreKey) -> Record | None:
        """As ``SqlStore.load``."""
        return self._records.loaded(key, await self._run(self._records.reading(key)))

    async def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """As ``SqlStore.save``."""
        self._records.saved(key, await self._run(self._records.saving(key, record, expected)))

    async def try_lock(self, key: StoreKey, *, ttl: float) -> AsyncSqlHold | None:
        """As ``SqlStore.try_lock``. Where it is cancelled, a lock that was taken is given back."""
        lease = Lease(name_for(key), ttl)
        hold = AsyncSqlHold(self, lease)
        taken: bool | Trouble = Trouble("cancelled")
        try:
            taken = await self._run(lambda connection: self._records.table.take(connection, lease))
        finally:
            if isinstance(taken, Trouble):
                await hold.release()
        return hold if available(taken) else None

    async def free(self, lease: Lease) -> None:
        """Release a lock, within the time limit of any call; what a lock's ``release`` does."""
        from anyio import CancelScope  # noqa: PLC0415 - as below

        with CancelScope(shield=True):
            await self._run(lambda connection: self._records.table.free(connection, lease))

    async def _run(self, steps: Callable[[sa.Connection], _T]) -> _T | Trouble:
        if not on_asyncio():
            return Trouble("an async engine needs asyncio; give SqlStore a sync engine")
        from asyncio import timeout  # noqa: PLC0415 - takes longer than all of this package

        try:
            async with timeout(self._timeout):
                return await self._carried_out(steps)
        except TimeoutError:
            return Trouble(f"no answer within {self._timeout:g} s")

    async def _carried_out(self, steps: Callable[[sa.Connection], _T]) -> _T | Trouble:
        result = await self._database.arun(steps)
        if self._auto_create and self._database.lacks_table(result):
            created = await self._database.arun(self._records.table.create)
            return created if isinstance(created, Trouble) else await self._database.arun(steps)
        return result


class AsyncSqlHold:
    """A lock in an async ``SqlStore``, as an ``AsyncStoreLock``."""

    def __init__(self, store: AsyncSqlStore, lease: Lease) -> None:
        """Hold what was taken, or may have been."""
        self._store = store
        self._lease = lease

    def remaining(self) -> float:
        """Seconds for which it is certainly held; 0.0 once released, and in a forked child."""
        return self._lease.remaining()

    async def release(self) -> None:
        """Release it, if it is still ours; where the database does not answer, it lapses."""
        if self._lease.end():
            await self._store.free(self._lease)
