"""One Portal App or API key: everything that does not depend on the organization."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from httpx_cobo_auth._protocol.nonces import nonces_of
from httpx_cobo_auth._protocol.records import StoreKey
from httpx_cobo_auth._protocol.settings import Settings, Timeouts
from httpx_cobo_auth._protocol.signing import signer_from
from httpx_cobo_auth._runtime.requests import Wire
from httpx_cobo_auth._runtime.session import Session
from httpx_cobo_auth.clock import SystemClock
from httpx_cobo_auth.environment import environment_named
from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores.base import TokenStore
from httpx_cobo_auth.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from httpx_cobo_auth._protocol.signing import Signer
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment
    from httpx_cobo_auth.events import Event
    from httpx_cobo_auth.stores.base import AsyncTokenStore

__all__ = ["App", "AppArguments", "KeyArguments", "Options", "app_from_env", "key_from_env"]

_SYSTEM_CLOCK = SystemClock()


class AppArguments(TypedDict):
    """What ``CoboOAuth`` and ``PortalApp`` have to be given of the app."""

    client_id: str
    app_secret: str
    environment: Environment | str


class KeyArguments(TypedDict):
    """What ``CoboAuth`` has to be given."""

    api_secret: str
    environment: Environment | str


class Options(TypedDict, total=False):
    """What ``CoboOAuth`` and ``PortalApp`` can be given besides; they say what each means."""

    store: TokenStore | AsyncTokenStore | None
    replay_writes: bool
    verify_responses: bool
    on_event: Callable[[Event], object] | None
    timeouts: Timeouts | None
    clock: Clock | None


class App:
    """A key at an environment, with a store and settings.

    Raises:
        ConfigurationError: something given cannot be used.

    """

    def __init__(
        self,
        *,
        client_id: str,
        app_secret: str | Signer,
        environment: Environment | str,
        **options: Unpack[Options],
    ) -> None:
        """Check what is given."""
        try:
            signer = signer_from(app_secret)
        finally:
            del app_secret  # A traceback with locals must not show it.
        unknown = ", ".join(repr(name) for name in options if name not in _OPTIONS)
        if unknown:
            del options  # One of them may be a misspelt secret.
            message = f"unexpected keyword argument: {unknown}"
            raise TypeError(message)
        _check(options)
        self.client_id: str = _name("client_id", client_id)
        self.environment: Environment = environment_named(environment)
        store = options.get("store")
        self._store = MemoryStore() if store is None else store
        self._verify_responses = options.get("verify_responses", False)
        self._on_event = options.get("on_event")
        self._clock = clock = options.get("clock") or _SYSTEM_CLOCK
        timeouts = options.get("timeouts") or Timeouts()
        if self._verify_responses and self.environment.response_key is None:
            message = "verify_responses needs an environment with a response_key to verify by"
            raise ConfigurationError(message)
        self._settings = Settings(
            replay_writes=options.get("replay_writes", False),
            timeouts=timeouts,
            verified=self.environment.response_key is not None,
            shared=self._store.shared,
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


def _check(options: Mapping[str, object]) -> None:
    for name, value in options.items():
        fits, what = _OPTIONS[name]
        if value is not None and not fits(value):
            message = f"{name} must be {what}, not {_given(value)}"
            raise ConfigurationError(message)


def _given(value: object) -> str:
    """Return what was given, in words that show no secret."""
    if isinstance(value, type):
        return f"the class {value.__name__} itself: give an object of it"
    if inspect.iscoroutinefunction(value):
        return "an async function"
    return type(value).__name__


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_clock(value: object) -> bool:
    return all(callable(getattr(value, name, None)) for name in ("time", "monotonic"))


def _is_store(value: object) -> bool:
    return isinstance(value, TokenStore) and not isinstance(value, type)


_OPTIONS: dict[str, tuple[Callable[[object], bool], str]] = {
    "store": (_is_store, "a TokenStore or an AsyncTokenStore"),
    "replay_writes": (_is_bool, "True or False"),
    "verify_responses": (_is_bool, "True or False"),
    "on_event": (callable, "a function"),
    "timeouts": (lambda value: isinstance(value, Timeouts), "a Timeouts"),
    "clock": (_is_clock, "a Clock"),
}


def app_from_env(environment: Environment | str | None) -> AppArguments:
    """Read client ID, app secret and environment under the names that Cobo's own tools use.

    Args:
        environment: instead of ``COBO_ENV``.

    Raises:
        ConfigurationError: one of them is not set.

    """
    names = ["COBO_APP_CLIENT_ID", "COBO_APP_SECRET"]
    client_id, app_secret, where = _from_env(names, environment)
    return AppArguments(client_id=client_id, app_secret=app_secret, environment=where)


def key_from_env(environment: Environment | str | None) -> KeyArguments:
    """Read API secret and environment under the names that Cobo's own tools use.

    Args:
        environment: instead of ``COBO_ENV``.

    Raises:
        ConfigurationError: one of them is not set, or cannot be used.

    """
    api_secret, where = _from_env(["COBO_API_SECRET"], environment)
    return KeyArguments(api_secret=api_secret, environment=where)


def _from_env(names: list[str], environment: Environment | str | None) -> tuple[Any, ...]:
    missing = [name for name in names if not os.environ.get(name)]
    if environment is None and not os.environ.get("COBO_ENV"):
        missing.append("COBO_ENV")
    if missing:
        message = f"set {' and '.join(missing)} in the environment"
        raise ConfigurationError(message)
    if environment is None:
        environment = environment_named(os.environ["COBO_ENV"], "COBO_ENV")
    return (*(os.environ[name] for name in names), environment)


def _name(what: str, value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        message = f"{what} must be text that Cobo's Portal shows, not empty"
        raise ConfigurationError(message)
    return value
