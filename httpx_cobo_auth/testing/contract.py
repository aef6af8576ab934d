"""The contract of a token store, as tests that anyone runs against a store of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from unittest import SkipTest

from httpx_cobo_auth.errors import StoreCorruptError, StoreError, StoreUnavailableError
from httpx_cobo_auth.testing._actors import SECRET, expect, failure_of, opening, record_of, take
from httpx_cobo_auth.testing._contract_locks import LockContract
from httpx_cobo_auth.testing._contract_records import (
    KEY,
    NO_RECORD,
    OTHER_KEYS,
    SHORT_TTL_S,
    TTL_S,
    RecordsContract,
    locked_save,
)
from httpx_cobo_auth.testing._crowd import Crowd

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from httpx_cobo_auth._protocol.records import StoreKey
    from httpx_cobo_auth.stores.base import TokenStore
    from httpx_cobo_auth.testing._actors import MakesStore

__all__ = ["StoreContract"]

_IN_TIME_S = 20.0
_SOON_S = 10.0
_PROCESSES = 3
_TIMES = 3


class StoreContract(RecordsContract, LockContract):
    """What every ``TokenStore`` and ``AsyncTokenStore`` has to keep to.

    Derive a test class and give it a fixture ``make_store``: something without arguments
    that opens the same, initially empty, storage each time it is called. Where the store is
    ``shared`` it is called in other processes, too, so it has to be picklable::

        class TestMyStore(StoreContract):
            @pytest.fixture
            def make_store(self, tmp_path):
                return functools.partial(MyStore, tmp_path)

            def damage(self, store, key):  # optional
                store.path_of(key).write_bytes(b"garbage")

    What does not apply to a store is skipped. Some tests start processes; all of them
    together take some ten seconds. ``damage`` and ``cut_off`` get a store as ``make_store``
    gave it, but for an async one, which is the attribute ``wrapped`` of what they get.
    """

    # ------------------------------------------------------------ to be told about a store
    def damage(self, store: TokenStore, key: StoreKey) -> None:
        """Make what is stored under ``key`` incomprehensible."""
        del store, key
        message = "damage() is not overridden"
        raise SkipTest(message)

    def cut_off(self, store: TokenStore) -> AbstractContextManager[object]:
        """Make the store's backend unreachable for as long as the context lasts."""
        del store
        message = "cut_off() is not overridden"
        raise SkipTest(message)

    # ------------------------------------------------------------------------- processes
    def test_processes_exclude_each_other(self, make_store: MakesStore) -> None:
        """Whoever gets the lock reads what the one before saved, wherever it runs."""
        with opening(make_store) as store, Crowd(make_store, store) as crowd:
            actors = [crowd.start("count_up", KEY, _TIMES) for _ in range(_PROCESSES)]
            for actor in actors:
                actor.finish()
            expect(store.load(KEY) == record_of(_PROCESSES * _TIMES), "no increment was lost")

    def test_the_lock_of_a_killed_process_gets_free(self, make_store: MakesStore) -> None:
        """At once where the store notices, after its ttl where it cannot."""
        with opening(make_store) as store, Crowd(make_store, store) as crowd:
            actor = crowd.start("hold", KEY, 1.0)
            actor.heard("held")
            expect(store.try_lock(KEY, ttl=TTL_S) is None, "another process has it")
            actor.kill()
            take(store, KEY, TTL_S).release()

    def test_a_fork_inherits_no_lock(self, make_store: MakesStore) -> None:
        """A child neither holds its parent's lock, nor frees it, nor keeps it from dying."""
        with opening(make_store) as store, Crowd(make_store, store, forks=True) as crowd:
            actor = crowd.start("fork_while_holding", KEY, 3.0)
            actor.heard("child has released its copy")
            expect(store.try_lock(KEY, ttl=TTL_S) is None, "the parent still has it")
            actor.kill()
            begun = time.monotonic()
            take(store, KEY, TTL_S).release()
            expect(time.monotonic() - begun < _SOON_S, "the child does not keep its parent's lock")

    # --------------------------------------------------------------------------- trouble
    def test_what_cannot_be_understood_is_kept(self, make_store: MakesStore) -> None:
        """It is neither read as nothing nor overwritten."""
        with opening(make_store) as store:
            locked_save(store, record_of(1), expected=NO_RECORD)
            self.damage(store, KEY)
            for _ in range(2):
                for attempt in (
                    lambda: store.load(KEY),
                    lambda: locked_save(store, record_of(2), expected=(1, None)),
                    lambda: locked_save(store, record_of(2), expected=NO_RECORD),
                ):
                    error = failure_of(attempt)
                    expect(isinstance(error, StoreError), f"a StoreError, not {error!r}")
                    expect(SECRET not in str(error), "no secret in the error")
                error = failure_of(lambda: store.load(KEY))
                expect(isinstance(error, StoreCorruptError), f"corrupt, not {error!r}")

    def test_a_backend_that_is_gone_is_an_error_in_time(self, make_store: MakesStore) -> None:
        """A typed one, and only for as long as it is gone; releasing raises nothing."""
        with opening(make_store) as store:
            locked_save(store, record_of(1), expected=NO_RECORD)
            lock = take(store, KEY, SHORT_TTL_S)
            with self.cut_off(store):
                for attempt in (
                    lambda: store.load(KEY),
                    lambda: store.save(KEY, record_of(2), expected=(1, None)),
                    lambda: store.try_lock(OTHER_KEYS[0], ttl=TTL_S),
                ):
                    begun = time.monotonic()
                    error = failure_of(attempt)
                    expect(isinstance(error, StoreUnavailableError), f"unavailable, not {error!r}")
                    expect(time.monotonic() - begun < _IN_TIME_S, "in time")
                lock.release()
            take(store, KEY, TTL_S).release()
            stored = store.load(KEY)
            expect(stored in {record_of(1), record_of(2)}, "nothing was lost meanwhile")
