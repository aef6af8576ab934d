"""Renewals that run on their own, and are nobody's request.

One for an account at a time: in a thread or in a task, with an empty context, sending through the
client of whoever started it. Callers wait for it, or not; cancelling or interrupting a caller
does not touch it.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.renew import renew
from httpx_cobo_auth._runtime.backends import resolve, spoilt
from httpx_cobo_auth._runtime.family import is_closed
from httpx_cobo_auth._runtime.performer import Performer
from httpx_cobo_auth._runtime.promises import Promise
from httpx_cobo_auth.errors import CoboAuthError

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
    from httpx_cobo_auth._runtime.backends import Backend, Steps
    from httpx_cobo_auth._runtime.session import Session

__all__ = ["settled", "start_renewal"]

_CLOSE_TIMEOUT_S = 10.0
_BEGIN_TIMEOUT_S = 0.25
_LOOK_AFTER_S = 0.5


def start_renewal(
    session: Session, request: RenewalRequest, backend: Backend
) -> tuple[Promise[None] | None, bool]:
    """Return the renewal under way, and whether it was started for this request.

    Returns ``None`` for it where none can be started.
    """
    if is_closed(backend.client):
        return None, False
    promise: Promise[None] = Promise()

    def enter(current: Promise[None] | None) -> tuple[Promise[None] | None, Any]:
        if current is not None and not current.done and not current.lost:
            return current, current
        return promise, promise

    try:
        current: Promise[None] = session.shared.renewal.update(enter)
        if current is not promise:
            return current, False
        _keep(backend.client, promise)
        if backend.start(_Renewal(session, request, promise), promise):
            return promise, True
    except BaseException:
        # A signal handler's: nobody must wait for what was perhaps not begun.
        promise.stop()
        raise
    promise.end()
    return None, False


def _keep(client: object, promise: Promise[None]) -> None:
    """Let the client know what runs through it, if it is one that waits for that when closed."""
    renewals: list[Promise[None]] | None = getattr(client, "_cobo_renewals", None)
    if renewals is not None:
        renewals[:] = [*(other for other in renewals if not other.done), promise]


def settled(renewals: list[Promise[None]], backend: Backend) -> Steps[None]:
    """Wait for the renewals of a client that is to be closed, within a bound.

    An exchange that was begun should be saved. One that was not needs nobody: it is stopped, so
    that a store that hangs holds up no ``close``.
    """
    began = time.monotonic()
    for renewal in list(renewals):
        while not renewal.done and not renewal.lost:
            waited = time.monotonic() - began
            if waited >= _CLOSE_TIMEOUT_S:
                return
            patience = _LOOK_AFTER_S
            if not renewal.confirmed:
                patience = _BEGIN_TIMEOUT_S - waited
                if patience <= 0:
                    renewal.stop()
                    continue
            waiter = backend.waiter()
            renewal.add(waiter)
            yield from resolve(waiter.wait(min(patience, _CLOSE_TIMEOUT_S - waited)))
            renewal.discard(waiter)


class _Renewal:
    """A renewal that nobody waits for as its caller."""

    def __init__(self, session: Session, request: RenewalRequest, promise: Promise[None]) -> None:
        self.awaits: bool = session.awaits
        self._session = session
        self._request = request
        self._promise = promise
        self._performer: Performer | None = None

    def steps(self, backend: Backend) -> Steps[None]:
        """Renew; what that fails of is told by the promise."""
        session, promise = self._session, self._promise
        self._performer = performer = Performer(session, None, backend, promise=promise)
        try:
            yield from performer.run(renew(session.account, session.settings, self._request))
        except CoboAuthError as error:
            promise.end(error=copy.copy(error))  # No traceback: it would hold this frame.
        except Exception as error:  # noqa: BLE001 - a defect, or a store that breaks its contract
            promise.end(error=spoilt(error))

    def close(self) -> Callable[[], Any] | None:
        """Give back what is held; returns the release of the store's lock, if that is left."""
        return self._performer.close() if self._performer is not None else None
