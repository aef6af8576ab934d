"""The contract of a token store, sync and async."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version

__all__ = ["AsyncStoreLock", "AsyncTokenStore", "StoreLock", "TokenStore"]


class StoreLock(Protocol):
    """The right to renew, held."""

    def remaining(self) -> float:
        """Seconds for which the lock is certainly still held; ``inf`` where it never lapses.

        Must not block.
        """
        ...

    def release(self) -> None:
        """Give the right back.

        Idempotent; from any thread; needs no event loop; takes no longer than an ordinary
        call of the store; raises nothing. Does nothing where the lock lapsed and somebody
        else holds it now.
        """
        ...


@runtime_checkable
class TokenStore(Protocol):
    """Keeps records and hands out the right to renew; for sync and async clients alike.

    Methods may block: async clients call them in worker threads. They raise
    ``StoreUnavailableError`` where the store cannot be reached; any other exception of
    theirs is taken for that.

    Two optional attributes: ``blocking = False`` says that no method ever waits, so that
    async clients call them directly. ``identity``, hashable, says which store objects are
    the same store; by default each is its own.
    """

    shared: bool
    """Whether other processes may use the same records."""

    def load(self, key: StoreKey) -> Record | None:
        """Read the record, never half of one; without needing the lock.

        Raises:
            StoreCorruptError: there is something, but it cannot be understood. It is kept.
            StoreUnavailableError: the store cannot be reached.

        """
        ...

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Replace the record of that version, wholly and durably, or not at all.

        The caller holds the lock, which may have lapsed: hence the comparison.

        Raises:
            StoreConflictError: the stored version is another; nothing was saved.
            StoreCorruptError: what is stored cannot be understood; nothing was saved.
            StoreUnavailableError: nothing is known to have been saved.

        """
        ...

    def try_lock(self, key: StoreKey, *, ttl: float) -> StoreLock | None:
        """Take the right to renew if nobody has it, without waiting.

        Excludes every other caller: in this thread, process, host, wherever the records
        are shared.

        Args:
            key: whose token is to be renewed.
            ttl: seconds after which a lock whose owner died must be free again, where the
                store cannot notice the death by itself.

        Raises:
            StoreUnavailableError: the lock cannot be reached.

        """
        ...


class AsyncStoreLock(Protocol):
    """The right to renew, held in an async store."""

    def remaining(self) -> float:
        """Seconds for which the lock is certainly still held. Must not block."""
        ...

    async def release(self) -> None:
        """Give the right back: idempotent, raises nothing.

        Where a flow is abandoned with its event loop nobody can await this: the lock has
        to lapse by itself.
        """
        ...


@runtime_checkable
class AsyncTokenStore(Protocol):
    """The same contract, awaited. Serves async clients only."""

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
