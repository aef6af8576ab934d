"""What ``from_env`` reads: settings as environment variables.

An argument takes the place of its variable. A variable that is set to nothing is not set.

``COBO_BASE_URL`` leads to another server than ``COBO_ENV`` names: a simulator, a gateway. Beside
it, ``COBO_ENV`` is only what that server is called in messages. Settings that contradict each
other are refused: which of them counts would be a guess, and money is at stake.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, TypedDict

from httpx_cobo_auth._protocol.identity import canonical_org_id
from httpx_cobo_auth._protocol.signing import Ed25519Signer
from httpx_cobo_auth.environment import Environment, cobos_own, environment_named
from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores._urls import store_from_url

if TYPE_CHECKING:
    import uuid

    from httpx_cobo_auth._auth.config import Options
    from httpx_cobo_auth._protocol.signing import Signer
    from httpx_cobo_auth.environment import EnvironmentName

__all__ = [
    "AppArguments",
    "KeyArguments",
    "OAuthArguments",
    "app_from_env",
    "key_from_env",
    "oauth_from_env",
    "with_store",
]

_UNNAMED = "custom"
_HOW_TO_CHOOSE = (
    "; COBO_ENV is prod, dev or sandbox, and for another server COBO_BASE_URL is set instead"
)


class KeyArguments(TypedDict):
    """What ``CoboAuth`` has to be given."""

    api_secret: Signer
    environment: Environment


class AppArguments(TypedDict):
    """What ``PortalApp`` has to be given."""

    client_id: str
    app_secret: Signer
    environment: Environment


class OAuthArguments(AppArguments):
    """What ``CoboOAuth`` has to be given."""

    org_id: str


def key_from_env(environment: EnvironmentName | Environment | None) -> KeyArguments:
    """Return what ``COBO_API_SECRET`` says, and where to.

    Args:
        environment: instead of ``COBO_ENV``, ``COBO_BASE_URL`` and ``COBO_RESPONSE_KEY``.

    Raises:
        ConfigurationError: a variable is not set, or cannot be used.

    """
    _require(["COBO_API_SECRET"], environment)
    return KeyArguments(
        api_secret=_signer("COBO_API_SECRET"), environment=_environment(environment)
    )


def app_from_env(environment: EnvironmentName | Environment | None) -> AppArguments:
    """Return what ``COBO_APP_CLIENT_ID`` and ``COBO_APP_SECRET`` say, and where to.

    Args:
        environment: instead of ``COBO_ENV``, ``COBO_BASE_URL`` and ``COBO_RESPONSE_KEY``.

    Raises:
        ConfigurationError: a variable is not set, or cannot be used.

    """
    _require(["COBO_APP_CLIENT_ID", "COBO_APP_SECRET"], environment)
    return _app(environment)


def oauth_from_env(
    org_id: str | uuid.UUID | None, environment: EnvironmentName | Environment | None
) -> OAuthArguments:
    """Return the same for one organization.

    Args:
        org_id: instead of ``COBO_ORG_ID``.
        environment: as for ``app_from_env``.

    Raises:
        ConfigurationError: a variable is not set, or cannot be used.

    """
    names = ["COBO_APP_CLIENT_ID", "COBO_APP_SECRET"]
    if org_id is None:
        names.append("COBO_ORG_ID")
    _require(names, environment)
    whose = _org_id() if org_id is None else canonical_org_id(org_id)
    return OAuthArguments(org_id=whose, **_app(environment))


def with_store(options: Options) -> Options:
    """Return the options, with the store of ``COBO_TOKEN_STORE`` where they have none.

    Raises:
        ConfigurationError: the variable names no store.

    """
    if options.get("store") is not None or not os.environ.get("COBO_TOKEN_STORE"):
        return options
    return {**options, "store": store_from_url(os.environ["COBO_TOKEN_STORE"])}


def _require(names: list[str], environment: object) -> None:
    missing = [name for name in names if not os.environ.get(name)]
    nowhere = environment is None and not (
        os.environ.get("COBO_ENV") or os.environ.get("COBO_BASE_URL")
    )
    if nowhere:
        missing.append("COBO_ENV")
    if missing:
        hint = _HOW_TO_CHOOSE if nowhere else ""
        message = f"set {' and '.join(missing)} in the environment{hint}"
        raise ConfigurationError(message)


def _app(environment: EnvironmentName | Environment | None) -> AppArguments:
    return AppArguments(
        client_id=os.environ["COBO_APP_CLIENT_ID"],
        app_secret=_signer("COBO_APP_SECRET"),
        environment=_environment(environment),
    )


def _signer(name: str) -> Signer:
    # The text is in no local variable: a traceback with locals must not show it.
    try:
        return Ed25519Signer(os.environ[name])
    except ConfigurationError as error:
        message = f"{name}: {error}"
    raise ConfigurationError(message)


def _org_id() -> str:
    try:
        return canonical_org_id(os.environ["COBO_ORG_ID"])
    except ConfigurationError as error:
        message = f"COBO_ORG_ID: {error}"
    raise ConfigurationError(message)


def _environment(given: EnvironmentName | Environment | None) -> Environment:
    if given is not None:
        return environment_named(given)
    name, base_url, response_key = (
        os.environ.get(variable) or None
        for variable in ("COBO_ENV", "COBO_BASE_URL", "COBO_RESPONSE_KEY")
    )
    if base_url is not None:
        return _at(base_url, name, response_key)
    found = environment_named(name or "", "COBO_ENV")
    _require_no_other_key(found, response_key)
    return found


def _at(base_url: str, name: str | None, response_key: str | None) -> Environment:
    try:
        found = Environment(name or _UNNAMED, base_url)
    except ConfigurationError as error:
        message = f"COBO_BASE_URL: {error}"
    else:
        own = cobos_own(found)
        if own is None:
            return _with_key(found, response_key)
        if name in {None, own.name}:
            _require_no_other_key(own, response_key)
            return own
        message = (
            f"COBO_ENV={name!r} contradicts COBO_BASE_URL, which is that of {own.name!r}: unset "
            "one of them"
        )
    raise ConfigurationError(message)


def _with_key(environment: Environment, response_key: str | None) -> Environment:
    try:
        return dataclasses.replace(environment, response_key=response_key)
    except ConfigurationError as error:
        message = f"COBO_RESPONSE_KEY: {error}"
    raise ConfigurationError(message)


def _require_no_other_key(environment: Environment, response_key: str | None) -> None:
    if response_key is None:
        return
    if _with_key(environment, response_key.lower()) != environment:
        message = (
            f"COBO_RESPONSE_KEY contradicts the environment {environment.name!r}, whose key is "
            "known: unset it, or set COBO_BASE_URL to the server that has this key"
        )
        raise ConfigurationError(message)
