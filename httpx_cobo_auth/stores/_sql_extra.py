"""What a ``SqlStore`` needs of modules that cannot be imported without SQLAlchemy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, TypeVar

from httpx_cobo_auth.errors import ConfigurationError, StoreUnavailableError
from httpx_cobo_auth.stores._checks import Trouble

if TYPE_CHECKING:
    from httpx_cobo_auth.stores._sql_engine import Database

__all__ = ["available", "database", "is_async", "on_asyncio"]

_T = TypeVar("_T")


def database(engine_or_url: Any, timeout: float) -> Database:  # noqa: ANN401 - see SqlStore
    """Return the database of an engine or URL.

    Raises:
        ConfigurationError: SQLAlchemy or the driver is not installed, or there is no such database.

    """
    try:
        _require_sqlalchemy()
        from httpx_cobo_auth.stores._sql_engine import Database, parsed  # noqa: PLC0415 - an extra

        return Database(parsed(engine_or_url), timeout)
    finally:
        del engine_or_url  # A traceback with locals must not show a password in it.


def is_async(engine_or_url: Any) -> bool:  # noqa: ANN401 - see SqlStore
    """Whether it is an async engine, or the URL of one.

    Raises:
        ConfigurationError: SQLAlchemy is not installed, or the URL is none.

    """
    try:
        _require_sqlalchemy()
        from httpx_cobo_auth.stores import _sql_engine  # noqa: PLC0415 - an extra

        return _sql_engine.is_async(_sql_engine.parsed(engine_or_url))
    finally:
        del engine_or_url  # A traceback with locals must not show a password in it.


def available(result: _T | Trouble) -> _T:
    """Return the result.

    Raises:
        StoreUnavailableError: there is none.

    """
    if isinstance(result, Trouble):
        message = f"the database cannot be used: {result.text}"
        raise StoreUnavailableError(message)
    return result


def on_asyncio() -> bool:
    """Whether it is an event loop of asyncio that runs here."""
    from asyncio import get_running_loop  # noqa: PLC0415 - takes longer than all of this package

    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


def _require_sqlalchemy() -> None:
    try:
        importlib.import_module("sqlalchemy")
    except ImportError:
        message = "SqlStore needs SQLAlchemy: pip install 'httpx-cobo-auth[sql]'"
        raise ConfigurationError(message) from None
