"""A flow that is cancelled at any await of its way through a store keeps no lock."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest

from httpx_cobo_auth import FileStore, Timeouts
from httpx_cobo_auth._protocol.records import StoreKey
from tests.family import CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from httpx_cobo_auth._protocol.records import Record, Version
    from httpx_cobo_auth.stores._file_locks import FileHold
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock

pytestmark = pytest.mark.anyio


class Cancelling:
    """Counts what happens to the store and the endpoint; cancels the flow in front of one."""

    def __init__(self) -> None:
        self.left = 0
        self.holds: list[FileHold] = []
        self.running = 0
        self.idle = threading.Condition()
        self.scope: anyio.CancelScope | None = None
        self.loop = anyio.lowlevel.current_token()

    def due(self) -> bool:
        self.left -= 1
        return self.left == 0 and self.scope is not None

    def in_thread(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Cancel in the midst of a call that nobody can interrupt, before or after its effect."""
        with self.idle:
            self.running += 1
        try:
            self.cancel_from_thread()
            result = call()
            self.cancel_from_thread()
            return result
        finally:
            with self.idle:
                self.running -= 1
                self.idle.notify_all()

    def cancel_from_thread(self) -> None:
        if self.due() and self.scope is not None:
            anyio.from_thread.run_sync(self.scope.cancel, token=self.loop)

    def wait_until_idle(self) -> None:
        with self.idle:
            assert self.idle.wait_for(lambda: not self.running, timeout=10)


class WatchedStore(FileStore):
    watch: Cancelling

    def load(self, key: StoreKey) -> Record | None:
        return self.watch.in_thread(lambda: FileStore.load(self, key))  # type: ignore[no-any-return]

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        self.watch.in_thread(lambda: FileStore.save(self, key, record, expected=expected))

    def try_lock(self, key: StoreKey, *, ttl: float) -> FileHold | None:
        hold: FileHold | None = self.watch.in_thread(lambda: FileStore.try_lock(self, key, ttl=ttl))
        if hold is not None:
            # Kept, or being garbage would release it.
            self.watch.holds.append(hold)
            release = hold.release
            hold.release = lambda: self.watch.in_thread(release)  # type: ignore[method-assign]
        return hold


class WatchedTransport(httpx.AsyncBaseTransport):
    def __init__(self, simulator: CoboSimulator, watch: Cancelling) -> None:
        self.simulator = simulator
        self.watch = watch

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self.maybe_cancel()
        response = await self.simulator.handle_async_request(request)
        await self.maybe_cancel()
        return response

    async def maybe_cancel(self) -> None:
        if self.watch.due() and self.watch.scope is not None:
            self.watch.scope.cancel()
            await anyio.lowlevel.checkpoint()


@pytest.mark.hazard(15, 17)
@pytest.mark.parametrize("way", ["own client", "auth="])
@pytest.mark.parametrize("state", ["MISSING", "STALE", "EXPIRED"])
async def test_no_lock_stays_held_and_no_token_is_sent_twice(
    simulator: CoboSimulator, clock: ManualClock, tmp_path: Path, state: str, way: str
) -> None:
    """Cancelled at each step in turn; the next request gets through at once each time."""
    watch = Cancelling()
    step = 0
    lived = simulator.token_lifetime
    while True:
        step += 1
        store = WatchedStore(tmp_path / str(step))
        store.watch = watch
        auth = CoboOAuth(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            org_id=simulator.org_id,
            environment=simulator.environment,
            store=store,
            timeouts=Timeouts(grace=0.0),
            clock=clock,
        )
        transport = WatchedTransport(simulator, watch)
        client = (
            auth.async_client(transport=transport)
            if way == "own client"
            else httpx.AsyncClient(transport=transport, auth=auth)
        )
        url = f"{simulator.environment.base_url}/wallets"
        async with client:
            if state != "MISSING":
                assert (await client.get(url)).status_code == 200
                clock.advance(lived - (60 if state == "STALE" else -1))
            with anyio.CancelScope() as scope:
                watch.scope, watch.left = scope, step
                await client.get(url)
                if state == "STALE" and way == "own client":
                    # The request did not wait for the renewal that it started.
                    await auth.arenew(client)
            watch.scope, reached = None, watch.left <= 0
            await anyio.to_thread.run_sync(watch.wait_until_idle)
            await no_lock_is_held(store, auth)
            begun = time.monotonic()
            assert (await client.get(url)).status_code == 200
            assert time.monotonic() - begun < 5
            await no_lock_is_held(store, auth)
        assert simulator.counters.spent_refresh_reused == 0
        if not reached:
            break
    assert step > 12


async def no_lock_is_held(store: WatchedStore, auth: CoboOAuth) -> None:
    """The release may be on its way in a thread of its own."""
    key = StoreKey(auth.environment.base_url, auth.client_id, auth.org_id)
    hold = None
    with anyio.fail_after(5):
        while hold is None:
            hold = await anyio.to_thread.run_sync(lambda: FileStore.try_lock(store, key, ttl=60))
            await anyio.sleep(0.001)
    await anyio.to_thread.run_sync(hold.release)
