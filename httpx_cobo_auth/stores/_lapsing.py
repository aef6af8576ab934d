"""Locks on a server, which lapse should their owner die.

A call that had no answer may still have its effect, once a server that hung goes on: a lock
that nobody knows to hold, or one that was not released. So what may be left behind is taken
back in the background, until the server answers or the lock has lapsed anyway.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from typing import TYPE_CHECKING

from httpx_cobo_auth._cell import Cell
from httpx_cobo_auth.stores._checks import Trouble, attempt

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LapsingHold", "LapsingLocks", "Lease"]

# Clocks of two machines drift apart by far less than this.
_CERTAIN = 0.99
_RETRY_S = 0.25


class Lease:
    """What its owner knows of a lock.

    Attributes:
        name: of the lock.
        owner: the value that it has on the server, unlike any other owner's.
        ttl: seconds for which it was asked for.

    """

    def __init__(self, name: str, ttl: float) -> None:
        """Begin to count; before it is asked for, because the server counts from later."""
        self.name = name
        self.owner: str = secrets.token_hex(16)
        self.ttl = ttl
        begun = time.monotonic()
        self._until = begun + ttl * _CERTAIN
        self._gone_by = begun + 2 * ttl
        self._ended = False
        self._process = os.getpid()

    @property
    def lapsed(self) -> bool:
        """Whether the server has surely released it by itself; it may have hung meanwhile."""
        return time.monotonic() > self._gone_by

    def remaining(self) -> float:
        """Seconds for which it is certainly held; 0.0 once it ended, and in a forked child."""
        if self._ended or self._process != os.getpid():
            return 0.0
        return max(0.0, self._until - time.monotonic())

    def end(self) -> bool:
        """Hold it no longer, and return whether it is to be released on the server.

        Once only, and not by a forked child: that has a copy, but the lock is its parent's.
        """
        if self._ended or self._process != os.getpid():
            return False
        self._ended = True
        return True


class LapsingLocks:
    """Takes locks, and takes back those that nobody knows to be held.

    Args:
        take: takes the lock of a lease on the server if it is free, or held by that very owner,
            and returns whether it is held now.
        free: releases the lock on the server, if that lease's owner has it.

    Both return a ``Trouble`` where there was no answer. Both may be called twice.

    """

    def __init__(
        self,
        take: Callable[[Lease], bool | Trouble],
        free: Callable[[Lease], object | Trouble],
    ) -> None:
        """Hold none yet."""
        self._take = take
        self._free = free
        self._left: Cell[tuple[Lease, ...]] = Cell(tuple)

    def try_lock(self, name: str, ttl: float) -> LapsingHold | Trouble | None:
        """Take the lock of that name for ``ttl`` seconds if nobody has it."""
        lease = Lease(name, ttl)
        taken = self._take(lease)
        if isinstance(taken, Trouble):
            self.take_back(lease)
            return taken
        return LapsingHold(self, lease) if taken else None

    def release(self, lease: Lease) -> None:
        """Release a lock now or, where the server does not answer, as soon as it does."""
        if isinstance(self._free(lease), Trouble):
            self.take_back(lease)

    def take_back(self, lease: Lease) -> None:
        """Release a lock as soon as the server answers, or leave it to lapse."""
        if self._left.update(lambda left: ((*left, lease), not left)):
            thread = threading.Thread(target=self._take_all_back, daemon=True)
            if isinstance(attempt(thread.start, RuntimeError), Trouble):
                # No thread can be started, as at the end of the interpreter: they lapse.
                self._left.set(())

    def _take_all_back(self) -> None:
        while True:
            left = self._left.value
            if left[0].lapsed or not isinstance(self._free(left[0]), Trouble):
                if self._left.update(lambda left: (left[1:], len(left) == 1)):
                    return
            else:
                time.sleep(_RETRY_S)


class LapsingHold:
    """A held lock that lapses, as a ``StoreLock``."""

    def __init__(self, locks: LapsingLocks, lease: Lease) -> None:
        """Hold what was taken."""
        self._locks = locks
        self._lease = lease

    def remaining(self) -> float:
        """Seconds for which it is certainly held; 0.0 once released, and in a forked child."""
        return self._lease.remaining()

    def release(self) -> None:
        """Release it, if it is still ours; idempotent, from any thread.

        Where the server does not answer, it is released as soon as it does, or lapses.
        """
        if self._lease.end():
            self._locks.release(self._lease)
