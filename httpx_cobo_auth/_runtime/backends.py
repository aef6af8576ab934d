"""The two drivers, sync and async: they do what a performer leaves to them, and nothing else.

Each is one loop. An httpx request goes to the client whose flow it is; an operation is carried
out; its result, or the exception, goes back. A driver releases what its performer holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar, assert_never, cast

import anyio
import anyio.lowlevel
import anyio.to_thread

from httpx_cobo_auth._runtime.bodies import aread_answer, atake_body, read_answer, take_body
from httpx_cobo_auth._runtime.ops import CallStore, How, Op, Pause, ReadAnswer, SendOwn, TakeBody

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    import httpx

    from httpx_cobo_auth._runtime.ops import AnyOp, Steps
    from httpx_cobo_auth._runtime.performer import Performer
    from httpx_cobo_auth._runtime.permits import Home

__all__ = ["AsyncDriver", "AsyncWaiter", "SyncDriver", "SyncWaiter"]

_T = TypeVar("_T")
_STORE_THREADS = 8
_STORE_TIMEOUT_S = 20.0

_limiter: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar(
    "httpx_cobo_auth_store_threads"
)


# ------------------------------------------------------------------------------------- sync
class SyncWaiter:
    """A thread that waits.

    By a bare lock: what wakes it may be garbage that this very thread collects while it
    begins to wait, and an ``Event`` would have its own lock taken at that moment.
    """

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def wake(self) -> None:
        """End the waiting."""
        with contextlib.suppress(RuntimeError):  # woken already
            self._asleep.release()

    def wait(self, seconds: float) -> None:
        """Wait until woken, or for that long."""
        self._asleep.acquire(timeout=seconds)


class SyncDriver:
    """Drives flows for sync clients.

    Args:
        client: sends exchanges by itself where given; else they travel through the flow.

    """

    __slots__ = ("_client", "has_client")

    def __init__(self, client: httpx.Client | None = None) -> None:
        """Send by that client."""
        self._client = client
        self.has_client: bool = client is not None

    def home(self) -> None:
        """Give no event loop: a flow that no thread resumes is closed as garbage."""

    def new_waiter(self) -> SyncWaiter:
        """Make something to wait by."""
        return SyncWaiter()

    def drive(
        self, performer: Performer, steps: Steps[_T]
    ) -> Generator[httpx.Request, httpx.Response, _T]:
        """Go through the steps of one flow."""
        request = performer.check()
        if request is not None:
            request.read()
        result: Any = None
        failure: Exception | None = None
        try:
            while True:
                try:
                    step = steps.send(result) if failure is None else steps.throw(failure)
                except StopIteration as stop:
                    return cast("_T", stop.value)
                result = failure = None
                if not isinstance(step, Op):
                    result = yield step
                    continue
                try:
                    # No request is an Op, but none is final, so that ty cannot know.
                    result = self._carry_out(step)  # ty: ignore[invalid-argument-type]
                except Exception as error:  # noqa: BLE001 - the performer's to sort out
                    failure = error
        finally:
            steps.close()
            release = performer.close()
            if release is not None:
                release()

    def run(self, performer: Performer, steps: Steps[_T]) -> _T:
        """Go through steps of which none is a request of the flow."""
        driving = self.drive(performer, steps)
        try:
            next(driving)
        except StopIteration as stop:
            return cast("_T", stop.value)
        raise AssertionError  # pragma: no cover - only flows with a request send one

    def _own(self) -> httpx.Client:
        assert self._client is not None  # noqa: S101 - a performer asks has_client first
        return self._client

    def _carry_out(self, op: AnyOp) -> Any:  # noqa: ANN401 - each has its own result
        match op:
            case ReadAnswer():
                return op.response.read() if op.whole else read_answer(op.response)
            case TakeBody():
                return take_body(op.response, op.timeout)
            case CallStore():
                return op.method()
            case Pause():
                return op.waiter.wait(op.seconds) if op.waiter else time.sleep(op.seconds)
            case SendOwn():
                return self._own().send(op.request, auth=None, follow_redirects=False, stream=True)
        assert_never(op)


# ------------------------------------------------------------------------------------ async
class AsyncWaiter:
    """A task that waits, in asyncio or in trio, to be woken from any thread."""

    def __init__(self) -> None:
        """Wait for nothing yet, in the running event loop."""
        self._event = anyio.Event()
        self._loop: Any = anyio.lowlevel.current_token().native_token

    def wake(self) -> None:
        """End the waiting."""
        try:
            if hasattr(self._loop, "run_sync_soon"):
                self._loop.run_sync_soon(self._event.set)
            else:
                self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            # The loop is closed. Nobody waits there any more.
            pass

    async def wait(self, seconds: float) -> None:
        """Wait until woken, or for that long."""
        with anyio.move_on_after(seconds):
            await self._event.wait()


class AsyncDriver:
    """Drives flows for async clients.

    Args:
        client: sends exchanges by itself where given; else they travel through the flow.

    """

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        """Send by that client."""
        self._client = client
        self.has_client: bool = client is not None

    def home(self) -> Home | None:
        """Give the asyncio event loop that runs, if it is one that runs."""
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            return None

    def new_waiter(self) -> AsyncWaiter:
        """Make something to wait by."""
        return AsyncWaiter()

    async def drive(
        self, performer: Performer, steps: Steps[Any]
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Go through the steps of one flow."""
        request = performer.check()
        if request is not None:
            await request.aread()
        result: Any = None
        failure: Exception | None = None
        try:
            while True:
                try:
                    step = steps.send(result) if failure is None else steps.throw(failure)
                except StopIteration:
                    return
                result = failure = None
                if not isinstance(step, Op):
                    result = yield step
                    continue
                try:
                    # As above.
                    result = await self._carry_out(step)  # ty: ignore[invalid-argument-type]
                except Exception as error:  # noqa: BLE001 - the performer's to sort out
                    failure = error
        finally:
            steps.close()
            await _finish(performer)

    async def run(self, performer: Performer, steps: Steps[_T]) -> _T:
        """Go through steps of which none is a request of the flow."""
        found: list[_T] = []

        def kept() -> Steps[None]:
            # An async generator gives nothing when it ends.
            found.append((yield from steps))

        async for _ in self.drive(performer, kept()):
            raise AssertionError  # pragma: no cover - only flows with a request send one
        return found[0]

    def _own(self) -> httpx.AsyncClient:
        assert self._client is not None  # noqa: S101 - a performer asks has_client first
        return self._client

    async def _carry_out(self, op: AnyOp) -> Any:  # noqa: ANN401 - each has its own result
        match op:
            case ReadAnswer():
                return await (op.response.aread() if op.whole else aread_answer(op.response))
            case TakeBody():
                with anyio.fail_after(op.timeout):
                    return await atake_body(op.response)
            case CallStore():
                return await _call_store(op)
            case Pause():
                return await (op.waiter.wait(op.seconds) if op.waiter else anyio.sleep(op.seconds))
            case SendOwn():
                with anyio.fail_after(op.timeout):
                    return await self._own().send(
                        op.request, auth=None, follow_redirects=False, stream=True
                    )
        assert_never(op)


async def _call_store(op: CallStore) -> Any:  # noqa: ANN401
    match op.how:
        case How.DIRECT:
            return op.method()
        case How.AWAIT:
            with anyio.fail_after(_STORE_TIMEOUT_S):
                return await op.method()
        case How.THREAD:
            with anyio.fail_after(_STORE_TIMEOUT_S):
                return await _in_thread(op.method)
    assert_never(op.how)


async def _in_thread(method: Callable[[], _T]) -> _T:
    # Of their own: handlers that block the default ones must not starve who has the lock.
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_STORE_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(method, abandon_on_cancel=True, limiter=limiter)


async def _finish(performer: Performer) -> None:
    release = performer.close()
    if release is not None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_STORE_TIMEOUT_S):
            await (release() if performer.awaits else _in_thread(release))
