"""An exception of a signal handler, wherever it strikes in a renewal, leaves nothing held."""

from __future__ import annotations

import functools
import itertools
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import httpx_cobo_auth
from httpx_cobo_auth import MemoryStore
from tests.family import httpx
from tests.interrupts import Interrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.stores.base import StoreLock
    from httpx_cobo_auth.testing import CoboSimulator, Hold
    from tests.concurrency.conftest import RunsThreads
    from tests.conftest import MakesAuth
    from tests.family import CoboOAuth

PACKAGE = str(Path(httpx_cobo_auth.__file__).parent)
SIMULATOR = str(Path(PACKAGE, "testing"))


def ours(file: str) -> bool:
    return file.startswith(PACKAGE) and not file.startswith(SIMULATOR)


def renew(auth: CoboOAuth, client: httpx.Client) -> None:
    auth.renew(client)


def read(auth: CoboOAuth, client: httpx.Client) -> None:
    client.get("/wallets", auth=auth)


@pytest.mark.hazard(54)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in finalizers
@pytest.mark.parametrize(
    ("call", "own", "step"),
    [(renew, True, 1), (renew, False, 1), (read, True, 5), (read, False, 19)],
    ids=["renew(), auth.client()", "renew(), auth=", "read, auth.client()", "read, auth="],
)
def test_whoever_comes_next_gets_through(
    call: Callable[[CoboOAuth, httpx.Client], None],
    own: bool,  # noqa: FBT001
    step: int,
    simulator: CoboSimulator,
    make_auth: MakesAuth,
    in_threads: RunsThreads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A renewal and a write of another thread; and no refresh token is sent twice.

    Of the moments of a read, which are a thousand, each so many-th.
    """
    signalled = SimpleNamespace(**{**vars(threading), "main_thread": threading.current_thread})
    monkeypatch.setattr("httpx_cobo_auth._runtime.backends.threading", signalled)
    moment = 0
    for moment in itertools.count(step=step):
        auth = make_auth(simulator)
        with ExitStack() as stack:
            url = auth.environment.base_url
            client = stack.enter_context(
                auth.client(transport=simulator)
                if own
                else httpx.Client(base_url=url, transport=simulator, auth=auth)
            )
            client.get("/wallets").raise_for_status()
            simulator.revoke_tokens()
            # It is kept, with its frames, as task queues do.
            interrupt = Interrupt(moment, ours)
            interrupt.strike(functools.partial(call, auth, client))
            if own:
                stack.close()  # A client of one's own does not wait for what it sends.

            def go_on(auth: CoboOAuth = auth) -> None:
                with auth.client(transport=simulator) as other:
                    auth.renew(other)
                    other.post("/echo").raise_for_status()

            if not interrupt.struck:
                break
            with in_threads(go_on):
                pass
    assert moment > 100
    assert simulator.counters.spent_refresh_reused == 0


class TimeLimit(Exception):  # noqa: N818 - as task queues call theirs
    """What the handler of a program's own time limit raises."""


class Ringing(MemoryStore):
    """Has a signal sent to the main thread in the middle of one of its calls."""

    blocking = True
    at = ""

    def __init__(self) -> None:
        super().__init__()
        self.resume = threading.Event()

    def ring(self, where: str) -> None:
        if where == self.at:
            self.at = ""
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            self.resume.wait(30)

    def load(self, key: StoreKey) -> Record | None:
        self.ring("load")
        return super().load(key)

    def try_lock(self, key: StoreKey, *, ttl: float) -> Any:  # noqa: ANN401 - private class
        self.ring("try_lock")
        lock: StoreLock | None = super().try_lock(key, ttl=ttl)
        return lock

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        self.ring("save")
        super().save(key, record, expected=expected)


@pytest.mark.hazard(55, 83)
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
@pytest.mark.parametrize("kind", [TimeLimit, TimeoutError])
@pytest.mark.parametrize("where", ["load", "try_lock", "save", "endpoint"])
@pytest.mark.parametrize("own", [True, False], ids=["auth.client()", "auth="])
def test_what_a_signal_handler_raises_reaches_the_caller(
    where: str,
    kind: type[Exception],
    own: bool,  # noqa: FBT001
    running: CoboSimulator,
    make_auth: MakesAuth,
) -> None:
    """It is no answer of the store or of the endpoint; the next call gets through."""
    limit, store = kind("time is up"), Ringing()
    auth = make_auth(running, store=store)
    url = auth.environment.base_url

    def ring(*_: object) -> None:
        store.resume.set()
        raise limit

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with (
            auth.client(transport=running)
            if own
            else httpx.Client(base_url=url, transport=running, auth=auth) as client
        ):
            store.at = where
            hold = running.hold("token") if where == "endpoint" else None
            if hold is not None:
                threading.Thread(target=_ring_at, args=(hold,)).start()
            with pytest.raises(kind) as raised:
                client.get("/wallets")
            assert raised.value is limit
            if hold is not None:
                hold.release()
            client.get("/wallets").raise_for_status()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert running.counters.spent_refresh_reused == 0


def _ring_at(hold: Hold) -> None:
    hold.wait_arrived()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
