"""The contract of a token store, sync and async."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version

__all__ = ["AsyncStoreLock", "AsyncTokenStore", "StoreLock", "TokenStore"]


class StoreLock(Protocol):
    """The right to renew, held.

    A forked child inherits no lock. It has a copy of this object, but the lock is its parent's:
    there ``remaining`` returns 0.0 and ``release`` does nothing, and the copy does not keep the
    lock from getting free when the parent releases it or dies. Compare ``os.getpid()`` with that
    of the process that took the lock; not every fork runs Python's hooks.
    """

    def remaining(self) -> float:
        """Return the seconds for which the lock is certainly still held.

        ``inf`` where it never lapses. 0.0 or less once it was released, once it lapsed, and in a
        forked child. Counted from before the lock was asked for, by a clock that nobody sets.
        Must not block.
        """
        ...

    def release(self) -> None:
        """Give the right back.

        Idempotent; from any thread; needs no event loop; takes no longer than an ordinary
        call of the store; raises nothing, whatever becomes of the store meanwhile. Does nothing
        where the lock lapsed and somebody else holds it now, and in a forked child.
        """
        ...


@runtime_checkable
class TokenStore(Protocol):
    """Keeps records and hands out the right to renew; for sync and async clients alike.

    ``httpx_cobo_auth.testing.StoreContract`` tests all that is said here. For a store over any
    storage of bytes, ``encode`` and ``decode`` turn records into bytes and back.

    - Methods may block: async clients call them in worker threads. Any method may be called from
      any thread, and by several at once.
    - They raise ``StoreUnavailableError`` where the store cannot be reached, within seconds; any
      other exception of theirs is taken for that. They go on working once it can be reached again.
    - Environment, client and organization together make a key. Keys that differ in upper and
      lower case, or in one part, are different; a key's parts may be any text.
    - No record is read as another one's, and no token is shown by ``repr``, ``str`` or an error.
    - A forked child may use the store: no connection or lock of the parent is used in it.
    - If ``shared``, all of this holds between processes, whether forked or started, and for
      whoever opens the same store anew.

    Optional attributes:

    - ``blocking = False`` says that no method ever waits, so that async clients call them
      directly.
    - ``identity``, hashable, says which store objects are the same store: equal for those that
      open the same records, so that they share what this process knows of a token. By default,
      and where it is ``None``, each object is a store of its own.
    - ``keys()`` returns a list of the ``StoreKey`` of each record that the store holds, for
      listings. Records that cannot be understood are left out. Absent where a store cannot list.
    - ``close()`` lets go of what the store holds open.
    """

    shared: bool
    """Whether other processes may use the same records."""

    def load(self, key: StoreKey) -> Record | None:
        """Return the record, or ``None`` where there is none.

        Never half of one, nor a mixture of two, also while another process saves. Needs no lock.
        A record without a token is a record.

        Raises:
            StoreCorruptError: there is something, but it cannot be understood, or belongs to
                another key. It is kept as it is.
            StoreUnavailableError: the store cannot be reached.

        """
        ...

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Replace the record of that version, wholly and durably, or not at all.

        The caller holds the lock, which may have lapsed: hence the comparison. Where locks lapse,
        comparing and replacing are one atomic step: of several that save over one version, one
        succeeds. A store that cannot tell whether its own first attempt was successful may take
        the very same record, already stored, for saved.

        Args:
            key: whose record it is.
            record: what to keep. The next ``load``, by anybody, returns an equal one.
            expected: ``Record.version`` of the one to be replaced; ``(0, None)`` for none.

        Raises:
            StoreConflictError: the stored version is another; nothing was saved.
            StoreCorruptError: what is stored cannot be understood. It is kept; nothing was saved.
            StoreUnavailableError: nothing is known to have been saved.

        """
        ...

    def try_lock(self, key: StoreKey, *, ttl: float) -> StoreLock | None:
        """Take the right to renew if nobody has it, without waiting for it.

        Returns ``None`` where somebody has it. Excludes every other caller, for that key alone: in
        this thread, process, host, wherever the records are shared. A lock whose owner died gets
        free: at once where the store notices, else after ``ttl``. A forked child of its owner
        has no part in it.

        Args:
            key: whose token is to be renewed.
            ttl: seconds after which a lock whose owner died must be free again, where the
                store cannot notice the death by itself. A store whose locks never lapse need not
                look at it.

        Raises:
            StoreUnavailableError: the lock cannot be reached.

        """
        ...


class AsyncStoreLock(Protocol):
    """The right to renew, held in an async store. A forked child inherits none."""

    def remaining(self) -> float:
        """As ``StoreLock.remaining``: must not block, nor be awaited."""
        ...

    async def release(self) -> None:
        """As ``StoreLock.release``: idempotent, raises nothing.

        Where a flow is abandoned with its event loop nobody can await this: the lock has
        to lapse by itself.
        """
        ...


@runtime_checkable
class AsyncTokenStore(Protocol):
    """The contract of ``TokenStore``, awaited. Serves async clients only.

    Sync clients that are given one raise ``AsyncStoreError``. A method may be cancelled at any
    ``await``; a lock that was being taken then has to be given back, or lapse. ``keys`` and
    ``aclose``, both optional, are awaited as well.
    """

    shared: bool

    async def load(self, key: StoreKey) -> Record | None:
        """As ``TokenStore.load``."""
        ...

    async def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """As ``TokenStore.save``."""
        ...

    async def try_lock(self, key: StoreKey, *, ttl: float) -> AsyncStoreLock | None:
        """As ``TokenStore.try_lock``."""
        ...
