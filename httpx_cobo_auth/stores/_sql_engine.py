"""What a ``SqlStore`` talks to a database by: an engine made from a URL, or the user's own.

One in each process: a forked child gets another engine or, where it is the user's, another pool,
and leaves the connections of its parent alone. Statements commit by themselves, and their
parameters are not logged, whatever the user's engine does otherwise.
"""

from __future__ import annotations

import contextlib
import math
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from anyio import to_thread
from sqlalchemy.pool import NullPool

from httpx_cobo_auth._cell import Cell
from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores._checks import Trouble, attempt
from httpx_cobo_auth.stores._sql_errors import MissingTable, explain, worth_repeating
from httpx_cobo_auth.stores._sql_table import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Database", "is_async", "parsed"]

_T = TypeVar("_T")
_ATTEMPTS = 3
# Connections that lie idle for longer may have been cut off by something in between.
_RECYCLE_S = 60
_IN_URL = ("host", "port", "unix_socket", "service", "options")
_DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pymysql": "pymysql",
    "MySQLdb": "mysqlclient",
    "asyncpg": "asyncpg",
    "aiosqlite": "aiosqlite",
}
# What a child must not touch, nor let go of: connections of its parent.
_inherited: list[object] = []


def parsed(engine_or_url: Any) -> Any:  # noqa: ANN401 - see SqlStore
    """Return a URL as one of SQLAlchemy's, checked; an engine as it is."""
    try:
        text_or_url = isinstance(engine_or_url, (str, sa.URL))
        return _checked(engine_or_url) if text_or_url else engine_or_url
    finally:
        del engine_or_url  # A traceback with locals must not show a password in it.


def _checked(text_or_url: str | sa.URL) -> sa.URL:
    """Return a URL of a database that this package knows.

    Raises:
        ConfigurationError: it is none. The message shows nothing of it but the kind of database.

    """
    try:
        url = attempt(partial(sa.make_url, text_or_url), Exception, detailed=False)
    finally:
        del text_or_url
    if isinstance(url, Trouble):
        message = (
            "the database URL is not one: expected postgresql+psycopg://user:password@host/name, "
            "mysql+pymysql://… or sqlite:///path"
        )
        raise ConfigurationError(message)
    backend, path = url.get_backend_name(), url.database or ""
    if backend not in BACKENDS:
        message = f"a SqlStore knows PostgreSQL, MySQL, MariaDB and SQLite, not {backend!r}"
        raise ConfigurationError(message)
    if isinstance(attempt(url.get_dialect, Exception), Trouble):
        message = f"SQLAlchemy has no driver called {url.drivername}"
        raise ConfigurationError(message)
    if backend != "sqlite":
        return url
    if not path or ":memory:" in path or "memory" in url.query.values():
        message = "a database in memory belongs to one connection; take a MemoryStore instead"
        raise ConfigurationError(message)
    if path.startswith("file:"):
        return url
    # Not to be another one once the program has changed its folder.
    return url.set(database=str(Path(path).absolute()))


def is_async(engine_or_url: object) -> bool:
    """Whether it is an async engine, or the URL of one."""
    if isinstance(engine_or_url, sa.URL):
        return bool(engine_or_url.get_dialect().is_async)
    return isinstance(getattr(engine_or_url, "sync_engine", None), sa.Engine)


class Database:
    """An engine as a store uses it.

    Attributes:
        backend: kind of database, such as ``postgresql``.
        awaits: whether the engine is an async one.

    """

    def __init__(self, engine_or_url: Any, timeout: float) -> None:  # noqa: ANN401 - see SqlStore
        """Connect to nothing yet."""
        self.awaits = is_async(engine_or_url)
        self._closed = False
        self._own = isinstance(engine_or_url, sa.URL)
        if self._own:
            self._url: sa.URL = engine_or_url
            self._engines: Cell[Any] = Cell(partial(_made, engine_or_url, timeout))
        else:
            self._url = _checked(_sync(engine_or_url).url)
            self._engines = Cell(partial(_adopted, engine_or_url, os.getpid()))
        self.backend: str = self._url.get_backend_name()
        path = self._url.database or ""
        is_file = self._own and self.backend == "sqlite" and not path.startswith("file:")
        self._file = path if is_file else None

    @property
    def engine(self) -> Any:  # noqa: ANN401 - an Engine, or an AsyncEngine
        """This process's engine."""
        return self._engines.value

    @property
    def identity(self) -> Hashable:
        """Which objects are of the same database."""
        url = self._url
        more = tuple(str(url.query.get(name, "")) for name in _IN_URL)
        if not (url.host or url.database or any(more)):
            return id(self._engines)  # it connects by a function of the user's
        return self.backend, url.username, url.host, url.port, url.database, *more

    def close(self) -> None:
        """Close the connections, where the engine was made from a URL."""
        self._closed = True
        if self._own:
            self.engine.dispose()

    async def aclose(self) -> None:
        """As ``close``, of an async engine."""
        if self._own:
            await self.engine.dispose()

    def lacks_table(self, result: object) -> bool:
        """Whether steps failed because the table does not exist."""
        return isinstance(result, MissingTable)

    def run(self, steps: Callable[[sa.Connection], _T]) -> _T | Trouble:
        """Return what the steps return over a connection, or why not; it raises nothing."""
        if self._file:
            _make_private(self._file)
        attempts = 0
        while True:
            attempts += 1
            try:
                with self.engine.connect() as connection:
                    return steps(connection)
            except Exception as error:  # noqa: BLE001 - a driver may have any
                trouble = explain(error, self._password)
                if attempts == _ATTEMPTS or not worth_repeating(error):
                    return trouble
            finally:
                if self._closed:
                    # A call that was late, or came later: it has opened a connection again.
                    self.close()

    async def arun(self, steps: Callable[[sa.Connection], _T]) -> _T | Trouble:
        """As ``run``, over an async engine."""
        if self._file:
            await to_thread.run_sync(_make_private, self._file)
        attempts = 0
        while True:
            attempts += 1
            try:
                async with self.engine.connect() as connection:
                    result: _T = await connection.run_sync(steps)
                    return result
            except Exception as error:  # noqa: BLE001 - a driver may have any
                trouble = explain(error, self._password)
                if attempts == _ATTEMPTS or not worth_repeating(error):
                    return trouble

    @property
    def _password(self) -> str | None:
        return str(self._url.password) if self._url.password else None


def _make_private(path: str) -> None:
    """Make the file of a database that has none yet, for its owner alone."""
    # Where this fails, the database says why; mostly it fails because the file is there.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _sync(engine: Any) -> sa.Engine:  # noqa: ANN401 - what it is, is found out
    sync_engine = getattr(engine, "sync_engine", engine)
    if not isinstance(sync_engine, sa.Engine):
        message = f"expected a URL or an Engine of SQLAlchemy, got a {type(engine).__name__}"
        raise ConfigurationError(message)
    return sync_engine


def _made(url: sa.URL, timeout: float) -> Any:  # noqa: ANN401 - of either kind
    try:
        return _private(_new_engine(url, timeout))
    except ImportError as error:
        driver = error.name or "?"
        package = _DRIVERS.get(driver, driver)
        message = f"the driver of {url.drivername}:// is not installed: pip install '{package}'"
    raise ConfigurationError(message)


def _new_engine(url: sa.URL, timeout: float) -> Any:  # noqa: ANN401 - of either kind
    whole_s = math.ceil(timeout)
    three: dict[str, float] = dict.fromkeys(
        ("connect_timeout", "read_timeout", "write_timeout"), whole_s
    )
    limits: dict[str, dict[str, float]] = {
        "psycopg": {"connect_timeout": whole_s, "tcp_user_timeout": whole_s * 1000},
        "psycopg2": {"connect_timeout": whole_s, "tcp_user_timeout": whole_s * 1000},
        "pymysql": three,
        "mysqldb": three,
        "asyncpg": {"timeout": timeout, "command_timeout": timeout},
        "pysqlite": {"timeout": timeout},
        "aiosqlite": {"timeout": timeout},
    }
    chosen = limits.get(url.get_driver_name(), {})
    options: dict[str, Any] = {
        "connect_args": {name: limit for name, limit in chosen.items() if name not in url.query},
        "hide_parameters": True,
    }
    if is_async(url):
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - needs greenlet

        # Connections belong to the event loop that opened them.
        return create_async_engine(url, poolclass=NullPool, **options)
    if url.get_backend_name() == "sqlite":
        return sa.create_engine(url, poolclass=NullPool, **options)
    return sa.create_engine(url, pool_recycle=_RECYCLE_S, pool_timeout=timeout, **options)


def _adopted(engine: Any, process: int) -> Any:  # noqa: ANN401 - of either kind
    """Return the user's engine with options of ours; in a child, with a pool of its own."""
    sync_engine = _sync(engine)
    if os.getpid() != process:
        _inherited.append(sync_engine.pool)
        sync_engine.dispose(close=False)
    return _private(engine)


def _private(engine: Any) -> Any:  # noqa: ANN401 - of either kind
    ours = engine.execution_options(isolation_level="AUTOCOMMIT")
    _sync(ours).hide_parameters = True
    return ours
