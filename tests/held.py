"""What the flows of an auth object hold in this process, seen from outside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth import FileStore, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.family import CoboOAuth

__all__ = ["door_closed", "nothing_held", "renewing", "until", "waiting", "writes"]


def _state(auth: CoboOAuth) -> Any:  # noqa: ANN401 - of a private class
    return auth._session.permits._cell.value


def renewing(auth: CoboOAuth) -> bool:
    """Whether somebody has the permit to renew."""
    return _state(auth).renewal is not None


def writes(auth: CoboOAuth) -> int:
    """Return how many writes are in flight."""
    return len(_state(auth).writes)


def door_closed(auth: CoboOAuth) -> bool:
    """Whether no write may begin."""
    return bool(_state(auth).door_closed)


def waiting(auth: CoboOAuth) -> int:
    """Return how many wait: for a permit, or for a renewal that runs on its own."""
    renewal = auth._session.shared.renewal.value
    others = len(renewal._waiters._waiting) if renewal is not None else 0
    return len(_state(auth).waiters._waiting) + others


def nothing_held(auth: CoboOAuth) -> None:
    """Nobody has a permit or waits for one, and the store's lock is free."""
    state, store = _state(auth), auth._session._store
    assert state.renewal is None
    assert state.writes == {}
    assert state.waiters._waiting == {}
    assert not state.door_closed
    assert isinstance(store, MemoryStore | FileStore)
    lock = store.try_lock(auth._session.account.key, ttl=60)
    assert lock is not None
    lock.release()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to bring about."""
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            message = "it did not come about"
            raise TimeoutError(message)
        time.sleep(0.001)
