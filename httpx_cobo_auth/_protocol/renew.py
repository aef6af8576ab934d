"""One renewal, of all that may want one.

In this order: the renewer's seat of this process, the store's lock, re-read (a newer token
ends it), drain the writes in flight, note the exchange as begun, check that the lock will
outlive it, exchange, save, release. Seat and lock are owned by whoever performs the effects,
and released by it too where this generator is never resumed.

Failures are raised only where the caller cannot go on without a new token.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.effects import Emit, Enter, Flow, Leave
from httpx_cobo_auth._protocol.renewal import Renewal
from httpx_cobo_auth.errors import CoboAuthError, RenewalTimeoutError, TokenRefusedError

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.effects import Entry
    from httpx_cobo_auth._protocol.renewal_request import RenewalRequest
    from httpx_cobo_auth._protocol.tokens import HeldToken

__all__ = ["renew"]


def renew(
    account: Account, need: RenewalRequest, *, verified: bool, shared: bool
) -> Flow[tuple[HeldToken | None, int]]:
    """Get a token that meets the need.

    Gives ``None`` where none was to be had and the caller can do without, or where forced
    renewals are being held off. Gives, too, the count of exchanges that this takes account of:
    those begun by the end of our own attempt, or before somebody else's.

    Args:
        account: whose.
        need: what for.
        verified: whether the environment has a key to verify answers by.
        shared: whether other processes may write to the same store.

    Raises:
        TokenUnavailableError: no token, and the caller cannot do without.
        StoreError: the same, because of the store.

    """
    held = need.met_by(account)
    if held is not None:
        return held, account.epoch
    epoch = account.epoch
    if not (yield from _enter(account, need)):
        return need.met_by(account, doubtful=True), epoch
    renewal = Renewal(account, need, verified=verified, shared=shared)
    failure: CoboAuthError | None = None
    try:
        held = yield from renewal.run()
    except CoboAuthError as error:
        failure = error
        renewal.failed(error)
    epoch = account.epoch
    # An optional attempt is a short one: what it failed of is nothing for others to raise.
    yield Leave(None if need.optional else failure)
    for event in renewal.news.events:
        yield Emit(event)
    if failure is None or need.optional:
        return held, epoch
    held = need.met_by(account, doubtful=True)
    if held is None or isinstance(failure, TokenRefusedError):
        raise failure
    # The endpoint gives no answer; an old token that may still work is better than none.
    return held, epoch


def _enter(account: Account, need: RenewalRequest) -> Flow[bool]:
    """Take the seat; ``False`` where somebody else's renewal has settled the matter."""
    clock = account.settings.clock
    patience = account.settings.timeouts.wait if need.patient else 0.0
    deadline = clock.monotonic() + patience
    while True:
        entry: Entry = yield Enter(max(0.0, deadline - clock.monotonic()))
        if entry.entered:
            return True
        # A token in doubt will do only where there was no answer, or no end.
        ineffective = entry.error is not None or not entry.ended
        if need.met_by(account, doubtful=ineffective) is not None:
            return False
        if need.optional and (entry.error is not None or not entry.ended):
            return False
        if entry.error is not None:
            # One attempt for all who waited; each raises an error of its own.
            raise copy.copy(entry.error)
        if not entry.ended:
            message = "waited in vain for another renewal in this process to end"
            raise RenewalTimeoutError(message)
