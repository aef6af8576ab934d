"""What differs between sync and async: a backend for each, with the same methods.

What a method of the async one returns has to be awaited. Whoever calls it says ``yield from
resolve(...)``, and gets the value: at once, or once the client whose flow it is has awaited it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from httpx_cobo_auth._runtime.bodies import read_answer, take_body
from httpx_cobo_auth._runtime.promises import Promise, SyncWaiter
from httpx_cobo_auth._runtime.store_threads import run_in_thread
from httpx_cobo_auth.errors import StoreUnavailableError, TokenUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from httpx_cobo_auth._runtime.promises import EventLoop, Waiter

__all__ = [
    "STORE_TIMEOUT_S",
    "Backend",
    "Steps",
    "SyncBackend",
    "Work",
    "resolve",
    "spoilt",
    "store_call",
]

_T = TypeVar("_T")
STORE_TIMEOUT_S = 20.0

Steps = Generator["httpx.Request | Awaitable[Any]", Any, _T]
"""What a client goes through: requests to send, awaitables to await; and what is returned."""


def resolve(value: _T | Awaitable[_T]) -> Steps[_T]:
    """Return a value, awaited where it has to be."""
    if isinstance(value, Awaitable):
        return cast("_T", (yield value))
    return value


class Backend(Protocol):
    """How to wait, to send, and to call a store.

    Attributes:
        client: sends exchanges by itself, so that renewals can run on their own; ``None`` where
            they have to travel through the flow.

    """

    client: Any

    def loop(self) -> EventLoop | None:
        """Return the event loop that runs, if this is an async backend."""
        ...

    def identity(self) -> object:
        """Return what can tell this task, or thread, from others."""
        ...

    def waiter(self) -> Waiter:
        """Return something to wait by."""
        ...

    def sleep(self, seconds: float) -> Awaitable[None] | None:
        """Let time pass."""
        ...

    def send(self, request: httpx.Request, limit: float) -> Any:  # noqa: ANN401 - of its family
        """Send a request by the backend's own client, unread; give up after ``limit`` seconds."""
        ...

    def read(
        self, response: httpx.Response, *, whole: bool
    ) -> bytes | Awaitable[bytes | None] | None:
        """Read a response to the caller's request; ``None`` where it is too long."""
        ...

    def take(self, response: httpx.Response, limit: float) -> Any:  # noqa: ANN401 - see bodies
        """Take the body out of a reply of the token endpoint, within so many seconds."""
        ...

    def call(self, method: Callable[[], Any], *, blocking: bool) -> Any:  # noqa: ANN401 - its result
        """Call a store."""
        ...

    def start(self, work: Work, promise: Promise[None]) -> bool:
        """Have something run on its own with an empty context; whether that could be begun."""
        ...


class Work(Protocol):
    """Something that runs on its own.

    Attributes:
        awaits: whether what ``close`` returns has to be awaited.

    """

    awaits: bool

    def steps(self, backend: Backend) -> Steps[None]:
        """Do it."""
        ...

    def close(self) -> Callable[[], Any] | None:
        """Give back what is held, however it ended; returns what is left to be called for that."""
        ...


class SyncBackend:
    """For sync clients.

    Args:
        client: sends exchanges by itself where given.

    """

    __slots__ = ("client",)

    def __init__(self, client: httpx.Client | None = None) -> None:
        self.client: Any = client

    def loop(self) -> None:
        """Return no event loop: a flow that no thread resumes is closed as garbage."""

    def identity(self) -> object:
        """Return the thread's number."""
        return threading.get_ident()

    def waiter(self) -> SyncWaiter:
        """Return something to wait by."""
        return SyncWaiter()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def send(self, request: httpx.Request, limit: float) -> httpx.Response:
        """Send a request by the client. Its own time-outs bound each step."""
        del limit
        return cast(
            "httpx.Response",
            self.client.send(request, auth=None, follow_redirects=False, stream=True),
        )

    def read(self, response: httpx.Response, *, whole: bool) -> bytes | None:
        """Read a response to the caller's request; ``None`` where it is too long."""
        return response.read() if whole else read_answer(response)

    def take(self, response: httpx.Response, limit: float) -> Any:  # noqa: ANN401 - see bodies
        """Take the body out of a reply of the token endpoint, within so many seconds."""
        return take_body(response, limit)

    def call(self, method: Callable[[], _T], *, blocking: bool) -> _T:
        """Call a store.

        Signal handlers raise in the main thread only. There the call is made in another thread:
        what is raised here is not the store's then, and is nobody's to catch.
        """
        del blocking
        if threading.current_thread() is not threading.main_thread():
            return method()
        call = run_in_thread(method)
        if call is None:
            return method()
        waiter = SyncWaiter()
        call.add(waiter)
        try:
            if not call.done:
                waiter.wait(STORE_TIMEOUT_S)
            return store_call(call)
        finally:
            call.dropped = True

    def start(self, work: Work, promise: Promise[None]) -> bool:
        """Run it in a daemon thread; a new thread's context is empty."""
        thread = threading.Thread(
            target=_exhaust,
            args=(work, SyncBackend(self.client), promise),
            name="httpx_cobo_auth renewal",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is about to end
            return False
        return True


def _exhaust(work: Work, backend: SyncBackend, promise: Promise[None]) -> None:
    """Go through steps of which none is a request of the flow, for they have a client."""
    try:
        try:
            for _ in work.steps(backend):
                raise AssertionError  # pragma: no cover - see above
        finally:
            release = work.close()
            if release is not None:
                release()
    except BaseException as error:  # noqa: BLE001 - a thread has nobody to raise it to
        promise.end(error=spoilt(error))
    finally:
        promise.end()


def spoilt(error: BaseException) -> TokenUnavailableError:
    """Return what callers are told of an error that is none of ours; its text may be secret."""
    return TokenUnavailableError(f"the renewal failed: {type(error).__name__}")


def store_call(call: Promise[_T]) -> _T:
    """Return what came of a call to a store.

    Raises:
        StoreUnavailableError: it has not ended.

    """
    if not call.done:
        message = f"the token store took longer than {STORE_TIMEOUT_S:g} s"
        raise StoreUnavailableError(message)
    return call.result()
