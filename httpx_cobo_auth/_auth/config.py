"""One Portal App or API key: everything that does not depend on the organization."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, cast

from httpx_cobo_auth._protocol.nonces import nonces_of
from httpx_cobo_auth._protocol.records import StoreKey
from httpx_cobo_auth._protocol.settings import Settings, Timeouts
from httpx_cobo_auth._protocol.signing import signer_from
from httpx_cobo_auth._protocol.tokens import DEFAULT_LIFETIME_S, LONGEST_LIFETIME_S
from httpx_cobo_auth._runtime.requests import Wire
from httpx_cobo_auth._runtime.session import Session
from httpx_cobo_auth.clock import SystemClock
from httpx_cobo_auth.environment import environment_named
from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores.base import TokenStore
from httpx_cobo_auth.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.signing import Signer
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment, EnvironmentName
    from httpx_cobo_auth.events import Event
    from httpx_cobo_auth.stores.base import AsyncTokenStore

__all__ = ["App", "Options"]

_SYSTEM_CLOCK = SystemClock()
_LIFETIMES = "a number of seconds, more than 0 and at most 366 days"


class Options(TypedDict, total=False):
    """What ``from_env`` and tests hand on to ``CoboOAuth`` and ``PortalApp``, which explain it."""

    store: TokenStore | AsyncTokenStore | None
    replay_writes: bool
    verify_responses: bool
    on_event: Callable[[Event], object] | None
    timeouts: Timeouts | None
    default_token_lifetime: float
    clock: Clock | None


class App:
    """A key at an environment, with a store and settings.

    Raises:
        ConfigurationError: something given cannot be used.

    """

    def __init__(  # noqa: PLR0913 - all by name; users shall see them
        self,
        *,
        client_id: str,
        app_secret: str | Signer,
        environment: EnvironmentName | Environment,
        store: TokenStore | AsyncTokenStore | None = None,
        replay_writes: bool = False,
        verify_responses: bool = False,
        on_event: Callable[[Event], object] | None = None,
        timeouts: Timeouts | None = None,
        default_token_lifetime: float = DEFAULT_LIFETIME_S,
        clock: Clock | None = None,
    ) -> None:
        """Check what is given."""
        try:
            signer = signer_from(app_secret)
        finally:
            del app_secret  # A traceback with locals must not show it.
        _check("store", store, _is_store, "a TokenStore or an AsyncTokenStore")
        _check("replay_writes", replay_writes, _is_bool, "True or False")
        _check("verify_responses", verify_responses, _is_bool, "True or False")
        _check("on_event", on_event, _is_function, "a function")
        _check("timeouts", timeouts, _is_timeouts, "a Timeouts")
        _check("default_token_lifetime", default_token_lifetime, _is_lifetime, _LIFETIMES)
        _check("clock", clock, _is_clock, "a Clock")
        self.client_id: str = _name("client_id", client_id)
        self.environment: Environment = environment_named(environment)
        self._store = MemoryStore() if store is None else store
        self._verify_responses = verify_responses
        self._on_event = on_event
        self._clock = clock = clock or _SYSTEM_CLOCK
        if verify_responses and self.environment.response_key is None:
            message = "verify_responses needs an environment with a response_key to verify by"
            raise ConfigurationError(message)
        self._settings = Settings(
            replay_writes=replay_writes,
            timeouts=timeouts or Timeouts(),
            verified=self.environment.response_key is not None,
            shared=self._store.shared,
            default_lifetime=default_token_lifetime,
        )
        nonces = nonces_of(signer, self.environment, clock)
        self._wire = Wire(self.environment, signer, nonces, clock)

    def session(self, org_id: str) -> Session:
        """Return what the flows of one organization work with; its ID is in canonical form."""
        return Session(
            StoreKey(self.environment.base_url, self.client_id, org_id),
            wire=self._wire,
            store=self._store,
            settings=self._settings,
            clock=self._clock,
            verify_responses=self._verify_responses,
            on_event=self._on_event,
        )


def _check(name: str, value: object, fits: Callable[[object], bool], what: str) -> None:
    if value is not None and not fits(value):
        message = f"{name} must be {what}, not {_given(value)}"
        raise ConfigurationError(message)


def _given(value: object) -> str:
    """Return what was given, in words that show no secret."""
    if isinstance(value, type):
        return f"the class {value.__name__} itself: give an object of it"
    return repr(value) if isinstance(value, int | float) else type(value).__name__


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_clock(value: object) -> bool:
    return all(callable(getattr(value, name, None)) for name in ("time", "monotonic"))


def _is_store(value: object) -> bool:
    return isinstance(value, TokenStore) and not isinstance(value, type)


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


def _is_lifetime(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < cast("float", value) <= LONGEST_LIFETIME_S


def _is_timeouts(value: object) -> bool:
    return isinstance(value, Timeouts)


def _name(what: str, value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        message = f"{what} must be text that Cobo's Portal shows, not empty"
        raise ConfigurationError(message)
    return value
