"""Renewals that run on their own, and are nobody's request.

One for an account at a time: in a thread or in a task, with an empty context, sending through the
client of whoever started it. Callers wait for it, or not; cancelling or interrupting a caller
does not touch it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._protocol.renew import renew
from httpx_cobo_auth._runtime.backends import resolve
from httpx_cobo_auth._runtime.performer import Performer
from httpx_cobo_auth._runtime.promises import Promise
from httpx_cobo_auth.errors import CoboAuthError, TokenUnavailableError

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
    from httpx_cobo_auth._runtime.backends import Backend, Steps
    from httpx_cobo_auth._runtime.session import Session

__all__ = ["start_renewal"]


def start_renewal(
    session: Session, request: RenewalRequest, backend: Backend
) -> tuple[Promise[None] | None, bool]:
    """Return the renewal under way, and whether it was started for this request.

    Returns ``None`` for it where none can be started.
    """
    promise: Promise[None] = Promise()

    def run(backend: Backend) -> Steps[None]:
        performer = Performer(session, None, backend, promise=promise)
        try:
            yield from performer.run(renew(session.account, session.settings, request))
        except CoboAuthError as error:
            promise.end(error=copy.copy(error))  # No traceback: it would hold this frame.
        except Exception as error:  # noqa: BLE001 - a defect, or a store that breaks its contract
            promise.end(error=_wrapped(error))
        finally:
            release = performer.close()
            if release is not None:
                yield from resolve(backend.call(release, blocking=session.blocking))

    def enter(current: Promise[None] | None) -> tuple[Promise[None] | None, Any]:
        if current is not None and not current.done and not current.lost:
            return current, current
        return promise, promise

    try:
        current: Promise[None] = session.shared.renewal.update(enter)
        if current is not promise:
            return current, False
        if backend.start(run, promise):
            _keep(backend.client, promise)
            return promise, True
    except BaseException:
        # A signal handler's: nobody must wait for what was not begun.
        promise.end()
        raise
    promise.end()
    return None, False


def _keep(client: object, promise: Promise[None]) -> None:
    """Let the client know what runs through it, if it is one that waits for that when closed."""
    renewals: list[Promise[None]] | None = getattr(client, "cobo_renewals", None)
    if renewals is not None:
        renewals[:] = [*(other for other in renewals if not other.done), promise]


def _wrapped(error: Exception) -> TokenUnavailableError:
    return TokenUnavailableError(f"the renewal failed: {type(error).__name__}")
