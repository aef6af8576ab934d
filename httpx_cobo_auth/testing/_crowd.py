"""Other processes that use the same store, for its contract."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import traceback
from typing import TYPE_CHECKING, Self
from unittest import SkipTest

from httpx_cobo_auth.testing._actors import Awaited, count_up, expect, opening, take

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from httpx_cobo_auth._protocol.records import StoreKey
    from httpx_cobo_auth.stores.base import TokenStore
    from httpx_cobo_auth.testing._actors import MakesStore

__all__ = ["Actor", "Crowd"]

_PATIENCE_S = 60.0


class Actor:
    """One other process, and what it tells."""

    def __init__(self, process: SpawnProcess, messages: Connection) -> None:
        self._process = process
        self._messages = messages

    def heard(self, message: str) -> None:
        """Wait until it says so."""
        said = self._messages.recv() if self._messages.poll(_PATIENCE_S) else "nothing"
        expect(said == message, f"another process gets to {message!r}; it said {said!r}")

    def finish(self) -> None:
        """Wait until it is done."""
        self.heard("done")
        self._process.join(_PATIENCE_S)

    def kill(self) -> None:
        """End it at once, wherever it is."""
        self._process.kill()
        self._process.join()

    def end(self) -> None:
        """End it, and the children that listen at its connection."""
        self.kill()
        self._messages.close()
        self._process.close()


class Crowd:
    """Processes of a test; none of them outlives it."""

    def __init__(self, make_store: MakesStore, store: TokenStore, *, forks: bool = False) -> None:
        if not store.shared:
            message = "this store is not shared between processes"
            raise SkipTest(message)
        if forks and not (hasattr(os, "fork") and not isinstance(store, Awaited)):
            message = "an event loop is not forked"
            raise SkipTest(message)
        self._make_store = make_store
        self._actors: list[Actor] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            actor.end()

    def start(self, role: str, key: StoreKey, argument: float) -> Actor:
        """Start one: ``count_up``, ``hold`` or ``fork_while_holding``."""
        # Neither forked nor served by a thread: nothing of this process is inherited.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_act, args=(role, self._make_store, key, argument, theirs), daemon=True
        )
        process.start()
        theirs.close()
        actor = Actor(process, ours)
        self._actors.append(actor)
        return actor


def _act(
    role: str, make_store: MakesStore, key: StoreKey, argument: float, messages: Connection
) -> None:
    try:
        with opening(make_store) as store:
            if role == "count_up":
                count_up(store, key, int(argument))
            else:
                _hold(role, store, key, argument, messages)
    except Exception:  # noqa: BLE001 - told to who listens
        messages.send(traceback.format_exc())
    messages.send("done")


def _hold(  # pragma: no cover - by processes that are killed
    role: str, store: TokenStore, key: StoreKey, ttl: float, messages: Connection
) -> None:
    lock = take(store, key, ttl)
    if role == "fork_while_holding" and not os.fork():
        expect(lock.remaining() <= 0, "a forked child holds no lock")
        lock.release()
        expect(store.try_lock(key, ttl=ttl) is None, "its parent has it")
        messages.send("child has released its copy")
    elif role == "hold":
        messages.send("held")
    # Until the test ends, the connection with it, or this process.
    with contextlib.suppress(EOFError, OSError):
        messages.recv()
    os._exit(0)
