"""The backend for async clients, in asyncio or trio. Imported when the first of them is used."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio

from httpx_cobo_auth._runtime.backends import STORE_TIMEOUT_S, store_call
from httpx_cobo_auth._runtime.bodies import aread_answer, atake_body
from httpx_cobo_auth._runtime.promises import EventLoop, soon
from httpx_cobo_auth._runtime.store_threads import run_in_thread
from httpx_cobo_auth.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from httpx_cobo_auth._runtime.backends import Steps, Work
    from httpx_cobo_auth._runtime.promises import Promise

__all__ = ["AsyncBackend", "AsyncWaiter", "finish"]

_T = TypeVar("_T")
_RELEASE_TIMEOUT_S = 2.0
# httpx's own time-outs say what was waited for; ours, a little later, bounds all of it.
_LATER = 1.05
_LATER_S = 0.25


class AsyncWaiter:
    """A task that waits, in asyncio or in trio, to be woken from any thread."""

    __slots__ = ("_event", "_loop")

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._loop = _native_loop()

    def wake(self) -> None:
        """End the waiting; where the loop is closed, nobody waits there any more."""
        soon(self._loop, self._event.set)

    async def wait(self, seconds: float) -> None:
        """Wait until woken, or for that long."""
        with anyio.move_on_after(seconds):
            await self._event.wait()


class AsyncBackend:
    """For async clients.

    Args:
        client: sends exchanges by itself where given.

    """

    __slots__ = ("client",)

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self.client: Any = client

    def loop(self) -> EventLoop:
        """Return the event loop that runs."""
        return EventLoop(_native_loop())

    def identity(self) -> object:
        """Return the task that runs."""
        if _in_asyncio():
            return asyncio.current_task()
        return cast("Any", sys.modules["trio"]).lowlevel.current_task()

    def waiter(self) -> AsyncWaiter:
        """Return something to wait by."""
        return AsyncWaiter()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await anyio.sleep(seconds)

    async def send(self, request: httpx.Request, limit: float) -> Any:  # noqa: ANN401
        """Send a request by the client, unread."""
        with anyio.fail_after(limit * _LATER + _LATER_S):
            return await self.client.send(request, auth=None, follow_redirects=False, stream=True)

    async def read(self, response: httpx.Response, *, whole: bool) -> bytes | None:
        """Read a response to the caller's request; ``None`` where it is too long."""
        return await (response.aread() if whole else aread_answer(response))

    async def take(self, response: httpx.Response, limit: float) -> Any:  # noqa: ANN401
        """Take the body out of a reply of the token endpoint, within so many seconds."""
        with anyio.fail_after(limit):
            return await atake_body(response)

    async def call(self, method: Callable[[], Any], *, blocking: bool) -> Any:  # noqa: ANN401
        """Call a store: at once where it never waits, else in a thread, or awaited."""
        if not blocking:
            result: object = method()
            if not isinstance(result, Awaitable):
                return result
            try:
                with anyio.fail_after(STORE_TIMEOUT_S):
                    return await cast("Awaitable[object]", result)
            except TimeoutError:
                message = f"the token store took longer than {STORE_TIMEOUT_S:g} s"
                raise StoreUnavailableError(message) from None
        call = run_in_thread(method)
        if call is None:
            return method()
        waiter = AsyncWaiter()
        call.add(waiter)
        try:
            if not call.done:
                await waiter.wait(STORE_TIMEOUT_S)
            return store_call(call)
        finally:
            call.dropped = True

    def start(self, work: Work, promise: Promise[None]) -> bool:
        """Run it in a task of asyncio, or a system task of trio."""
        promise.loop = self.loop()
        if _in_asyncio():
            task = asyncio.get_running_loop().create_task(
                _exhaust(work, AsyncBackend(self.client), promise), context=contextvars.Context()
            )
            promise.keep = task  # asyncio itself knows its tasks weakly only.
        else:
            cast("Any", sys.modules["trio"]).lowlevel.spawn_system_task(
                _exhaust,
                work,
                AsyncBackend(self.client),
                promise,
                name="httpx_cobo_auth renewal",
                context=contextvars.Context(),
            )
        return True


async def _exhaust(work: Work, backend: AsyncBackend, promise: Promise[None]) -> None:
    """Go through steps of which none is a request of the flow, for they have a client."""
    try:
        await through(work.steps(backend))
    finally:
        try:
            release = work.close()
            if release is not None:
                await finish(release, awaits=work.awaits)
        finally:
            promise.end()


async def through(steps: Steps[_T]) -> _T:
    """Go through steps that have only awaitables in them, and return what they return."""
    result: Any = None
    failure: Exception | None = None
    try:
        while True:
            try:
                step = steps.send(result) if failure is None else steps.throw(failure)
            except StopIteration as stop:
                return cast("_T", stop.value)
            result = failure = None
            try:
                result = await cast("Awaitable[Any]", step)
            except Exception as error:  # noqa: BLE001 - for the steps to sort out
                failure = error
    finally:
        steps.close()


async def finish(release: Callable[[], Any], *, awaits: bool) -> None:
    """Release a store's lock that an abandoned flow has left, without holding up its end."""
    if awaits:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_RELEASE_TIMEOUT_S):
            await release()
    elif run_in_thread(release) is None:
        release()


def _in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _native_loop() -> object:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return cast("Any", sys.modules["trio"]).lowlevel.current_trio_token()
