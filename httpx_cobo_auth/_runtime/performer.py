"""Performing the flow's effects: one ``Performer`` for each flow.

It sends as a ``Sender``; permits and store are its ``Resources``. What it returns are *steps*:
requests that the client whose flow it is has to send, and what an async client has to await.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from httpx_cobo_auth._protocol.effects import (
    BeginWrite,
    Confirm,
    CorrectClock,
    Delegate,
    Drain,
    Effect,
    Emit,
    EndWrite,
    Enter,
    Entry,
    Exchange,
    Flow,
    Leave,
    Load,
    LockStore,
    Outlives,
    Save,
    Send,
    Sleep,
    UnlockStore,
)
from httpx_cobo_auth._protocol.flow import Call
from httpx_cobo_auth._protocol.verdicts import READ_STATUSES
from httpx_cobo_auth._runtime.backends import resolve
from httpx_cobo_auth._runtime.family import is_closed
from httpx_cobo_auth._runtime.sending import Sender
from httpx_cobo_auth.errors import CoboAuthError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
    from httpx_cobo_auth._runtime.backends import Backend, Steps
    from httpx_cobo_auth._runtime.promises import Promise
    from httpx_cobo_auth._runtime.session import Session

    Delegated = Callable[[Session, RenewalRequest, Backend], tuple[Promise[None] | None, bool]]

__all__ = ["Performer"]

_T = TypeVar("_T")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_REPLAY_EXTENSION = "cobo_replay"


class Performer(Sender):
    """Performs the effects of one flow.

    Args:
        session: what the flows of one auth object share.
        request: of the caller; ``None`` where only a token is wanted.
        backend: sync or async, with a client of its own to send exchanges by, or without.
        delegate: has a renewal run on its own; ``None`` where there is no client for it.
        promise: of the renewal that this flow is, where it runs on its own.

    """

    __slots__ = ("_delegate", "_promise")

    def __init__(
        self,
        session: Session,
        request: httpx.Request | None,
        backend: Backend,
        delegate: Delegated | None = None,
        promise: Promise[None] | None = None,
    ) -> None:
        super().__init__(session, request, backend)
        self._delegate = delegate
        self._promise = promise

    # ------------------------------------------------------------------------ the request
    def carry(self) -> Steps[None]:
        """Carry the caller's request through, whose body has been read."""
        request, flow = self._request, self._session.flow
        assert request is not None  # noqa: S101 - who has none does not come here
        write = request.method not in _READS
        if not write or self.resources.begin_write():
            held = flow.ready()
            if held is not None:
                # The short way of most requests: the flow's first step is all there is.
                response = yield from self._deliver(request, held)
                if self._says_nothing(response):
                    return
                self._sent = response
                yield from self.run(flow.request(self._call(request, write=write), held))
                return
            self.resources.end_write()
        yield from self.run(flow.request(self._call(request, write=write)))

    def _call(self, request: httpx.Request, *, write: bool) -> Call:
        replay = write and (
            self._session.settings.replay_writes
            or request.extensions.get(_REPLAY_EXTENSION) is True
        )
        return Call(request.method, request.url, write, replay)

    def _says_nothing(self, response: httpx.Response) -> bool:
        return (
            response.status_code not in READ_STATUSES
            and not response.history
            and not self._session.verify_responses
        )

    # --------------------------------------------------------------------------- the loop
    def run(self, flow: Flow[_T]) -> Steps[_T]:
        """Perform effect after effect, and return what the flow returns."""
        result: Any = None
        failure: CoboAuthError | None = None
        try:
            while True:
                effect = flow.send(result) if failure is None else flow.throw(failure)
                result = failure = None
                try:
                    result = yield from self._perform(effect)
                except CoboAuthError as error:
                    failure = error
        except StopIteration as stop:
            return cast("_T", stop.value)

    def _perform(self, effect: Effect[Any]) -> Steps[Any]:  # noqa: C901, PLR0911, PLR0912 - one line for each effect
        resources, session = self.resources, self._session
        match effect:
            case Send():
                return (yield from self._send(effect))
            case BeginWrite():
                if not resources.begin_write():
                    yield from resources.await_write()
                return None
            case EndWrite():
                return resources.end_write()
            case Delegate():
                return (yield from self._delegated(effect))
            case Enter():
                return (yield from resources.enter(effect.timeout))
            case Leave():
                yield from resources.unlock_store()
                return resources.release_renewal(effect.error)
            case Drain():
                return (yield from resources.drain(effect.timeout))
            case Exchange():
                return (yield from self._exchange(effect))
            case Load():
                return (yield from resources.load())
            case Save():
                return (yield from resources.save(effect.record, effect.expected))
            case LockStore():
                return (yield from resources.lock_store(effect.timeout))
            case Confirm():
                return not self._confirmed()
            case UnlockStore():
                return (yield from resources.unlock_store())
            case Outlives():
                return resources.remaining() >= effect.seconds
            case CorrectClock():
                return session.wire.nonces.correct_by(effect.seconds_off, self._base)
            case Sleep():
                return (yield from resolve(self._backend.sleep(effect.seconds)))
            case Emit():
                return (yield from resolve(session.emit(effect.event)))
            case _:
                raise AssertionError(effect)

    def _confirmed(self) -> bool:
        """Whether to go on, with an exchange that must be seen to its end."""
        promise = self._promise
        if promise is None:
            return True
        if is_closed(self._backend.client):
            promise.stop()
        return promise.confirm()

    def _delegated(self, effect: Delegate) -> Steps[Entry | None]:
        if self._delegate is None:
            return None
        promise, mine = self._delegate(self._session, effect.request, self._backend)
        if promise is None:
            return None
        return (
            yield from self.resources.await_renewal(
                promise, effect.timeout, mine=mine, until_confirmed=effect.until_confirmed
            )
        )

    # ------------------------------------------------------------------------------ the end
    def close(self) -> Callable[[], Any] | None:
        """Give back what is held; returns the release of the store's lock, if that is left."""
        return self.resources.close()
