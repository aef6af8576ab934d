"""Where tokens live, and who may renew them."""

from httpx_cobo_auth.stores.base import AsyncTokenStore, TokenStore
from httpx_cobo_auth.stores.file import FileStore
from httpx_cobo_auth.stores.keyring import KeyringStore
from httpx_cobo_auth.stores.memory import MemoryStore
from httpx_cobo_auth.stores.redis import RedisStore

__all__ = [
    "AsyncTokenStore",
    "FileStore",
    "KeyringStore",
    "MemoryStore",
    "RedisStore",
    "TokenStore",
]
