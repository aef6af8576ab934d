"""Performing the flow's effects, but for the few operations that are a driver's.

One ``Performer`` for each flow. It sends what the flow wants sent, and reads what of the
answers the flow has to know; the rest is done by its ``Holdings``.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, assert_never

from httpx_cobo_auth._protocol.effects import (
    BeginWrite,
    CorrectClock,
    Drain,
    Effect,
    Emit,
    EndWrite,
    Enter,
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
from httpx_cobo_auth._protocol.verdicts import READ_STATUSES, error_code_of
from httpx_cobo_auth._runtime.family import family_of
from httpx_cobo_auth._runtime.holdings import Holdings, MakesWaiters, parents
from httpx_cobo_auth._runtime.ops import Pause, ReadAnswer, SendOwn, TakeBody
from httpx_cobo_auth._runtime.requests import check_redirects
from httpx_cobo_auth.errors import CoboAuthError, RedirectedError, TokenEndpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from httpx_cobo_auth._runtime.ops import Steps
    from httpx_cobo_auth._runtime.permits import Permit
    from httpx_cobo_auth._runtime.session import Session

__all__ = ["Performer"]

_T = TypeVar("_T")
_LONGEST_TEXT = 200
_FINE = ResponseSummary(200)
"""Any status that says nothing about our credentials."""


class _Drives(MakesWaiters, Protocol):
    """What a performer has to know of its driver."""

    @property
    def has_client(self) -> bool:
        """Whether it can send exchanges by itself."""
        ...


class Performer:
    """Performs the effects of one flow.

    Args:
        session: what the flows of one auth object share.
        request: of the caller; ``None`` where only a token is wanted.
        member: a request or a client, to tell which family's requests to make; ``None``
            where none are made.
        driver: who waits, and may have a client of its own to send exchanges by; otherwise
            they are yielded, and travel through the client whose flow it is.

    """

    __slots__ = (
        "_base",
        "_driver",
        "_exchanges",
        "_held",
        "_member",
        "_request",
        "_sent_at",
        "_session",
    )

    def __init__(
        self, session: Session, request: httpx.Request | None, member: object, driver: _Drives
    ) -> None:
        """Hold nothing yet."""
        self._session = session
        self._request = request
        self._member = member
        self._driver = driver
        self._held: Holdings | None = None
        # Of the nonces, and of the monotonic clock, when the last request was signed.
        self._base: float | None = None
        self._sent_at: float | None = None
        self._exchanges: tuple[httpx.Response, ...] = ()

    def check(self) -> httpx.Request | None:
        """Give the request, once it is known to go to the right origin, before any I/O."""
        if self._request is not None:
            self._session.wire.check_origin(self._request)
        return self._request

    # --------------------------------------------------------------------------- the loop
    def run(self, flow: Flow[_T]) -> Steps[_T]:
        """Perform effect after effect, and give what the flow returns."""
        result: Any = None
        failure: CoboAuthError | None = None
        try:
            while True:
                effect = flow.send(result) if failure is None else flow.throw(failure)
                result = failure = None
                try:
                    # Most flows are made of these two: they take the short way.
                    if type(effect) is Send:
                        result = yield from self._send(effect)
                    elif type(effect) is not BeginWrite or not self._holdings.begin_write():
                        result = yield from self._perform(effect)
                except CoboAuthError as error:
                    failure = error
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    @property
    def _holdings(self) -> Holdings:
        if self._held is None:
            self._held = Holdings(self._session, self._driver)
        return self._held

    def _perform(self, effect: Effect) -> Steps[Any]:  # noqa: C901, PLR0911, PLR0912 - one line for each effect
        holdings = self._holdings
        match effect:
            case Send():  # pragma: no cover - takes the short way above
                return (yield from self._send(effect))
            case BeginWrite():
                return (yield from holdings.await_write())
            case EndWrite():
                return holdings.end_write()
            case Enter():
                return (yield from holdings.enter(effect.timeout))
            case Leave():
                return (yield from holdings.leave(effect.error))
            case Drain():
                return (yield from holdings.drain(effect.timeout))
            case Exchange():
                return (yield from self._exchange(effect))
            case Load():
                return (yield from holdings.load())
            case Save():
                return (yield from holdings.save(effect.record, effect.expected))
            case LockStore():
                return (yield from holdings.lock_store(effect.timeout))
            case UnlockStore():
                return (yield from holdings.unlock_store())
            case Outlives():
                return holdings.remaining() >= effect.seconds
            case CorrectClock():
                return self._session.wire.nonces.correct_by(effect.seconds_off, self._base)
            case Sleep():
                return (yield Pause(effect.seconds))
            case Emit():
                return self._session.emit(effect.event)
        assert_never(effect)

    # --------------------------------------------------------------------- requests, sent
    def _send(self, effect: Send) -> Steps[ResponseSummary]:
        session, request = self._session, self._request
        assert request is not None  # noqa: S101 - a flow that sends was given a request
        held, holdings = effect.held, self._held
        wire = session.wire
        self._signing()
        wire.sign(request, held.token if held is not None else None)
        response: httpx.Response
        if holdings is None or holdings.write is None:
            response = yield request
        else:
            response = yield from self._inside(holdings.write, request)
            holdings.end_write()
        if response.history:
            self._scrub(response)
            try:
                check_redirects(response, wire, exchange=False)
            except RedirectedError:
                session.expose(held)
                raise
        status = response.status_code
        if session.verify_responses:
            body = yield ReadAnswer(response, whole=True)
            wire.verify(response, body)
        elif status not in READ_STATUSES:
            return _FINE
        else:
            body = yield ReadAnswer(response)
        if body is None:
            # Longer than any error of Cobo's, and still holding the connection that an exchange
            # would need: the caller's alone.
            return _FINE
        off = wire.seconds_off(response, body, self._base, self._sent_at)
        return ResponseSummary(status, error_code_of(body), off)

    def _exchange(self, effect: Exchange) -> Steps[ExchangeReply | ExchangeFault]:
        session, timeout = self._session, effect.timeout
        self._signing()
        # By our own client, or along with the caller's request: with the name that it has.
        sender: Any = self._member if self._driver.has_client else self._request
        request = session.wire.exchange_request(
            self._family.Request, session.account.key, effect.spend, timeout, sender=sender
        )
        deadline = time.monotonic() + timeout
        to_send = SendOwn(request, timeout) if self._driver.has_client else request
        try:
            response = yield from self._inside(self._holdings.seat, to_send)
        except Exception as error:  # noqa: BLE001 - sorted out by _fault
            return self._fault(error)
        # An earlier exchange in its history may be a redirect that nobody followed.
        self._scrub(response)
        self._exchanges += (response,)
        try:
            check_redirects(response, session.wire, exchange=True)
            body = yield TakeBody(response, max(0.1, deadline - time.monotonic()))
        except RedirectedError as error:
            return ExchangeFault(error.with_traceback(None), unsent=False)
        except Exception as error:  # noqa: BLE001
            return self._fault(error)
        return session.wire.exchange_answer(response, body, self._base, self._sent_at)

    def _signing(self) -> None:
        """Take note of when a request is signed."""
        self._base = self._session.wire.nonces.base
        self._sent_at = self._session.settings.clock.monotonic()

    @property
    def _family(self) -> Any:  # noqa: ANN401 - a module, httpx or httpx2
        return family_of(self._member)

    def _fault(self, error: Exception) -> ExchangeFault:
        """Sort a failure to reach the token endpoint.

        The error itself is let go of: it knows the request, and with it the refresh token.
        """
        family = self._family
        if not isinstance(error, (family.HTTPError, family.StreamError, TimeoutError, OSError)):
            raise error
        unsent = isinstance(
            error,
            (family.ConnectError, family.ConnectTimeout, family.PoolTimeout, family.ProxyError),
        )
        what = "could not be reached" if unsent else "gave no answer"
        text = f"{type(error).__name__}: {error}"[:_LONGEST_TEXT]
        return ExchangeFault(TokenEndpointError(f"the token endpoint {what} ({text})"), unsent)

    def _inside(self, ticket: Permit | None, request: httpx.Request | SendOwn) -> Steps[Any]:
        assert ticket is not None  # noqa: S101 - an exchange has its seat, a write its ticket
        reset = parents.set((*parents.get(), ticket.number))
        try:
            return (yield request)
        finally:
            # A flow can be closed from another task. The number means nothing by now.
            with contextlib.suppress(ValueError):
                parents.reset(reset)

    def _scrub(self, response: httpx.Response) -> None:
        """Take exchanges out of the history that the caller gets to see."""
        if not self._exchanges:
            return
        mine = {id(exchange) for exchange in self._exchanges}
        for earlier in (response, *response.history):
            earlier.history = [past for past in earlier.history if id(past) not in mine]

    # ------------------------------------------------------------------------------ the end
    @property
    def awaits(self) -> bool:
        """Whether the store is an async one."""
        return self._session.awaits

    def close(self) -> Callable[[], Any] | None:
        """Give back what is held; gives the release of the store's lock, if that is left."""
        return self._held.close() if self._held is not None else None
