"""Performing the flow's effects: one ``Performer`` for each flow.

It sends what the flow wants sent, and reads what the flow has to know of the responses; permits
and store are its ``Resources``. What it returns are *steps*: requests that the client whose flow
it is has to send, and what an async client has to await.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

from httpx_cobo_auth._protocol.effects import (
    BeginWrite,
    CorrectClock,
    Delegate,
    Drain,
    Effect,
    Emit,
    EndWrite,
    Enter,
    Entry,
    Exchange,
    ExchangeFault,
    ExchangeReply,
    Flow,
    Leave,
    Load,
    LockStore,
    Outlives,
    ResponseSummary,
    Save,
    Send,
    Sleep,
    UnlockStore,
)
from httpx_cobo_auth._protocol.flow import Call
from httpx_cobo_auth._protocol.verdicts import READ_STATUSES, error_code_of
from httpx_cobo_auth._runtime.backends import resolve
from httpx_cobo_auth._runtime.exchange_watch import ExchangeWatch
from httpx_cobo_auth._runtime.family import family_of
from httpx_cobo_auth._runtime.parents import inside
from httpx_cobo_auth._runtime.requests import check_redirects
from httpx_cobo_auth._runtime.resources import Resources
from httpx_cobo_auth.errors import CoboAuthError, RedirectedError, TokenEndpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
    from httpx_cobo_auth._protocol.tokens import HeldToken
    from httpx_cobo_auth._runtime.backends import Backend, Steps
    from httpx_cobo_auth._runtime.promises import Promise
    from httpx_cobo_auth._runtime.session import Session

    Delegated = Callable[[Session, RenewalRequest, Backend], tuple[Promise[None] | None, bool]]

__all__ = ["Performer"]

_T = TypeVar("_T")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_REPLAY_EXTENSION = "cobo_replay"
_FINE = ResponseSummary(200)
"""Any response that says nothing about our credentials."""


class Performer:
    """Performs the effects of one flow.

    Args:
        session: what the flows of one auth object share.
        request: of the caller; ``None`` where only a token is wanted.
        backend: sync or async, with a client of its own to send exchanges by, or without.
        delegate: has a renewal run on its own; ``None`` where there is no client for it.
        promise: of the renewal that this flow is, where it runs on its own.

    """

    __slots__ = (
        "_backend",
        "_base",
        "_delegate",
        "_exchanges",
        "_promise",
        "_request",
        "_sent",
        "_sent_at",
        "_session",
        "resources",
    )

    def __init__(
        self,
        session: Session,
        request: httpx.Request | None,
        backend: Backend,
        delegate: Delegated | None = None,
        promise: Promise[None] | None = None,
    ) -> None:
        self._session = session
        self._request = request
        self._backend = backend
        self._delegate = delegate
        self._promise = promise
        # Of the nonces, and of the monotonic clock, when the last request was signed.
        self._base = 0.0
        self._sent_at = 0.0
        self._exchanges: tuple[httpx.Response, ...] = ()
        self._sent: httpx.Response | None = None
        self.resources = Resources(session, backend)

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

    def _deliver(self, request: httpx.Request, held: HeldToken | None) -> Steps[httpx.Response]:
        wire, resources = self._session.wire, self.resources
        self._base = wire.nonces.base
        wire.sign(request, held.token if held is not None else None)
        self._sent_at = self._session.account.clock.monotonic()
        response: httpx.Response
        if resources.write is None:
            response = yield request
        else:
            with inside(resources.write, self._backend.identity()):
                response = yield request
            resources.end_write()
        return response

    def _send(self, effect: Send) -> Steps[ResponseSummary]:
        session, request, held = self._session, self._request, effect.held
        assert request is not None  # noqa: S101 - a flow that sends was given a request
        response, self._sent = self._sent, None
        if response is None:
            response = yield from self._deliver(request, held)
        if response.history:
            self._scrub(response)
            check_redirects(response, session.wire, exchange=False)
        server_time = None
        if held is not None and held.unchecked:
            server_time = session.wire.claimed_time(response)
        return (yield from self._summary(response, server_time))

    def _summary(
        self, response: httpx.Response, server_time: float | None
    ) -> Steps[ResponseSummary]:
        session, status = self._session, response.status_code
        whole = session.verify_responses
        if not whole and status not in READ_STATUSES:
            return _FINE if server_time is None else ResponseSummary(200, server_time=server_time)
        body = yield from resolve(self._backend.read(response, whole=whole))
        if whole:
            session.wire.verify(response, body)
        if body is None or status not in READ_STATUSES:
            # Longer than any error of Cobo's, and still holding the connection that an exchange
            # would need: the caller's alone.
            return ResponseSummary(200, server_time=server_time)
        return ResponseSummary(
            status,
            error_code_of(body),
            session.wire.seconds_off(response, body, self._base, self._sent_at),
            empty=not body and response.request.method == "HEAD",
            server_time=server_time,
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
                locked = yield from resources.lock_store(effect.timeout)
                if self._promise is not None:
                    self._promise.reach()
                return locked
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
        raise AssertionError(effect)

    def _delegated(self, effect: Delegate) -> Steps[Entry | None]:
        if self._delegate is None:
            return None
        promise, mine = self._delegate(self._session, effect.request, self._backend)
        if promise is None:
            return None
        return (
            yield from self.resources.await_renewal(
                promise, effect.timeout, mine=mine, until_locked=effect.until_locked
            )
        )

    # ------------------------------------------------------------------------- token requests
    def _exchange(self, effect: Exchange) -> Steps[ExchangeReply | ExchangeFault]:
        session, timeout, permit = self._session, effect.timeout, self.resources.renewal
        assert permit is not None  # noqa: S101 - who exchanges has the permit
        watch, wire = ExchangeWatch(), session.wire
        self._base = wire.nonces.base
        # By our own client, or along with the caller's request: with the name that it has.
        sender: Any = self._member
        try:
            request = wire.exchange_request(
                self._family.Request,
                session.account.key,
                effect.spend,
                timeout,
                sender=sender,
                again=effect.again,
            )
        except CoboAuthError as error:
            return ExchangeFault(error.with_traceback(None), unsent=True)
        self._sent_at = session.account.clock.monotonic()
        is_async = self._backend.loop() is not None
        request.extensions["trace"] = watch.tracer(is_async=is_async)
        deadline = time.monotonic() + timeout
        try:
            with inside(permit, self._backend.identity(), watch):
                if self._backend.client is None:
                    response = yield request
                else:
                    response = yield from resolve(self._backend.send(request, timeout))
            # An earlier exchange in its history may be a redirect that nobody followed.
            self._scrub(response)
            self._exchanges += (response,)
            check_redirects(response, wire, exchange=True)
            left = max(0.1, deadline - time.monotonic())
            body = yield from resolve(self._backend.take(response, left))
        except RedirectedError as error:
            return ExchangeFault(error.with_traceback(None), unsent=False)
        except Exception as error:
            if not self._is_fault(error, late=time.monotonic() >= deadline):
                raise
            unsent = watch.certainly_unsent(error, request, self._family)
            return _fault(error, unsent=unsent)
        finally:
            _empty(request)
        return wire.exchange_answer(response, body, self._base, self._sent_at)

    def _is_fault(self, error: Exception, *, late: bool) -> bool:
        """Whether it is the exchange that failed.

        Through a client of ours, whatever is raised concerns the exchange. In a flow of the
        caller's own it may as well come from a signal handler, and must reach the caller.
        """
        if self._backend.client is not None:
            return True
        family = self._family
        ours = isinstance(error, TimeoutError) and late
        return ours or isinstance(error, (family.HTTPError, family.StreamError))

    @property
    def _member(self) -> Any:  # noqa: ANN401 - a request or a client, of either family
        return self._request if self._backend.client is None else self._backend.client

    @property
    def _family(self) -> Any:  # noqa: ANN401 - a module, httpx or httpx2
        return family_of(self._member)

    def _scrub(self, response: httpx.Response) -> None:
        """Take exchanges out of the history that the caller gets to see."""
        if not self._exchanges:
            return
        mine = {id(exchange) for exchange in self._exchanges}
        for earlier in (response, *response.history):
            earlier.history = [past for past in earlier.history if id(past) not in mine]

    # ------------------------------------------------------------------------------ the end
    def close(self) -> Callable[[], Any] | None:
        """Give back what is held; returns the release of the store's lock, if that is left."""
        return self.resources.close()


def _fault(error: Exception, *, unsent: bool) -> ExchangeFault:
    """Return the fault without the error: that knows the request, and with it the refresh token.

    Not its text either, which may repeat what the server sent.
    """
    what = "could not be reached" if unsent else "gave no answer"
    message = f"the token endpoint {what} ({type(error).__name__})"
    return ExchangeFault(TokenEndpointError(message), unsent)


def _empty(request: httpx.Request) -> None:
    """Take the refresh token out of a request that an error may keep."""
    request.stream = family_of(request).ByteStream(b"")
    if hasattr(request, "_content"):
        request._content = b""  # noqa: SLF001 - it has no way to forget its content
