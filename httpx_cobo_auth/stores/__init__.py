"""Where tokens live, and who may renew them; and what a store of one's own is made of."""

from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.records import (
    PendingExchange,
    Record,
    StoreKey,
    TokenTrust,
    Trust,
    Version,
)
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.tokens import Token
from httpx_cobo_auth.stores._bytes import decode, encode
from httpx_cobo_auth.stores._urls import store_from_url
from httpx_cobo_auth.stores.base import AsyncStoreLock, AsyncTokenStore, StoreLock, TokenStore
from httpx_cobo_auth.stores.file import FileStore
from httpx_cobo_auth.stores.keyring import KeyringStore
from httpx_cobo_auth.stores.memory import MemoryStore
from httpx_cobo_auth.stores.redis import RedisStore
from httpx_cobo_auth.stores.sql import AsyncSqlStore, SqlStore

__all__ = [
    "AsyncSqlStore",
    "AsyncStoreLock",
    "AsyncTokenStore",
    "Backoff",
    "FileStore",
    "KeyringStore",
    "MemoryStore",
    "PendingExchange",
    "Record",
    "RedisStore",
    "RenewalThrottle",
    "SqlStore",
    "StoreKey",
    "StoreLock",
    "Token",
    "TokenStore",
    "TokenTrust",
    "Trust",
    "Version",
    "decode",
    "encode",
    "store_from_url",
]
