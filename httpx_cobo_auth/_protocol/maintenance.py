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
from httpx_cobo_auth._protocol.reports import RenewalReports
from httpx_cobo_auth.errors import RenewalTimeoutError, StoreError

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.effects import Entry
    from httpx_cobo_auth._protocol.tokens import HeldToken

__all__ = ["forget", "look_for_newer", "newer_record", "record_ineffective", "save_later"]


def newer_record(account: Account) -> Flow[Record | None]:
    """Give the stored record, if it has another token than ours and can be read just now."""
    try:
        record: Record | None = yield Load()
    except StoreError:
        return None
    # A noted exchange is about to replace that token, or has killed it.
    return record if record and record.pending is None and account.is_newer(record) else None


def look_for_newer(account: Account, held: HeldToken) -> Flow[bool]:
    """Look, now and then, for a token that was renewed after a change of permissions."""
    if account.held is not held:
        return True
    if not account.may_look():
        return False
    entry: Entry = yield Enter(0.0)
    if not entry.entered:
        return False
    news = RenewalReports(account)
    record = yield from newer_record(account)
    if record is not None:
        account.saw(record)
        news.taken_over(account.adopt(record))
    yield Leave()
    for event in news.events:
        yield Emit(event)
    return bool(news.events)


def record_ineffective(account: Account, cause: str) -> Flow[None]:
    """Remember that a renewal did not help; let other processes know, if they can be told."""
    if not account.vain(cause):
        return
    try:
        if (yield LockStore(0.0)):
            record: Record | None = yield Load()
            if record is not None and record.pending is None:
                yield Save(replace(record, throttle=account.throttle), record.version)
    except StoreError:
        pass
    yield UnlockStore()


def save_later(account: Account) -> Flow[None]:
    """Save what could not be saved before, unless the record moved on since."""
    if not account.unsaved_due():
        return
    entry: Entry = yield Enter(0.0)
    if not entry.entered:
        return
    unsaved = account.unsaved
    if unsaved is not None:
        # Spaced, whatever comes of it.
        account.keep_unsaved(unsaved.record, unsaved.expected)
        try:
            if (yield LockStore(0.0)):
                stored: Record = (yield Load()) or Record()
                if stored.version == unsaved.expected:
                    yield Save(unsaved.record, unsaved.expected)
                account.unsaved = None
        except StoreError:
            pass
    yield Leave()


def forget(account: Account) -> Flow[None]:
    """Drop the token here and in the store.

    The record stays, empty and with a higher generation, so that nobody takes an older
    token for a newer one.
    """
    timeouts = account.settings.timeouts
    entry: Entry = yield Enter(timeouts.wait)
    while not entry.entered:
        if not entry.ended:
            message = "waited in vain for a renewal in this process to end"
            raise RenewalTimeoutError(message)
        entry = yield Enter(timeouts.wait)
    if not (yield LockStore(timeouts.lock)):
        message = "waited in vain for another process to renew the token"
        raise RenewalTimeoutError(message)
    record: Record = (yield Load()) or Record()
    generation = max(account.next_generation, record.generation + 1)
    empty = Record(generation, throttle=record.throttle)
    yield Save(empty, record.version)
    account.forget()
    account.saw(empty)
    yield Leave()
