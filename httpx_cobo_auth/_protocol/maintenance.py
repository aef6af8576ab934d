"""What is done with the store besides renewing: all of it short, most of it optional."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.effects import (
    Emit,
    Enter,
    Flow,
    Leave,
    Load,
    LockStore,
    Save,
    UnlockStore,
)
from httpx_cobo_auth._protocol.records import Record
from httpx_cobo_auth.errors import RenewalTimeoutError, StoreConflictError, StoreError

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.records import Version
    from httpx_cobo_auth._protocol.settings import Settings
    from httpx_cobo_auth._protocol.tokens import HeldToken

__all__ = [
    "forget",
    "glance",
    "look_for_newer",
    "newer_record",
    "save_later",
    "save_token",
    "write_down",
]


def glance() -> Flow[Record | None]:
    """Return the stored record, if it can be read just now."""
    try:
        return (yield from Load())
    except StoreError:
        return None


def newer_record(account: Account) -> Flow[Record | None]:
    """Return the stored record, if it has another token than ours and can be read just now."""
    record = yield from glance()
    # A pending exchange is about to replace that token, or has killed it.
    return record if record and record.pending is None and account.is_newer(record) else None


def look_for_newer(account: Account, held: HeldToken) -> Flow[bool]:
    """Look, now and then, for a token that was renewed after a change of permissions."""
    if not account.holds(held):
        return True
    if not account.may_look():
        return False
    entry = yield from Enter(0.0)
    if not entry.entered:
        return False
    from httpx_cobo_auth._protocol.reports import RenewalReports  # noqa: PLC0415 - not before it is needed: the import is faster

    reports = RenewalReports(account)
    record = yield from newer_record(account)
    if record is not None:
        reports.taken_over(account.adopt(record))
    yield from Leave()
    for event in reports.events:
        yield from Emit(event)
    return bool(reports.events)


def write_down(account: Account, settings: Settings) -> Flow[None]:
    """Let other processes know what was learned of the token, if they can be told just now."""
    if not account.save_due():
        return
    try:
        if (yield from LockStore(0.0)):
            record = yield from Load()
            # Where an exchange is pending, its outcome will say what is to be known.
            if record is not None and record.pending is None:
                known = account.known
                if known.held is not None and known.held.generation == record.generation:
                    new = record.revised(
                        settings.new_owner(),
                        trust=known.trust,
                        attempts=known.attempts,
                        throttle=known.throttle,
                    )
                    yield from Save(new, record.version)
                    account.saved(new)
    except StoreError:
        pass
    yield from UnlockStore()


def save_token(
    account: Account, new: Record, expected: Version, owner: str
) -> Flow[Record | StoreError | None]:
    """Save a new token; if that cannot be done now, keep it to be saved later.

    Returns what the store has instead, if somebody else renewed meanwhile, or why it could not
    be saved.

    Args:
        account: that uses the token already.
        new: with the token.
        expected: the version that is to be replaced.
        owner: of the exchange that brought it; its note may be in the store or not.

    """
    failure: StoreError | None = None
    for _ in range(2):
        try:
            yield from Save(new, expected)
        except StoreConflictError as error:
            failure = error
        except StoreError as error:
            account.keep_unsaved(new, expected, owner)
            return error
        else:
            account.saved(new)
            return None
        # Either the note was saved although the store said no, or the lock lapsed.
        try:
            stored = (yield from Load()) or Record()
        except StoreError:
            break
        if stored.version == new.version and stored.token == new.token:
            account.saved(new)
            return None
        if stored.pending is None or stored.pending.owner != owner:
            theirs = stored if stored.pending is None and account.is_newer(stored) else None
            return theirs
        expected = stored.version
    account.keep_unsaved(new, expected, owner)
    return failure


def save_later(account: Account, settings: Settings) -> Flow[None]:
    """Save what could not be saved before, unless the record moved on since."""
    unsaved = account.known.unsaved
    if unsaved is None:
        yield from write_down(account, settings)
        return
    if not account.save_due():
        return
    entry = yield from Enter(0.0)
    if not entry.entered:
        return
    try:
        if (yield from LockStore(0.0)):
            stored = (yield from Load()) or Record()
            if unsaved.replaces(stored):
                known = account.known
                new = replace(unsaved.record, trust=known.trust, throttle=known.throttle)
                yield from Save(new, stored.version)
            account.saved(unsaved.record)
    except StoreError:
        pass
    yield from Leave()


def forget(account: Account, settings: Settings) -> Flow[None]:
    """Drop the token here and in the store.

    The record stays, empty and with a higher generation, so that nobody takes an older
    token for a newer one.
    """
    entry = yield from Enter(settings.wait)
    while not entry.entered:
        if not entry.ended:
            message = "gave up waiting for a renewal in this process to end"
            raise RenewalTimeoutError(message)
        entry = yield from Enter(settings.wait)
    if not (yield from LockStore(settings.timeouts.lock)):
        message = "gave up waiting for another process to renew the token"
        raise RenewalTimeoutError(message)
    record = (yield from Load()) or Record()
    generation = max(account.known.generation, record.generation) + 1
    empty = Record(generation, throttle=record.throttle)
    yield from Save(empty, record.version)
    account.forget()
    account.saw(empty)
    yield from Leave()
