"""Performing the flow's effects, but for the few operations that are a driver's.

One ``Performer`` for each flow. It owns what the flow holds (the renewer's seat, a write in
flight, the store's lock) and gives it back at the end, however that comes: ``close`` is called
by the driver. Where nobody resumes the driver any more, each of them gives itself back, when
it is garbage.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, assert_never

from httpx_cobo_auth.effects import (
    Answer,
    BeginWrite,
    CorrectClock,
    Drain,
    Effect,
    Emit,
    EndWrite,
    Enter,
    Entry,
    Exchange,
    ExchangeAnswer,
    ExchangeFault,
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
from httpx_cobo_auth.errors import (
    CoboAuthError,
    RedirectedError,
    RenewalTimeoutError,
    StoreUnavailableError,
    TokenEndpointError,
)
from httpx_cobo_auth.family import family_of
from httpx_cobo_auth.judge import READ_STATUSES, error_code_of
from httpx_cobo_auth.ops import CallStore, How, Pause, ReadAnswer, SendOwn, TakeBody
from httpx_cobo_auth.wire import check_redirects

_T = TypeVar("_T")

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import httpx

    from httpx_cobo_auth.custody import AsyncCustody, Custody
    from httpx_cobo_auth.gate import Ticket
    from httpx_cobo_auth.ops import AnyOp, Waiting
    from httpx_cobo_auth.session import Session

    Steps = Generator[httpx.Request | AnyOp, Any, _T]
    """What a driver goes through; it gives what the flow returns."""

__all__ = ["Performer", "Steps"]

_logger = logging.getLogger("httpx_cobo_auth")
_FIRST_POLL_S = 0.005
_SLOWEST_POLL_S = 0.025
_LONGEST_TEXT = 200
_FINE = Answer(200)
"""Any status that says nothing about our credentials."""

# Inside of which tickets this code runs: a request made in another's event hook must not
# wait for its own parent.
_parents: contextvars.ContextVar[tuple[int, ...]] = contextvars.ContextVar(
    "httpx_cobo_auth_parents", default=()
)


class Drives(Protocol):
    """What a performer has to know of its driver."""

    @property
    def has_client(self) -> bool:
        """Whether it can send exchanges by itself."""
        ...

    def new_waiter(self) -> Waiting:
        """Make something to wait by."""
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
        "_custody",
        "_driver",
        "_exchanges",
        "_member",
        "_request",
        "_seat",
        "_session",
        "_write",
    )

    def __init__(
        self, session: Session, request: httpx.Request | None, member: object, driver: Drives
    ) -> None:
        """Hold nothing yet."""
        self._session = session
        self._request = request
        self._member = member
        self._driver = driver
        self._custody: Custody | AsyncCustody | None = None
        self._seat: Ticket | None = None
        self._write: Ticket | None = None
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
                    elif type(effect) is not BeginWrite or not self._begin_write():
                        result = yield from self._perform(effect)
                except CoboAuthError as error:
                    failure = error
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def _perform(self, effect: Effect) -> Steps[Any]:  # noqa: C901, PLR0911, PLR0912 - one line for each effect
        match effect:
            case Send():
                return (yield from self._send(effect))
            case BeginWrite():
                return (yield from self._await_write())
            case EndWrite():
                return self._end_write()
            case Enter():
                return (yield from self._enter(effect.timeout))
            case Leave():
                return (yield from self._leave(effect.error))
            case Drain():
                return (yield from self._drain(effect.timeout))
            case Exchange():
                return (yield from self._exchange(effect))
            case Load():
                return (yield from self._call_store(self._store.load))
            case Save():
                save, record, expected = self._store.save, effect.record, effect.expected
                return (yield from self._call_store(lambda: save(record, expected)))
            case LockStore():
                return (yield from self._lock_store(effect.timeout))
            case UnlockStore():
                return (yield from self._unlock_store())
            case Outlives():
                return self._store.remaining() >= effect.seconds
            case CorrectClock():
                return self._session.wire.nonces.correct_by(effect.seconds_off)
            case Sleep():
                return (yield Pause(effect.seconds))
            case Emit():
                return self._session.emit(effect.event)
        assert_never(effect)

    # --------------------------------------------------------------------- requests, sent
    def _send(self, effect: Send) -> Steps[Answer]:
        session, request = self._session, self._request
        assert request is not None  # noqa: S101 - a flow that sends was given a request
        held, write = effect.held, self._write
        session.wire.sign(request, held.token if held is not None else None)
        response: httpx.Response
        if write is None:
            response = yield request
        else:
            response = yield from self._inside(write, request)
            self._write = None
            write.release()
        if response.history:
            self._scrub(response)
            try:
                check_redirects(response, session.wire, exchange=False)
            except RedirectedError:
                session.expose(held)
                raise
        status = response.status_code
        if session.verify_responses:
            body = yield ReadAnswer(response, whole=True)
            session.wire.verify(response, body)
        elif status not in READ_STATUSES:
            return _FINE
        else:
            body = yield ReadAnswer(response)
        if body is None:
            return Answer(status)
        return Answer(status, error_code_of(body), session.wire.seconds_off(response, body))

    def _exchange(self, effect: Exchange) -> Steps[ExchangeAnswer | ExchangeFault]:
        session, timeout = self._session, effect.timeout
        request = session.wire.exchange_request(
            self._family.Request, session.account.key, effect.spend, timeout
        )
        deadline = time.monotonic() + timeout
        to_send = SendOwn(request, timeout) if self._driver.has_client else request
        try:
            response = yield from self._inside(self._seat, to_send)
        except Exception as error:  # noqa: BLE001 - sorted out by _fault
            return self._fault(error)
        self._exchanges += (response,)
        try:
            check_redirects(response, session.wire, exchange=True)
            body = yield TakeBody(response, max(0.1, deadline - time.monotonic()))
        except RedirectedError as error:
            return ExchangeFault(error.with_traceback(None), unsent=False)
        except Exception as error:  # noqa: BLE001
            return self._fault(error)
        return session.wire.exchange_answer(response, body)

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

    def _inside(self, ticket: Ticket | None, request: httpx.Request | SendOwn) -> Steps[Any]:
        if ticket is None:
            return (yield request)
        reset = _parents.set((*_parents.get(), ticket.number))
        try:
            return (yield request)
        finally:
            # A flow can be closed from another task. The number means nothing by now.
            with contextlib.suppress(ValueError):
                _parents.reset(reset)

    def _scrub(self, response: httpx.Response) -> None:
        """Take exchanges out of the history that the caller gets to see."""
        if not self._exchanges:
            return
        mine = {id(exchange) for exchange in self._exchanges}
        for earlier in (response, *response.history):
            earlier.history = [past for past in earlier.history if id(past) not in mine]

    # ----------------------------------------------------------------------------- the gate
    def _enter(self, timeout: float) -> Steps[Entry]:
        gate, parents = self._session.gate, _parents.get()
        if parents and any(gate.is_seat(number) for number in parents):
            return Entry()
        deadline, ended = time.monotonic() + timeout, gate.ended
        while True:
            waiter = self._driver.new_waiter() if timeout > 0 else None
            self._seat = gate.enter(waiter, parents)
            if self._seat is not None:
                return Entry(entered=True)
            if waiter is None or not (yield from self._wait(waiter, deadline)):
                return Entry()
            if gate.ended != ended:
                return Entry(ended=True, error=gate.error)

    def _leave(self, error: CoboAuthError | None) -> Steps[None]:
        yield from self._unlock_store()
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.release(error)

    def _begin_write(self) -> bool:
        """Enter the write if the door is open."""
        self._write = self._session.gate.begin_write(None, _parents.get())
        return self._write is not None

    def _await_write(self) -> Steps[None]:
        """Enter the write when the door opens."""
        gate, parents = self._session.gate, _parents.get()
        deadline = time.monotonic() + self._session.settings.timeouts.wait
        while True:
            waiter = self._driver.new_waiter()
            self._write = gate.begin_write(waiter, parents)
            if self._write is not None:
                return
            if not (yield from self._wait(waiter, deadline)):
                message = "waited in vain for a renewal to end before sending a write"
                raise RenewalTimeoutError(message)

    def _end_write(self) -> None:
        write, self._write = self._write, None
        if write is not None:
            write.release()

    def _drain(self, timeout: float) -> Steps[bool]:
        gate, seat = self._session.gate, self._seat
        deadline = time.monotonic() + timeout
        while seat is not None:
            waiter = self._driver.new_waiter()
            if gate.drain(seat.number, waiter):
                return True
            if not (yield from self._wait(waiter, deadline)):
                break
        return False

    def _wait(self, waiter: Waiting, deadline: float) -> Steps[bool]:
        """Wait to be woken; tell whether there is time left to look again."""
        gate = self._session.gate
        try:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            # Not beyond the time at which the seat may be taken over.
            yield Pause(min(left, gate.seat_left + 0.001), waiter)
        finally:
            gate.unregister(waiter)
        return True

    # ---------------------------------------------------------------------------- the store
    @property
    def _store(self) -> Custody | AsyncCustody:
        if self._custody is None:
            self._custody = self._session.custody()
        return self._custody

    def _call_store(self, method: Callable[[], Any]) -> Steps[Any]:
        try:
            return (yield CallStore(method, self._session.how))
        except TimeoutError:
            message = "the token store took too long"
            raise StoreUnavailableError(message) from None

    def _lock_store(self, timeout: float) -> Steps[bool]:
        deadline, pause = time.monotonic() + timeout, _FIRST_POLL_S
        while not (yield from self._call_store(self._store.try_lock)):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            yield Pause(min(left, pause))
            pause = min(2 * pause, _SLOWEST_POLL_S)
        return True

    def _unlock_store(self) -> Steps[None]:
        if self._custody is not None:
            yield from self._call_store(self._custody.release)

    # ------------------------------------------------------------------------------ the end
    @property
    def awaits(self) -> bool:
        """Whether the store is an async one."""
        return self._session.awaits

    def close(self) -> Callable[[], Any] | None:
        """Give back what is held; gives the release of the store's lock, if that is left."""
        if self._write is not None:
            self._end_write()
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.release()
        custody = self._custody
        return custody.release if custody is not None and custody.close() else None
