"""Where tokens live, and who may renew them."""

from httpx_cobo_auth.stores.base import AsyncTokenStore, TokenStore
from httpx_cobo_auth.stores.memory import MemoryStore

__all__ = ["AsyncTokenStore", "MemoryStore", "TokenStore"]
