"""A store that is named by one line of text, such as an environment variable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores._checks import Trouble, attempt
from httpx_cobo_auth.stores.file import FileStore
from httpx_cobo_auth.stores.keyring import KeyringStore
from httpx_cobo_auth.stores.memory import MemoryStore
from httpx_cobo_auth.stores.redis import RedisStore
from httpx_cobo_auth.stores.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.stores.base import TokenStore

__all__ = ["store_from_url"]

# Two letters at least: C:\tokens is a path.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_PATH = re.compile(r"[~./\\]|[A-Za-z]:[/\\]")
_DATABASES = {"mariadb", "mysql", "postgres", "postgresql", "sqlite"}
_EXPECTED = (
    "expected memory:, file:/path/of/a/folder, keyring: or keyring:service, redis://host, "
    "rediss://host, unix:///path/of/a/socket, postgresql+psycopg://user:password@host/database, "
    "mysql+pymysql://user:password@host/database or sqlite:///path/of/a/file"
)


def store_from_url(url: str, *, name: str = "COBO_TOKEN_STORE") -> TokenStore:
    """Return the store that a text names.

    - ``memory:`` is a ``MemoryStore``.
    - ``file:/path`` or ``file:relative/path`` is a ``FileStore`` in that folder; ``~`` is expanded.
    - ``keyring:`` or ``keyring:service`` is a ``KeyringStore``.
    - ``redis://…``, ``rediss://…`` and ``unix://…`` are a ``RedisStore``, as redis-py reads them.
    - ``postgresql+psycopg://…``, ``mysql+pymysql://…`` and ``sqlite:///…`` are a ``SqlStore``, as
      SQLAlchemy reads them; its table is created if it is missing.

    Args:
        url: the text. It may hold a password, which no error shows.
        name: of the variable that it comes from, for errors.

    Raises:
        ConfigurationError: it names no store, or an extra or driver is not installed. The message
            says which.

    """
    try:
        store = attempt(_opener(url.strip()), ConfigurationError)
    finally:
        del url  # A traceback with locals must not show a password in it.
    if isinstance(store, Trouble):
        reason = store.text.removeprefix(f"{ConfigurationError.__name__}: ")
        message = f"{name}: {reason}"
        raise ConfigurationError(message)
    return store


def _opener(url: str) -> Callable[[], TokenStore]:
    return lambda: _opened(url)


def _opened(url: str) -> TokenStore:
    found = _SCHEME.fullmatch(url)
    if found is None:
        raise ConfigurationError(_no_scheme(url))
    scheme, rest = found[1].lower(), found[2]
    match scheme:
        case "memory" if rest in {"", "//"}:
            return MemoryStore()
        case "file":
            return FileStore(_path(rest))
        case "keyring" if rest.strip("/"):
            return KeyringStore(rest.strip("/"))
        case "keyring":
            return KeyringStore()
        case "redis" | "rediss" | "unix":
            return RedisStore(url)
        case _ if scheme.partition("+")[0] in _DATABASES:
            return _sql_store(url)
        case _:
            message = f"no store is called {scheme}:…; {_EXPECTED}"
            raise ConfigurationError(message)


def _sql_store(url: str) -> SqlStore:
    # What others call it, such as in DATABASE_URL.
    url = re.sub(r"^postgres:", "postgresql:", url, flags=re.IGNORECASE)
    store = SqlStore(url, auto_create=True)
    if type(store) is not SqlStore:  # see its __new__
        message = (
            "it names an async driver, and sync clients need a store, too; expected a sync one, "
            "such as postgresql+psycopg://, mysql+pymysql:// or sqlite://"
        )
        raise ConfigurationError(message)
    return store


def _path(rest: str) -> str:
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    if not path or path.startswith("//"):
        message = "file: needs the path of a folder, and no host: file:/path or file:relative/path"
        raise ConfigurationError(message)
    return path


def _no_scheme(url: str) -> str:
    if not url:
        return f"it is empty; {_EXPECTED}"
    if _PATH.match(url):
        return f"it looks like a path; for a folder write file:{url}"
    # What it is instead may be a secret that was meant for another variable.
    return f"it does not begin with a scheme; {_EXPECTED}"
