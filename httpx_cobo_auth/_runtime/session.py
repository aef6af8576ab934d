"""What the flows of one auth object work with; and what all objects of one account share."""

from __future__ import annotations

import inspect
import weakref
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._cell import Cell
from httpx_cobo_auth._protocol.account import Account
from httpx_cobo_auth._protocol.flow import CoboFlow
from httpx_cobo_auth._runtime.permits import Permits
from httpx_cobo_auth._runtime.store_access import AsyncStoreAccess, StoreAccess
from httpx_cobo_auth.errors import AsyncStoreError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from httpx_cobo_auth._protocol.records import StoreKey
    from httpx_cobo_auth._protocol.settings import Settings
    from httpx_cobo_auth._runtime.promises import Promise
    from httpx_cobo_auth._runtime.requests import Wire
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.events import Event
    from httpx_cobo_auth.stores.base import AsyncTokenStore, TokenStore

__all__ = ["Session"]


class _Shared:
    """What all objects of one account share: one in a process, however many objects.

    Attributes:
        account: what is known of the token.
        permits: to renew, and to write.
        renewal: the one that runs on its own, or ran last.
        locker: who took the store's lock last of those that had the permit, if still there.

    """

    def __init__(self, store: object, key: StoreKey, clock: Clock) -> None:
        # Held, so that no other store gets this one's id while flows are under way.
        self.store = store
        self.account: Account = Account(key, clock)
        self.permits: Permits = Permits()
        self.renewal: Cell[Promise[None] | None] = Cell(_nothing)
        self.locker: Cell[Callable[[], StoreAccess | None]] = Cell(lambda: _nothing)


def _nothing() -> None:
    return None


_shared: Cell[weakref.WeakValueDictionary[Any, _Shared]] = Cell(weakref.WeakValueDictionary)


def _share(store: object, key: StoreKey, clock: Clock) -> _Shared:
    identity = getattr(store, "identity", None)
    # A clock of one's own is a world of one's own; its deadlines mean nothing by another.
    whose = (id(store) if identity is None else identity, key, id(clock))
    known = _shared.value
    shared = known.get(whose)
    if shared is None:
        # Of two threads at once one wins, and both get the winner's.
        shared = known.setdefault(whose, _Shared(store, key, clock))
    return shared


class Session:
    """What the flows of one auth object share.

    Attributes:
        wire: makes requests.
        settings: of this object.
        verify_responses: whether the API's responses must be signed.
        shared: what all objects of the account share.
        account: the same one's.
        permits: the same one's.
        flow: decides.
        awaits: whether the store is an async one.
        blocking: whether its methods may block.

    """

    def __init__(
        self,
        key: StoreKey,
        *,
        wire: Wire,
        store: TokenStore | AsyncTokenStore,
        settings: Settings,
        clock: Clock,
        verify_responses: bool,
        on_event: Callable[[Event], object] | None,
    ) -> None:
        """Bind an account to a store."""
        self.wire = wire
        self.settings = settings
        self.verify_responses = verify_responses
        self.awaits: bool = inspect.iscoroutinefunction(store.load)
        self.blocking: bool = not self.awaits and getattr(store, "blocking", True)
        self.shared: _Shared = _share(store, key, clock)
        self.account: Account = self.shared.account
        self.permits: Permits = self.shared.permits
        self.flow: CoboFlow = CoboFlow(self.account, settings)
        self._store: Any = store
        self._on_event = on_event
        self._awaits_handler = inspect.iscoroutinefunction(on_event)

    def store_access(self) -> StoreAccess | AsyncStoreAccess:
        """Return the store as one flow uses it."""
        kind = AsyncStoreAccess if self.awaits else StoreAccess
        return kind(self._store, self.account.key, self.settings.lock_ttl)

    def require_sync(self) -> None:
        """Refuse to serve a sync client where something would have to be awaited.

        Raises:
            AsyncStoreError: the store.
            ConfigurationError: ``on_event``.

        """
        if self.awaits:
            message = "a sync client cannot use an AsyncTokenStore; give it a TokenStore"
            raise AsyncStoreError(message)
        if self._awaits_handler:
            message = "a sync client cannot await on_event; give it a plain function"
            raise ConfigurationError(message)

    def emit(self, event: Event) -> Awaitable[None] | None:
        """Tell the log and the user; a handler that raises breaks nothing."""
        # Not before the first event: eight classes take a tenth of the package's import.
        from httpx_cobo_auth._runtime.event_log import log  # noqa: PLC0415 - see above

        return log(event, self._on_event)
