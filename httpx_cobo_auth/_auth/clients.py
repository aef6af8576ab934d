"""Clients that are safe: what ``auth.client()`` and ``auth.async_client()`` give."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from httpx_cobo_auth._confidential import Confidential
from httpx_cobo_auth.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from httpx_cobo_auth._auth.base import OAuth

__all__ = ["ClientAuth", "client_options"]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class ClientAuth(Confidential, Generic[_Request, _Response]):
    """The auth of a client made by ``auth.client()``: it sends exchanges by that client."""

    requires_request_body = True

    def __init__(self, auth: OAuth[_Request, _Response, Any, Any]) -> None:
        """Belong to no client yet."""
        self._auth = auth
        self._client: Callable[[], Any] = _no_client

    def belong_to(self, client: object) -> None:
        """Belong to that client, without keeping it alive."""
        self._client = weakref.ref(client)

    def sync_auth_flow(self, request: _Request) -> Generator[_Request, _Response, None]:
        """Go through the flow of one request. Called by httpx."""
        return self._auth._drive(request, self._client())  # noqa: SLF001 - one of us  # pyright: ignore[reportPrivateUsage]

    def async_auth_flow(self, request: _Request) -> AsyncGenerator[_Request, _Response]:
        """Go through the flow of one request. Called by httpx."""
        return self._auth._adrive(request, self._client())  # noqa: SLF001 - one of us  # pyright: ignore[reportPrivateUsage]


def client_options(auth: OAuth[Any, Any, Any, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Give the options of a client that is safe: to this base URL, without redirects.

    Raises:
        ConfigurationError: an option would make it unsafe.

    """
    fixed = {"auth", "base_url", "follow_redirects"} & options.keys()
    if fixed:
        message = f"{' and '.join(sorted(fixed))} cannot be chosen for this client"
        raise ConfigurationError(message)
    return {"base_url": auth.environment.base_url, "follow_redirects": False, **options}


def _no_client() -> None:
    return None
