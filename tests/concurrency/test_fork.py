"""At fork, nothing is inherited: no lock, no seat, no refresh token."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import FileStore, MemoryStore
from httpx_cobo_auth._protocol.records import StoreKey
from httpx_cobo_auth._runtime.store_access import StoreAccess
from httpx_cobo_auth.stores.memory import _Lock
from tests.family import CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.concurrency.conftest import RunsThreads
    from tests.conftest import MakesAuth

pytestmark = [
    pytest.mark.hazard(16),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    # What is tested here is just what Python 3.12 warns of.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]

LONGEST_S = 20


def in_child(work: Callable[[], object], fork: Callable[[], int] = os.fork) -> int:
    """Fork, do it in the child, and give the child's process ID."""
    child = fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(LONGEST_S)  # a child that hangs dies
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - a child must not run the parent's tests
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(status)
    return child


def without_hooks() -> int:
    """Fork as uWSGI and some C extensions do, without Python's knowledge."""
    return int(ctypes.PyDLL(None).fork())


def ends_well(child: int) -> None:
    """Wait for a child, which must have succeeded."""
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.fixture
def forgiving(running: CoboSimulator) -> CoboSimulator:
    """A Cobo that lets two tokens live side by side, and processes choose the same nonce."""
    running.rotation_kills = False
    running.check_nonce = False
    return running


class TestLocks:
    @pytest.mark.parametrize("by_client", [False, True])
    def test_a_renewal_under_way(
        self, *, by_client: bool, forgiving: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """The child has its own: it neither waits for the parent's nor disturbs it."""
        with forgiving.serve(), forgiving.hold("token") as hold:
            auth = make_auth(forgiving)
            url = auth.environment.base_url
            parent = auth.client() if by_client else httpx.Client(base_url=url, auth=auth)
            answers: list[int] = []
            thread = threading.Thread(
                target=lambda: answers.append(parent.get("/wallets").status_code)
            )
            thread.start()
            hold.wait_arrived()

            def ask() -> None:
                with auth.client() as client:
                    client.get("/wallets").raise_for_status()

            child = in_child(ask)
            hold.wait_arrived(2)
            hold.release()
            thread.join(LONGEST_S)
            ends_well(child)
            parent.close()
        assert answers == [200]
        assert forgiving.counters.implicits == 2
        assert forgiving.counters.spent_refresh_reused == 0

    def test_a_renewal_under_way_with_a_store_that_is_shared(
        self,
        forgiving: CoboSimulator,
        make_auth: MakesAuth,
        tmp_path: Path,
        in_threads: RunsThreads,
    ) -> None:
        """The child waits for the parent's exchange, as any other process would."""
        with forgiving.serve(), forgiving.hold("token") as hold:
            auth = make_auth(forgiving, store=FileStore(tmp_path / "tokens"))

            def ask() -> None:
                with auth.client() as client:
                    client.get("/wallets").raise_for_status()

            with in_threads(ask):
                hold.wait_arrived()
                child = in_child(ask)
                hold.release()
            ends_well(child)
        assert forgiving.counters.exchanges == 1
        assert forgiving.counters.requests == 2

    @pytest.mark.parametrize("at", ["token", "api"])
    def test_in_a_hook(self, at: str, forgiving: CoboSimulator, make_auth: MakesAuth) -> None:
        """Also inside of an exchange, or of a write, the child is not part of the parent's."""
        children: list[int] = []
        with forgiving.serve():
            auth = make_auth(forgiving)

            def ask() -> None:
                with auth.client() as other:
                    other.post("/echo").raise_for_status()

            def fork(response: httpx.Response) -> None:
                for_token = response.request.url.path.endswith("/token")
                if for_token == (at == "token") and not children:
                    children.append(in_child(ask))

            with auth.client(event_hooks={"response": [fork]}) as client:
                client.post("/echo").raise_for_status()
                ends_well(children[0])
                client.post("/echo").raise_for_status()
        assert forgiving.counters.exchanges == 2
        assert forgiving.counters.spent_refresh_reused == 0


class TestFlows:
    """A flow of the parent's, of which the child has a copy."""

    def test_a_lock_is_not_released_by_the_child(self) -> None:
        """The copy dies as garbage there; the lock, and what guards it, is the parent's."""
        released: list[int] = []

        class Lock(_Lock):
            def remaining(self) -> float:
                return 60.0

            def release(self) -> None:
                released.append(os.getpid())

        class Store(MemoryStore):
            def try_lock(self, key: StoreKey, *, ttl: float) -> _Lock:
                del ttl
                return Lock(self, self._locks, key)

        custody = StoreAccess(Store(), StoreKey("https://cobo.test/v2", "client", "org"), 60.0)
        assert custody.try_lock()
        flows = [custody]
        del custody

        def end() -> None:
            assert flows[0].remaining() < 0
            flows.clear()
            assert released == []

        ends_well(in_child(end))
        flows.clear()
        assert released == [os.getpid()]


class TestTokens:
    @pytest.mark.hazard(80)
    @pytest.mark.parametrize("fork", [os.fork, without_hooks])
    def test_are_not_inherited_from_memory(
        self, fork: Callable[[], int], forgiving: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """A refresh token works once, for parent and child together: the child gets its own."""
        with forgiving.serve():
            auth = make_auth(forgiving)

            def ask() -> None:
                with auth.client() as client:
                    client.get("/wallets").raise_for_status()
                    assert auth.token(client).access_token != before
                    auth.renew(client)

            with auth.client() as client:
                before = auth.token(client).access_token
                ends_well(in_child(ask, fork))
                assert auth.token(client).access_token == before
                client.get("/wallets").raise_for_status()
        assert forgiving.counters.implicits == 2
        assert forgiving.counters.refreshes == 1
        assert forgiving.counters.spent_refresh_reused == 0

    def test_grandchildren(self, forgiving: CoboSimulator, make_auth: MakesAuth) -> None:
        """Nothing is inherited any further, either."""
        with forgiving.serve():
            auth = make_auth(forgiving)

            def ask() -> None:
                with auth.client() as client:
                    client.get("/wallets").raise_for_status()

            def ask_and_fork() -> None:
                ask()
                ends_well(in_child(ask))

            ask()
            ends_well(in_child(ask_and_fork))
        assert forgiving.counters.implicits == 3


def _work(auth: CoboOAuth, failures: multiprocessing.SimpleQueue[str]) -> None:
    try:
        with auth.client() as client:
            for _ in range(10):
                client.get("/wallets").raise_for_status()
                client.post("/echo").raise_for_status()
    except Exception as error:  # noqa: BLE001 - told to the parent
        failures.put(repr(error))


@pytest.mark.parametrize("shared", [False, True])
def test_a_preloaded_server(
    *, shared: bool, forgiving: CoboSimulator, make_auth: MakesAuth, tmp_path: Path
) -> None:
    """An app that is loaded, and used, before its workers are forked off, serves in all."""
    context = multiprocessing.get_context("fork")
    store = FileStore(tmp_path / "tokens") if shared else MemoryStore()
    with forgiving.serve():
        auth = make_auth(forgiving, store=store)
        _work(auth, context.SimpleQueue())
        failures: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
        workers = [context.Process(target=_work, args=(auth, failures)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(LONGEST_S)
        _work(auth, failures)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert failures.empty()
    assert forgiving.counters.exchanges == (1 if shared else 5)
    assert forgiving.counters.rejected == 0
    assert forgiving.counters.spent_refresh_reused == 0
