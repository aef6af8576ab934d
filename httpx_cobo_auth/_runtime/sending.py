"""Sending: the caller's request, and those to the token endpoint.

What the flow gets to know of a response is a ``ResponseSummary`` or an ``ExchangeReply``. Both
kinds of requests may travel through the flow of one call, whose caller then must see nothing of
the token requests.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.effects import (
    Exchange,
    ExchangeFault,
    ExchangeReply,
    ResponseSummary,
    Send,
)
from httpx_cobo_auth._protocol.verdicts import READ_STATUSES, error_code_of
from httpx_cobo_auth._runtime.backends import resolve
from httpx_cobo_auth._runtime.exchange_watch import ExchangeWatch
from httpx_cobo_auth._runtime.family import family_of, is_closed
from httpx_cobo_auth._runtime.parents import inside
from httpx_cobo_auth._runtime.redirects import check_redirects
from httpx_cobo_auth._runtime.resources import Resources
from httpx_cobo_auth.errors import CoboAuthError, RedirectedError, TokenEndpointError

if TYPE_CHECKING:
    import httpx

    from httpx_cobo_auth._protocol.tokens import HeldToken
    from httpx_cobo_auth._runtime.backends import Backend, Steps
    from httpx_cobo_auth._runtime.session import Session

__all__ = ["Sender"]

_FINE = ResponseSummary(200)
"""Any response that says nothing about our credentials."""


class Sender:
    """Sends for one flow.

    Args:
        session: what the flows of one auth object share.
        request: of the caller; ``None`` where only a token is wanted.
        backend: sync or async, with a client of its own to send exchanges by, or without.

    """

    __slots__ = (
        "_backend",
        "_base",
        "_exchanges",
        "_request",
        "_sent",
        "_sent_at",
        "_session",
        "resources",
    )

    def __init__(self, session: Session, request: httpx.Request | None, backend: Backend) -> None:
        self._session = session
        self._request = request
        self._backend = backend
        # Of the nonces, and of the monotonic clock, when the last request was signed.
        self._base = 0.0
        self._sent_at = 0.0
        self._exchanges: tuple[httpx.Response, ...] = ()
        self._sent: httpx.Response | None = None
        self.resources = Resources(session, backend)

    # ------------------------------------------------------------------ the caller's request
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
        body: bytes | None = yield from resolve(self._backend.read(response, whole=whole))
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
        closed = is_closed(self._backend.client)
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
            unsent = closed or watch.certainly_unsent(error, request, self._family)
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
    request._content = b""  # noqa: SLF001 - it cannot forget it  # pyright: ignore[reportPrivateUsage]
