"""The numbers that the flow goes by, and what else is handed in."""

from __future__ import annotations

import math
import random
import uuid
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from httpx_cobo_auth.clock import SystemClock
from httpx_cobo_auth.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.clock import Clock

__all__ = ["Settings", "Timeouts"]


_EXCHANGES = frozenset({"exchange", "early_exchange", "request"})


def _new_owner() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long things may take; all in seconds. The defaults suit the real service.

    Raises:
        ConfigurationError: one is negative or endless, or no number.

    Attributes:
        exchange: bounds a whole renewal at the token endpoint, retries included.
        early_exchange: the same for a renewal that could as well come later.
        request: bounds a single request to the token endpoint.
        drain: how long a renewal waits for the writes in flight in this process.
        lock: how long a renewal that must be waits for the store's lock.
        grace: how long an early renewer holds the store's lock before the exchange, so that
            writes of other processes can end; longer than a usual write.

    """

    exchange: float = 30.0
    early_exchange: float = 10.0
    request: float = 10.0
    drain: float = 2.0
    lock: float = 45.0
    grace: float = 1.0

    def __post_init__(self) -> None:
        """Check that all of them are times."""
        for limit in fields(self):
            _check(limit.name, getattr(self, limit.name))

    @property
    def seat(self) -> float:
        """After this the next waiter takes the seat of a renewer that gives no sign of life."""
        return self.lock + self.drain + self.grace + self.exchange + 10.0

    @property
    def wait(self) -> float:
        """How long a caller waits for somebody else's renewal; a little longer than that."""
        return self.seat + 5.0

    @property
    def lock_ttl(self) -> float:
        """After this the store's lock is free again, if its owner died unnoticed.

        Long enough for any exchange to end before, however short its own limit is.
        """
        return self.drain + self.grace + max(2 * self.exchange, self.early_exchange) + 5.0


def _check(name: str, value: object) -> None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    if not fits or (value == 0 and name in _EXCHANGES):
        message = f"{name} must be a finite number of seconds, and an exchange takes some"
        raise ConfigurationError(message)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the flow goes by.

    Attributes:
        clock: where the time is read.
        replay_writes: whether a write answered by 500/1000 is sent again.
        timeouts: how long things may take.
        new_owner: gives the name of an exchange, unlike any other's.
        jitter: gives a number from 0 to 1.

    """

    clock: Clock = field(default_factory=SystemClock)
    replay_writes: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
    new_owner: Callable[[], str] = _new_owner
    jitter: Callable[[], float] = random.random
