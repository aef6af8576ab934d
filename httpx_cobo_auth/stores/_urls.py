"""A store that is named by one line of text, such as an environment variable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores.file import FileStore
from httpx_cobo_auth.stores.memory import MemoryStore
from httpx_cobo_auth.stores.redis import RedisStore

if TYPE_CHECKING:
    from httpx_cobo_auth.stores.base import TokenStore

__all__ = ["store_from_url"]


def store_from_url(url: str, *, name: str = "COBO_TOKEN_STORE") -> TokenStore:
    """Return the store that a text names.

    Args:
        url: ``memory:``, ``file:/path/of/a/folder``, or ``redis://host``.
        name: of the variable that it comes from, for errors.

    Raises:
        ConfigurationError: it names no store.

    """
    scheme, _, rest = url.strip().partition(":")
    try:
        match scheme:
            case "memory":
                return MemoryStore()
            case "file" if rest:
                return FileStore(rest)
            case "redis" | "rediss":
                return RedisStore(url.strip())
            case _:
                message = f"{name}: expected memory:, file:/path/of/a/folder or redis://host"
    finally:
        del url, rest  # A traceback with locals must not show a password in it.
    raise ConfigurationError(message)
