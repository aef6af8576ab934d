"""The part of the contract that is about the lock, within one process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from unittest import SkipTest

from httpx_cobo_auth._protocol.records import PendingExchange
from httpx_cobo_auth.errors import StoreConflictError
from httpx_cobo_auth.testing._actors import count_up, expect, opening, record_of, take
from httpx_cobo_auth.testing._contract_records import (
    KEY,
    NO_RECORD,
    OTHER_KEYS,
    SHORT_TTL_S,
    TTL_S,
    expect_conflict,
)

if TYPE_CHECKING:
    from httpx_cobo_auth.testing._actors import MakesStore

__all__ = ["LockContract"]

_CROWD = 6
_TIMES = 3


class LockContract:
    """Who has it keeps everybody else out."""

    def test_the_lock_excludes_until_it_is_released(self, make_store: MakesStore) -> None:
        """Also in one thread; each key by itself; release is idempotent."""
        with opening(make_store) as store:
            lock = take(store, KEY, TTL_S)
            expect(lock.remaining() > TTL_S / 2, "the lock is held for about its ttl")
            expect(store.try_lock(KEY, ttl=TTL_S) is None, "try_lock() excludes")
            other = take(store, OTHER_KEYS[0], TTL_S)
            lock.release()
            lock.release()
            again = take(store, KEY, TTL_S)
            lock.release()
            expect(store.try_lock(KEY, ttl=TTL_S) is None, "a late release frees no other's")
            again.release()
            other.release()

    def test_the_lock_is_released_by_any_thread(self, make_store: MakesStore) -> None:
        """Who cleans up after an abandoned flow is not who took the lock."""
        with opening(make_store) as store, ThreadPoolExecutor(1) as pool:
            for _ in range(3):
                lock = pool.submit(take, store, KEY, TTL_S).result()
                lock.release()
                lock = take(store, KEY, TTL_S)
                pool.submit(lock.release).result()

    def test_a_lock_that_lapses_lets_the_next_one_in(self, make_store: MakesStore) -> None:
        """Its late owner can neither release the next one's lock nor overwrite its record."""
        with opening(make_store) as store:
            late = take(store, KEY, SHORT_TTL_S)
            if late.remaining() > SHORT_TTL_S:
                late.release()
                message = "these locks do not lapse"
                raise SkipTest(message)
            lock = take(store, KEY, TTL_S)
            expect(late.remaining() <= 0, "a lock that was taken over has nothing remaining")
            store.save(KEY, record_of(1), expected=NO_RECORD)
            late.release()
            expect(store.try_lock(KEY, ttl=TTL_S) is None, "the late release frees nothing")
            expect_conflict(store, record_of(1), NO_RECORD, locked=True, allowed=record_of(1))
            lock.release()

    def test_of_savers_without_the_lock_one_wins(self, make_store: MakesStore) -> None:
        """Where locks lapse, the comparison is all that is left; so it is atomic."""
        with opening(make_store) as store:
            lock = take(store, KEY, SHORT_TTL_S)
            lapses = lock.remaining() <= SHORT_TTL_S
            lock.release()
            if not lapses:
                message = "these locks do not lapse"
                raise SkipTest(message)
            start = threading.Barrier(_CROWD)

            def save(number: int) -> bool:
                record = record_of(1).with_pending(PendingExchange(f"owner-{number}", 1.0))
                start.wait()
                try:
                    store.save(KEY, record, expected=NO_RECORD)
                except StoreConflictError:
                    return False
                return True

            with ThreadPoolExecutor(_CROWD) as pool:
                won = list(pool.map(save, range(_CROWD)))
            expect(won.count(True) == 1, "of saves of one version, one wins")

    def test_threads_exclude_each_other(self, make_store: MakesStore) -> None:
        """Whoever gets the lock reads what the one before saved."""
        with opening(make_store) as store, ThreadPoolExecutor(_CROWD) as pool:
            counts = [pool.submit(count_up, store, KEY, _TIMES) for _ in range(_CROWD)]
            for count in counts:
                count.result()
            expect(store.load(KEY) == record_of(_CROWD * _TIMES), "no increment was lost")
