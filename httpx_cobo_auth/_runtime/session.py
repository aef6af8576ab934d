"""What the flows of one auth object work with; and what all objects of one account share."""

from __future__ import annotations

import inspect
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

from httpx_cobo_auth._forking import forget_on_fork
from httpx_cobo_auth._protocol.account import Account
from httpx_cobo_auth._protocol.flow import CoboFlow
from httpx_cobo_auth._runtime.ops import How
from httpx_cobo_auth._runtime.permits import Gate
from httpx_cobo_auth._runtime.store_access import AsyncCustody, Custody
from httpx_cobo_auth.errors import AsyncStoreError
from httpx_cobo_auth.events import (
    ContentionSuspected,
    RenewalFailed,
    SaveFailed,
    TokenAcquired,
    TokenRenewed,
    TokenTakenOver,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.records import StoreKey
    from httpx_cobo_auth._protocol.settings import Settings
    from httpx_cobo_auth._protocol.tokens import HeldToken
    from httpx_cobo_auth._runtime.requests import Wire
    from httpx_cobo_auth.events import Event
    from httpx_cobo_auth.stores.base import AsyncTokenStore, TokenStore

__all__ = ["Session"]

_logger = logging.getLogger("httpx_cobo_auth")


class _Shared:
    """State and gate of one account in one store: one pair in a process, however many objects."""

    def __init__(self, store: object, key: StoreKey, settings: Settings) -> None:
        # Held, so that no other store gets this one's id while flows are under way.
        self.store = store
        self.account: Account = Account(key, settings)
        self.gate: Gate = Gate(settings.timeouts.seat)
        self._locker: Callable[[], Custody | None] = _nobody
        forget_on_fork(self, _Shared._forget)

    def _forget(self) -> None:
        self._locker = _nobody
        self.account.forget()

    @property
    def locker(self) -> Custody | None:
        """Who took the store's lock last of those that had the renewer's seat, if still there."""
        return self._locker()

    @locker.setter
    def locker(self, custody: Custody) -> None:
        # Weakly: a flow that is garbage lets go of the lock by itself.
        self._locker = weakref.ref(custody)


def _nobody() -> None:
    return None


class _Registry:
    """Finds what is shared, for as long as anybody shares it."""

    def __init__(self) -> None:
        self._known: weakref.WeakValueDictionary[Any, _Shared] = weakref.WeakValueDictionary()
        self._reset()
        forget_on_fork(self, _Registry._reset)

    def _reset(self) -> None:
        self._mutex = threading.Lock()

    def share(self, store: object, key: StoreKey, settings: Settings) -> _Shared:
        identity = getattr(store, "identity", None)
        whose = (id(store) if identity is None else identity, key)
        with self._mutex:
            shared = self._known.get(whose)
            if shared is None:
                shared = self._known[whose] = _Shared(store, key, settings)
            return shared


_registry = _Registry()


class Session:
    """What the flows of one auth object share.

    Attributes:
        awaits: whether the store is an async one.
        shared: what all objects of the account share.

    """

    def __init__(
        self,
        key: StoreKey,
        *,
        wire: Wire,
        store: TokenStore | AsyncTokenStore,
        settings: Settings,
        verify_responses: bool,
        on_event: Callable[[Event], object] | None,
    ) -> None:
        """Bind an account to a store."""
        self.wire = wire
        self.store = store
        self.settings = settings
        self.verify_responses = verify_responses
        self.how: How = _how(store)
        self.awaits: bool = self.how is How.AWAIT
        self._on_event = on_event
        self.shared: _Shared = _registry.share(store, key, settings)
        self.account: Account = self.shared.account
        self.gate: Gate = self.shared.gate
        verified = wire.environment.response_key is not None
        self.flow: CoboFlow = CoboFlow(self.account, verified=verified, shared=store.shared)

    def custody(self) -> Custody | AsyncCustody:
        """Give the store into the hands of one flow."""
        key, ttl = self.account.key, self.settings.timeouts.lock_ttl
        kind: Any = AsyncCustody if self.awaits else Custody
        custody: Custody | AsyncCustody = kind(self.store, key, ttl)
        return custody

    def require_sync(self) -> None:
        """Refuse to serve a sync client from an async store.

        Raises:
            AsyncStoreError: that is what was asked for.

        """
        if self.awaits:
            message = "a sync client cannot use an AsyncTokenStore; give it a TokenStore"
            raise AsyncStoreError(message)

    def expose(self, held: HeldToken | None) -> None:
        """Take a token for one that others know: renew it before it is used again."""
        if held is not None:
            self.account.refuse(held, "")

    def emit(self, event: Event) -> None:
        """Tell the log and the user; a handler that raises breaks nothing."""
        _log(event)
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                _logger.exception("on_event raised for %s", type(event).__name__)


def _how(store: TokenStore | AsyncTokenStore) -> How:
    if inspect.iscoroutinefunction(store.load):
        return How.AWAIT
    return How.THREAD if getattr(store, "blocking", True) else How.DIRECT


def _log(event: Event) -> None:
    whose = f"organization {event.org_id} at {event.base_url}"
    match event:
        case TokenAcquired():
            _logger.info("acquired token %d of %s", event.generation, whose)
        case TokenRenewed():
            _logger.info("renewed token %d of %s", event.generation, whose)
        case TokenTakenOver():
            _logger.info("took over token %d of %s", event.generation, whose)
        case RenewalFailed():
            usable = "the current one goes on" if event.still_usable else "there is none"
            _logger.warning("no new token of %s, %s: %s", whose, usable, event.error)
        case SaveFailed():
            _logger.warning(
                "could not save token %d of %s: %s", event.generation, whose, event.error
            )
        case ContentionSuspected():
            _logger.warning(
                "the token of %s is refused again and again soon after it was renewed; somebody "
                "else seems to renew it from another store. Holding off for %.0f s",
                whose,
                event.hold_off,
            )
        case _:
            _logger.info("%s of %s", type(event).__name__, whose)
