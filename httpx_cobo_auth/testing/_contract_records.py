"""The part of the contract that is about records; and what its other parts have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import SkipTest

from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey, TokenTrust, Trust
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth.errors import StoreConflictError
from httpx_cobo_auth.testing._actors import (
    SECRET,
    Awaited,
    expect,
    failure_of,
    opening,
    record_of,
    take,
)

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Version
    from httpx_cobo_auth.stores.base import TokenStore
    from httpx_cobo_auth.testing._actors import MakesStore

__all__ = [
    "KEY",
    "NO_RECORD",
    "OTHER_KEYS",
    "SHORT_TTL_S",
    "TTL_S",
    "RecordsContract",
    "expect_conflict",
    "locked_save",
]

KEY = StoreKey("https://cobo.test/v2", "contract-client", "contract/../organization")
OTHER_KEYS = [
    StoreKey("https://cobo.test/v2", "contract-client", "contract/../Organization"),
    StoreKey("https://cobo.test/v2", "other-client", "contract/../organization"),
    StoreKey("https://other.test/v2", "contract-client", "contract/../organization"),
]
NO_RECORD: Version = (0, None)
TTL_S = 30.0
SHORT_TTL_S = 0.5


def expect_conflict(
    store: TokenStore,
    record: Record,
    expected: Version,
    *,
    locked: bool = False,
    allowed: Record | None = None,
) -> None:
    """Expect that a save of another version than the stored one fails.

    A store may take the very record that it has for saved already, for the answer to the
    first attempt may have been lost: ``allowed``.
    """
    lock = None if locked else take(store, KEY, TTL_S)
    try:
        error = failure_of(lambda: store.save(KEY, record, expected=expected))
    finally:
        if lock is not None:
            lock.release()
    fine = isinstance(error, StoreConflictError) or (error is None and record == allowed)
    expect(fine, f"a StoreConflictError, not {error!r}")


def locked_save(
    store: TokenStore, record: Record, *, expected: Version, key: StoreKey = KEY
) -> None:
    lock = take(store, key, TTL_S)
    try:
        store.save(key, record, expected=expected)
    finally:
        lock.release()


def identity_of(store: TokenStore) -> object:
    """Return what the store says, or what counts where it says nothing: which object it is."""
    identity = getattr(store, "identity", None)
    if identity is None:
        return id(store.wrapped if isinstance(store, Awaited) else store)
    return identity


class RecordsContract:
    """What is saved is there."""

    def test_nothing_there_is_no_record(self, make_store: MakesStore) -> None:
        """``None``, and no error."""
        with opening(make_store) as store:
            expect(store.load(KEY) is None, "load() of an empty store gives None")

    def test_a_record_comes_back_as_it_was(self, make_store: MakesStore) -> None:
        """All of it: token, note, and the memory of forced renewals."""
        record = Record(
            3,
            record_of(3).token,
            PendingExchange("owner", 1_800_000_000.5),
            RenewalThrottle((("GET /v2/wallets/*", Backoff(2, 1_800_000_030.25)),), (1.5, 2.5)),
            TokenTrust(Trust.REFUSED, "POST /v2/ä", 1_800_000_000.25),
            Backoff(3, 1_800_000_060.75),
            server_ahead=-7_200.5,
        )
        with opening(make_store) as store:
            locked_save(store, record, expected=NO_RECORD)
            expect(store.load(KEY) == record, "load() gives what was saved")
            locked_save(store, Record(4), expected=(3, "owner"))
            expect(store.load(KEY) == Record(4), "a record without a token is kept, too")

    def test_all_objects_see_the_same_records(self, make_store: MakesStore) -> None:
        """Each opened anew, as for every request."""
        with opening(make_store) as store, opening(make_store) as other:
            same = identity_of(store) == identity_of(other)
            if not (same or store.shared):
                message = "each object is a store of its own"
                raise SkipTest(message)
            locked_save(store, record_of(1), expected=NO_RECORD)
            expect(other.load(KEY) == record_of(1), "another object sees the record")
            named = getattr(store, "identity", None) is not None
            expect(same or not named, "both have the same identity")
            hash(identity_of(store))

    def test_a_revision_is_a_version(self, make_store: MakesStore) -> None:
        """What is learned of a token is saved within its generation, and compared as well."""
        revised = record_of(1).revised("revision", trust=TokenTrust(Trust.EXPOSED))
        with opening(make_store) as store:
            locked_save(store, record_of(1), expected=NO_RECORD)
            locked_save(store, revised, expected=(1, None))
            expect(store.load(KEY) == revised, "load() returns the revised record")
            for expected in ((1, None), (1, "another"), (1, "Revision"), (1, "revision ")):
                expect_conflict(store, record_of(2), expected)
            locked_save(store, record_of(2), expected=(1, "revision"))
            expect(store.load(KEY) == record_of(2), "the next token's record replaces it")

    def test_keys_do_not_meet(self, make_store: MakesStore) -> None:
        """Environment, client and organization tell them apart, upper and lower case as well."""
        keys = [KEY, *OTHER_KEYS]
        with opening(make_store) as store:
            for generation, key in enumerate(keys, start=1):
                locked_save(store, record_of(generation), expected=NO_RECORD, key=key)
            for generation, key in enumerate(keys, start=1):
                expect(store.load(key) == record_of(generation), f"{key} has its own record")

    def test_keys_lists_what_there_is(self, make_store: MakesStore) -> None:
        """If it lists: the key of each record, once; and no key that is only locked."""
        with opening(make_store) as store:
            keys = getattr(store, "keys", None)
            if keys is None:
                message = "this store cannot list"
                raise SkipTest(message)
            lock = take(store, KEY, TTL_S)
            expect(list(keys()) == [], "keys() of a store without records is empty")
            lock.release()
            for key in (KEY, *OTHER_KEYS):
                for generation in (1, 2):
                    expected = (generation - 1, None)
                    locked_save(store, record_of(generation), expected=expected, key=key)
            found = list(keys())
            expect(len(found) == 1 + len(OTHER_KEYS), "keys() names each record once")
            expect(set(found) == {KEY, *OTHER_KEYS}, "keys() names whose records there are")

    def test_only_the_expected_version_is_replaced(self, make_store: MakesStore) -> None:
        """The version is generation and note together."""
        noted = record_of(1).with_pending(PendingExchange("owner", 1.0))
        with opening(make_store) as store:
            expect_conflict(store, record_of(1), (1, None))
            locked_save(store, record_of(1), expected=NO_RECORD)
            expect_conflict(store, record_of(2), NO_RECORD)
            locked_save(store, noted, expected=(1, None))
            for expected in (NO_RECORD, (1, None), (1, "another"), (2, "owner")):
                expect_conflict(store, record_of(2), expected)
            expect(store.load(KEY) == noted, "a conflict changes nothing")
            locked_save(store, record_of(2), expected=(1, "owner"))
            expect(store.load(KEY) == record_of(2), "the right version is replaced")

    def test_a_noted_exchange_is_there_for_the_next_one(self, make_store: MakesStore) -> None:
        """Whoever gets the lock after its owner left without a result finds the note."""
        noted = record_of(1).with_pending(PendingExchange("owner", 1.0))
        with opening(make_store) as store:
            lock = take(store, KEY, TTL_S)
            store.save(KEY, noted, expected=NO_RECORD)
            lock.release()
            lock = take(store, KEY, TTL_S)
            expect(store.load(KEY) == noted, "the note is still there")
            store.save(KEY, record_of(1), expected=noted.version)
            lock.release()
            expect(store.load(KEY) == record_of(1), "a note can be taken back")

    def test_no_secret_is_shown(self, make_store: MakesStore) -> None:
        """Neither by the store nor by its errors."""
        with opening(make_store) as store:
            locked_save(store, record_of(1), expected=NO_RECORD)
            error = failure_of(lambda: store.save(KEY, record_of(2), expected=(7, None)))
            expect(SECRET not in f"{store!r} {store} {error!r}", "no secret in repr or error")
