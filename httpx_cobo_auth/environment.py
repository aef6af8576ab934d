"""Where to talk to: Cobo's environments, and one's own."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from httpx_cobo_auth.errors import ConfigurationError

__all__ = [
    "DEVELOPMENT",
    "PRODUCTION",
    "SANDBOX",
    "Environment",
    "EnvironmentName",
    "Origin",
    "cobos_own",
    "environment_named",
]

_DEFAULT_PORTS = {"https": 443, "http": 80}
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
_URL_TEXT = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")

_COBOS_DOMAIN = ".cobo.com"
_COBOS_PATH = "/v2"
_LONGEST_SHOWN = 24

Origin = tuple[str, str, int | None]
"""Scheme, host (lower case, no brackets) and port; ``None`` for the scheme's default port."""

EnvironmentName: TypeAlias = Literal["prod", "dev", "sandbox"]
"""The names of Cobo's own environments, as in Cobo's tools (``COBO_ENV``)."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One deployment of Cobo's WaaS 2.0 API.

    Credentials go to the origin of ``base_url`` and nowhere else.

    Args:
        name: what to call it in messages.
        base_url: everything before the path of an operation, such as
            ``https://api.dev.cobo.com/v2``. ``https`` only, except for loopback addresses. The
            path of Cobo's own hosts is ``/v2``; a gateway may have another.
        response_key: Cobo's Ed25519 public key of this environment, 64 hex digits. With
            ``None`` the signatures of answers are not verified.

    Raises:
        ConfigurationError: the URL or the key cannot be used.

    """

    name: str
    base_url: str
    response_key: str | None = None
    origin: Origin = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the fields and derive the origin."""
        origin, path = _parts_of(self.base_url)
        object.__setattr__(self, "origin", origin)
        # One spelling for one address: tokens are kept by it.
        path = path.rstrip("/")
        object.__setattr__(self, "base_url", _spelled(origin) + path)
        if origin[1].endswith(_COBOS_DOMAIN) and path != _COBOS_PATH:
            message = (
                f"base_url {self.base_url} must end in {_COBOS_PATH}, under which Cobo serves its "
                f"API and its token endpoint: {_spelled(origin)}{_COBOS_PATH}"
            )
            raise ConfigurationError(message)
        if self.response_key is not None and not _is_key(self.response_key):
            message = "response_key must be an Ed25519 public key of 64 hex digits, or None"
            raise ConfigurationError(message)

    @property
    def token_url(self) -> str:
        """URL of the token endpoint."""
        return f"{self.base_url}/oauth/token"


def _is_key(value: object) -> bool:
    return isinstance(value, str) and _HEX_KEY.fullmatch(value) is not None


def _parts_of(base_url: object) -> tuple[Origin, str]:
    like = "base_url must look like https://api.dev.cobo.com/v2 (in ASCII, without blanks)"
    if not isinstance(base_url, str) or not _URL_TEXT.fullmatch(base_url):
        raise ConfigurationError(like)
    try:
        url = urlsplit(base_url)
        scheme, host, port = url.scheme, url.hostname or "", url.port
    except ValueError as error:
        message = f"base_url is not a URL: {error}"
        raise ConfigurationError(message) from None
    if scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(host):
        raise ConfigurationError(like)
    if url.username is not None or "?" in base_url or "#" in base_url:
        message = "base_url must have no user name, no query and no fragment"
        raise ConfigurationError(message)
    if scheme == "http" and not _is_loopback(host):
        message = f"base_url must be https, because credentials travel to {host}"
        raise ConfigurationError(message)
    return (scheme, host, None if port == _DEFAULT_PORTS[scheme] else port), url.path


def _spelled(origin: Origin) -> str:
    scheme, host, port = origin
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port is None else f"{scheme}://{name}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# Base URLs and response keys as the official SDK has them (cobo-waas2 1.46, configuration.py);
# the sandbox is in the SDK only, not in the documentation.
PRODUCTION = Environment(
    "prod",
    "https://api.cobo.com/v2",
    "8d4a482641adb2a34b726f05827dba9a9653e5857469b8749052bf4458a86729",
)
"""``"prod"``, where the money is real."""
DEVELOPMENT = Environment(
    "dev",
    "https://api.dev.cobo.com/v2",
    "a04ea1d5fa8da71f1dcfccf972b9c4eba0a2d8aba1f6da26f49977b08a0d2718",
)
"""``"dev"``, for developing an app."""
SANDBOX = Environment(
    "sandbox",
    "https://api.sandbox.cobo.com/v2",
    "893d8a6112ae22429a7453599256391d7928e16870ecab888ee3ce65febada08",
)
"""``"sandbox"``, which is in Cobo's SDK, and not in its documentation."""
_BY_NAME = {environment.name: environment for environment in (PRODUCTION, DEVELOPMENT, SANDBOX)}


def cobos_own(environment: Environment) -> Environment | None:
    """Return which of Cobo's own has this base URL; ``None`` where it is another server."""
    own = (known for known in _BY_NAME.values() if known.base_url == environment.base_url)
    return next(own, None)


def environment_named(environment: Environment | str, setting: str = "environment") -> Environment:
    """Return the environment of that name (``prod``, ``dev`` or ``sandbox``), or the one given.

    Args:
        environment: the name, exactly, or an ``Environment``.
        setting: what to call it in the message, such as ``COBO_ENV``.

    Raises:
        ConfigurationError: there is none of that name.

    """
    if isinstance(environment, Environment):
        return environment
    found = next((known for name, known in _BY_NAME.items() if name == environment), None)
    if found is None:
        raise ConfigurationError(_unknown(environment, setting)) from None
    return found


_FOR_A_URL = "A server of one's own is an Environment, or named by COBO_BASE_URL for from_env"


def _unknown(name: object, setting: str) -> str:
    names = ", ".join(_BY_NAME)
    if not isinstance(name, str):
        kind = type(name).__name__
        return f"{setting} must be one of {names}, or an Environment, not of the type {kind}"
    # Longer text is no misspelt name; it may be a secret in the wrong place.
    shown = f" {name!r}" if len(name) <= _LONGEST_SHOWN else ""
    if "://" in name:
        return f"{setting} is a URL; it must be one of {names}. {_FOR_A_URL}"
    meant = _meant_by(name)
    hint = f" (did you mean {meant!r}?)" if meant else ""
    # In a variable there can be no object.
    other = ", and COBO_BASE_URL is for others" if setting.isupper() else ", or an Environment"
    return f"{setting}{shown} is unknown{hint}: it must be one of {names}{other}"


def _meant_by(name: str) -> str | None:
    plain = name.strip().lower()
    others = {"development": "dev", "develop": "dev", "production": "prod"}
    return plain if plain in _BY_NAME else others.get(plain)
