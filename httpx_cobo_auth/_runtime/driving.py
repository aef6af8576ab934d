"""From httpx to the flow and back: the loops that httpx's auth protocol, and users, call.

The sync one has nothing to do but pass on requests; the async one also awaits what the steps
have to have awaited. Both give back what the flow holds, however it ends.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from httpx_cobo_auth._protocol.flow import signed_flow
from httpx_cobo_auth._runtime.backends import SyncBackend
from httpx_cobo_auth._runtime.background import start_renewal
from httpx_cobo_auth._runtime.performer import Performer
from httpx_cobo_auth._runtime.promises import SyncWaiter
from httpx_cobo_auth._runtime.store_threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    import httpx

    from httpx_cobo_auth._protocol.effects import Flow
    from httpx_cobo_auth._runtime.backends import Backend, Steps
    from httpx_cobo_auth._runtime.session import Session

__all__ = ["async_flow", "run_async", "run_sync", "sync_flow"]

_T = TypeVar("_T")
_RELEASE_TIMEOUT_S = 2.0
_SYNC = SyncBackend()


def sync_flow(
    session: Session, request: httpx.Request, client: object = None, *, with_token: bool = True
) -> Generator[httpx.Request, httpx.Response, None]:
    """Carry a request of a sync client through.

    Args:
        session: of the auth object.
        request: of the caller.
        client: that sends exchanges by itself; without one they travel through this flow.
        with_token: whether there is a token, or a signature only.

    """
    session.require_sync()
    session.wire.check_origin(request)
    request.read()
    backend = _SYNC if client is None else SyncBackend(cast("Any", client))
    performer = _performer(session, request, backend)
    try:
        # A sync backend has nothing to be awaited.
        yield from cast("Any", _steps(performer, with_token=with_token))
    finally:
        _finish(session, performer)


async def async_flow(
    session: Session, request: httpx.Request, client: object = None, *, with_token: bool = True
) -> AsyncGenerator[httpx.Request, httpx.Response]:
    """Carry a request of an async client through; as ``sync_flow``."""
    from httpx_cobo_auth._runtime.async_backend import AsyncBackend, finish  # noqa: PLC0415 - not for sync clients

    session.wire.check_origin(request)
    await request.aread()
    performer = _performer(session, request, AsyncBackend(cast("Any", client)))
    steps = _steps(performer, with_token=with_token)
    result: Any = None
    failure: Exception | None = None
    try:
        while True:
            try:
                step = steps.send(result) if failure is None else steps.throw(failure)
            except StopIteration:
                return
            result = failure = None
            if isinstance(step, Awaitable):
                try:
                    result = await step
                except Exception as error:  # noqa: BLE001 - for the steps to sort out
                    failure = error
            else:
                result = yield step
    finally:
        steps.close()
        release = performer.close()
        if release is not None:
            await finish(release, awaits=session.awaits)


def run_sync(session: Session, flow: Flow[_T], client: object = None) -> _T:
    """Go through a flow that has no request of a caller's."""
    session.require_sync()
    performer = _performer(session, None, SyncBackend(cast("Any", client)))
    steps = performer.run(flow)
    try:
        next(steps)
    except StopIteration as stop:
        return cast("_T", stop.value)
    finally:
        steps.close()
        _finish(session, performer)
    raise AssertionError  # pragma: no cover - only flows with a request send one


async def run_async(session: Session, flow: Flow[_T], client: object = None) -> _T:
    """Go through a flow that has no request of a caller's; as ``run_sync``."""
    from httpx_cobo_auth._runtime.async_backend import (  # noqa: PLC0415 - not for sync clients
        AsyncBackend,
        finish,
        through,
    )

    performer = _performer(session, None, AsyncBackend(cast("Any", client)))
    try:
        return await through(performer.run(flow))
    finally:
        release = performer.close()
        if release is not None:
            await finish(release, awaits=session.awaits)


def _performer(session: Session, request: httpx.Request | None, backend: Backend) -> Performer:
    delegate = None if backend.client is None else start_renewal
    return Performer(session, request, backend, delegate)


def _steps(performer: Performer, *, with_token: bool) -> Steps[None]:
    return performer.carry() if with_token else performer.run(signed_flow())


def _finish(session: Session, performer: Performer) -> None:
    release = performer.close()
    if release is not None:
        release_in_time(session, release)


def release_in_time(session: Session, release: Callable[[], object]) -> None:
    """Release the lock that an abandoned flow has left; a store that hangs holds up nobody."""
    call = run_in_thread(release) if session.blocking else None
    if call is None:
        release()
        return
    waiter = SyncWaiter()
    call.add(waiter)
    if not call.done:
        waiter.wait(_RELEASE_TIMEOUT_S)
