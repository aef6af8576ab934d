"""The right to renew as a key in Redis that lapses should its owner die."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth.stores._checks import Trouble, attempt
from httpx_cobo_auth.stores._lapsing import LapsingLocks

if TYPE_CHECKING:
    from httpx_cobo_auth.stores._lapsing import Lease
    from httpx_cobo_auth.stores._redis_client import RedisClient

__all__ = ["redis_locks"]

_LOCK = """
if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('get', KEYS[1]) == ARGV[1] then return 1 end
return 0
"""

_UNLOCK = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


def redis_locks(client: RedisClient) -> LapsingLocks:
    """Return the locks of a Redis, each a key with the lease's name."""

    def take(lease: Lease) -> bool | Trouble:
        milliseconds = int(lease.ttl * 1000)
        return attempt(
            lambda: bool(client.eval(_LOCK, 1, lease.name, lease.owner, milliseconds)), Exception
        )

    def free(lease: Lease) -> object:
        return attempt(lambda: client.eval(_UNLOCK, 1, lease.name, lease.owner), Exception)

    return LapsingLocks(take, free)
