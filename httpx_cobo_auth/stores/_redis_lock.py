"""The right to renew as a key in Redis that lapses should its owner die.

A call that had no answer may still have its effect, once a server that hung goes on: a lock
that nobody knows to hold, or one that was not released. So what may be left behind is taken
back in the background, until the server answers or the lock has lapsed anyway.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from httpx_cobo_auth._forking import forget_on_fork
from httpx_cobo_auth.stores._checks import Trouble, attempt

if TYPE_CHECKING:
    from httpx_cobo_auth.stores._redis_client import RedisClient

__all__ = ["RedisHold", "RedisLocks"]

# Clocks of two machines drift apart by far less than this.
_CERTAIN = 0.99
_RETRY_S = 0.25

_LOCK = """
if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('get', KEYS[1]) == ARGV[1] then return 1 end
return 0
"""

_UNLOCK = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


class RedisLocks:
    """Takes locks, and takes back those that nobody knows to be held."""

    def __init__(self, client: RedisClient) -> None:
        """Hold none yet."""
        self._client = client
        self._reset()
        forget_on_fork(self, RedisLocks._reset)

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._left: deque[RedisHold] = deque()

    def try_lock(self, name: str, ttl: float) -> RedisHold | Trouble | None:
        """Take the lock of that name for ``ttl`` seconds if nobody has it."""
        owner = secrets.token_hex(16)
        # Counted from before it was asked for: the server counts from later.
        hold = RedisHold(self, name, owner, time.monotonic(), ttl)
        taken = attempt(
            lambda: self._client.eval(_LOCK, 1, name, owner, int(ttl * 1000)), Exception
        )
        if isinstance(taken, Trouble):
            self.take_back(hold)
            return taken
        return hold if taken else None

    def unlock(self, hold: RedisHold) -> bool:
        """Release a lock on the server, if it is still the same; tell whether it answered."""
        result = attempt(lambda: self._client.eval(_UNLOCK, 1, hold.name, hold.owner), Exception)
        return not isinstance(result, Trouble)

    def take_back(self, hold: RedisHold) -> None:
        """Release a lock as soon as the server answers, or leave it to lapse."""
        with self._mutex:
            self._left.append(hold)
            if len(self._left) == 1:
                threading.Thread(target=self._take_all_back, daemon=True).start()

    def _take_all_back(self) -> None:
        left = self._left
        while True:
            hold = left[0]
            if hold.lapsed or self.unlock(hold):
                with self._mutex:
                    left.popleft()
                    if not left:
                        return
            else:
                time.sleep(_RETRY_S)


class RedisHold:
    """A lock in Redis, as a ``StoreLock``.

    Attributes:
        name: of the key.
        owner: its value, unlike any other owner's.

    """

    def __init__(self, locks: RedisLocks, name: str, owner: str, begun: float, ttl: float) -> None:
        """Hold it for ``ttl`` seconds from that moment of the monotonic clock."""
        self.name = name
        self.owner = owner
        self._locks = locks
        self._until = begun + ttl * _CERTAIN
        self._gone_by = begun + 2 * ttl
        self._released = False
        self._process = os.getpid()

    @property
    def lapsed(self) -> bool:
        """Whether the server has surely released it by itself; it may have hung meanwhile."""
        return time.monotonic() > self._gone_by

    def remaining(self) -> float:
        """Seconds for which it is certainly held; 0.0 once released, and in a forked child."""
        if self._released or self._process != os.getpid():
            return 0.0
        return max(0.0, self._until - time.monotonic())

    def release(self) -> None:
        """Release it, if it is still ours; idempotent, from any thread.

        Where Redis does not answer, it is released as soon as it does, or lapses.
        """
        # A forked child has a copy, but the lock is its parent's.
        if self._process == os.getpid() and not self._released:
            self._released = True
            if not self._locks.unlock(self):
                self._locks.take_back(self)
