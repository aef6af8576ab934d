"""The numbers that the flow goes by, and what else is handed in."""

from __future__ import annotations

import math
import random
import uuid
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.tokens import DEFAULT_LIFETIME_S
from httpx_cobo_auth.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

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


def _check(name: str, value: object) -> None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    if not fits or (value == 0 and name in _EXCHANGES):
        message = f"{name} must be a finite number of seconds, and an exchange takes some"
        raise ConfigurationError(message)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the flows of one auth object go by.

    Attributes:
        replay_writes: whether a write answered by 500/1000 is sent again.
        timeouts: how long things may take.
        verified: whether the environment has a key, so that an unsigned reply of the token
            endpoint comes from somebody else.
        shared: whether other processes may write to the same store.
        default_lifetime: seconds that a token lives whose reply does not say so.
        new_owner: returns the name of an exchange, unlike any other's.
        jitter: returns a number from 0 to 1.

    """

    replay_writes: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
    verified: bool = True
    shared: bool = False
    default_lifetime: float = DEFAULT_LIFETIME_S
    new_owner: Callable[[], str] = _new_owner
    jitter: Callable[[], float] = random.random

    @property
    def lease(self) -> float:
        """Seconds after which another takes the permit of a renewal that shows no sign of life."""
        limits = self.timeouts
        return limits.lock + limits.drain + limits.grace + limits.exchange + 10.0

    @property
    def wait(self) -> float:
        """Seconds for which a caller waits for somebody else's renewal: a little longer."""
        return self.lease + 5.0

    @property
    def lock_ttl(self) -> float:
        """Seconds after which the store's lock is free again, if its owner died unnoticed.

        Long enough for any exchange to end before, however short its own limit is.
        """
        limits = self.timeouts
        return limits.drain + limits.grace + max(2 * limits.exchange, limits.early_exchange) + 5.0
