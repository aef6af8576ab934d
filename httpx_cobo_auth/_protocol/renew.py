"""One renewal, for all who may want one.

A renewal belongs to the account, and not to the caller who noticed that it is due. So it runs on
its own wherever somebody can run it, and callers wait for it side by side, or not at all. With
plain ``auth=`` the exchange has to travel through the flow of one call: that caller obtains the
renewal permit of this process, and the others wait until it is given back.

Failures are raised only where the caller cannot go on without a new token.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.effects import Delegate, Emit, Enter, Flow, Leave
from httpx_cobo_auth._protocol.known import Urgency
from httpx_cobo_auth._protocol.renewal import Renewal
from httpx_cobo_auth._protocol.reports import renewal_awaited
from httpx_cobo_auth.errors import CoboAuthError, RenewalTimeoutError, TokenRefusedError

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.effects import Entry
    from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
    from httpx_cobo_auth._protocol.settings import Settings
    from httpx_cobo_auth._protocol.tokens import HeldToken

__all__ = ["obtain", "renew"]

_WORTH_TELLING_S = 0.1


def obtain(account: Account, settings: Settings, request: RenewalRequest) -> Flow[HeldToken | None]:
    """Return a token that meets the request, once somebody has renewed it.

    Returns ``None`` where no token could be obtained and the caller can do without one, or where
    forced renewals are being held off.

    Raises:
        TokenUnavailableError: no token, and the caller cannot do without.
        StoreError: the same, because of the store.

    """
    held = request.met_by(account)
    if held is not None:
        return held
    began = account.clock.monotonic()
    held = yield from _obtain(account, settings, request, began + request.patience(settings))
    waited = account.clock.monotonic() - began
    if waited >= _WORTH_TELLING_S:
        yield from Emit(renewal_awaited(account, waited))
    return held


def _obtain(
    account: Account, settings: Settings, request: RenewalRequest, deadline: float
) -> Flow[HeldToken | None]:
    clock = account.clock
    while True:
        left = max(0.0, deadline - clock.monotonic())
        # Others may be sending an early one: what that takes is nobody's to wait for.
        entry = yield from Delegate(request, left, until_confirmed=request.urgency is Urgency.EARLY)
        if entry is None:
            return (yield from renew(account, settings, request))
        # One that ran for this very request has done what can be done. Another's did not wait for
        # another process, perhaps, where this one would.
        done = entry.entered or not entry.ended
        if _settled(account, request, entry) or done or (request.optional and not request.waits):
            return request.met_by(account, doubtful=True)


def renew(account: Account, settings: Settings, request: RenewalRequest) -> Flow[HeldToken | None]:
    """Renew here, unless somebody else does. Returns and raises as ``obtain``."""
    held = request.met_by(account)
    if held is not None:
        return held
    clock = account.clock
    deadline = clock.monotonic() + request.patience(settings)
    if not (yield from _enter(account, request, deadline)):
        return request.met_by(account, doubtful=True)
    renewal = Renewal(account, settings, request)
    failure: CoboAuthError | None = None
    try:
        held = yield from renewal.run(deadline)
    except CoboAuthError as error:
        failure = error
        renewal.failed(error)
    # An optional attempt is a short one: what it failed of is nothing for others to raise. What is
    # left for them is a copy: a traceback would keep this caller's request and body alive.
    yield from Leave(None if request.optional else copy.copy(failure))
    for event in renewal.reports.events:
        yield from Emit(event)
    if failure is None or request.optional:
        return held
    held = request.met_by(account, doubtful=True)
    if held is None or isinstance(failure, TokenRefusedError):
        raise failure
    # The endpoint gives no answer; an old token that may still work is better than none.
    return held


def _enter(account: Account, request: RenewalRequest, deadline: float) -> Flow[bool]:
    """Obtain the permit; ``False`` where somebody else's renewal has settled the matter."""
    while True:
        entry = yield from Enter(max(0.0, deadline - account.clock.monotonic()))
        if entry.entered:
            return True
        if _settled(account, request, entry):
            return False


def _settled(account: Account, request: RenewalRequest, entry: Entry) -> bool:
    """Whether somebody else's renewal has settled the matter; if not, it is ours to renew.

    Raises:
        CoboAuthError: what that one failed of.

    """
    # A token in doubt will do only where there was no answer, or no end.
    in_vain = entry.error is not None or not entry.ended
    if request.met_by(account, doubtful=in_vain) is not None:
        return True
    if request.optional and in_vain:
        return True
    if entry.error is not None:
        # One attempt for all who waited; each raises an error of its own.
        raise copy.copy(entry.error)
    if not entry.ended:
        message = "gave up waiting for another renewal in this process to end"
        raise RenewalTimeoutError(message)
    return False
