"""What a database says went wrong, without any secret.

An error of SQLAlchemy repeats statement and parameters, and one of a database may repeat the row:
either has the tokens in it. So of a statement that failed only the kind of error is told, and its
code. Where there was no connection yet, there was no token either, and the text says what to do.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from httpx_cobo_auth.stores._checks import Trouble

__all__ = ["MissingTable", "explain", "worth_repeating"]

_LONGEST_TEXT = 300
# Statements that got into each other's way: SQLSTATE, or the number of MySQL.
_COLLISIONS = {"40001", "40P01", 1213, 1020}
_NO_TABLE = {"42P01", 1146}


class MissingTable(Trouble):
    """The table does not exist."""


def explain(error: Exception, password: str | None) -> Trouble:
    """Return what went wrong."""
    if isinstance(error, PoolTimeoutError):
        return Trouble("all connections of the engine are in use")
    if isinstance(error, OSError):  # as asyncpg has it where it cannot connect
        return Trouble(_told(error, password))
    if not isinstance(error, DBAPIError):
        return Trouble(type(error).__name__)
    reason: Any = error.orig
    if error.statement is None:
        return Trouble(_told(reason, password))
    code = _code(reason)
    if code in _NO_TABLE or "no such table" in str(reason):
        return MissingTable(
            "its table is missing; call create_table(), or create it as the docs say"
        )
    return Trouble(f"{type(reason).__name__} ({code})" if code else type(reason).__name__)


def worth_repeating(error: Exception) -> bool:
    """Whether it may succeed at once where it is tried again: connection lost, or a collision."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or _code(error.orig) in _COLLISIONS
    )


def _told(error: object, password: str | None) -> str:
    text = " ".join(str(error).split())
    if password:
        text = text.replace(password, "***")
    return f"{type(error).__name__}: {text}"[:_LONGEST_TEXT]


def _code(error: Any) -> str | int | None:  # noqa: ANN401 - of any driver
    """Return the number of MySQL, the SQLSTATE, or the name of SQLite."""
    arguments = getattr(error, "args", ())
    if arguments and isinstance(arguments[0], int):
        return arguments[0]
    codes = (getattr(error, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorname"))
    return next((code for code in codes if isinstance(code, str)), None)
