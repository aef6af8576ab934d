"""The same classes for httpx2, the continuation of httpx (extra ``httpx2``).

The two families refuse each other's auth classes, so this is a namespace of its own, and never
"whichever is installed"::

    import httpx2
    from httpx_cobo_auth.httpx2 import CoboOAuth

    auth = CoboOAuth(client_id="…", app_secret="…", org_id="…", environment="dev")
    client = httpx2.Client(base_url=auth.environment.base_url, auth=auth)

Everything else, stores and errors included, is the same for both, and so are the tokens: an
httpx client and an httpx2 client that share a store share the organization's token.
"""

from __future__ import annotations

from typing import Any

try:
    import httpx2
except ModuleNotFoundError as _missing:
    message = "httpx_cobo_auth.httpx2 needs httpx2: pip install 'httpx-cobo-auth[httpx2]'"
    raise ModuleNotFoundError(message, name="httpx2") from _missing

from httpx_cobo_auth._auth.base import OAuth
from httpx_cobo_auth._auth.clients import BoundAuth, SafeAsyncClient, SafeClient, client_options
from httpx_cobo_auth._auth.plain import PlainAuth
from httpx_cobo_auth._auth.portal import Portal

__all__ = ["CoboAuth", "CoboOAuth", "PortalApp"]


class CoboAuth(PlainAuth[httpx2.Request, httpx2.Response], httpx2.Auth):
    """``httpx_cobo_auth.CoboAuth`` for httpx2."""


class CoboOAuth(
    OAuth[httpx2.Request, httpx2.Response, httpx2.Client, httpx2.AsyncClient], httpx2.Auth
):
    """``httpx_cobo_auth.CoboOAuth`` for httpx2."""

    def client(self, **options: Any) -> httpx2.Client:  # noqa: ANN401 - httpx2.Client's own
        """Make a client that is safe, as ``httpx_cobo_auth.CoboOAuth.client`` does."""
        options = client_options(self.environment, options)
        return _Client(auth=self, **options)

    def async_client(self, **options: Any) -> httpx2.AsyncClient:  # noqa: ANN401
        """Make an async client that is safe, as ``CoboOAuth.async_client`` does for httpx."""
        options = client_options(self.environment, options)
        return _AsyncClient(auth=self, **options)


class _Bound(BoundAuth, httpx2.Auth):
    pass


class _Client(SafeClient, httpx2.Client):
    _bound = _Bound


class _AsyncClient(SafeAsyncClient, httpx2.AsyncClient):
    _bound = _Bound


class PortalApp(Portal[CoboOAuth]):
    """``httpx_cobo_auth.PortalApp`` for httpx2."""

    _kind = CoboOAuth

    def client(self, **options: Any) -> httpx2.Client:  # noqa: ANN401 - httpx2.Client's own
        """Make one client for many organizations, as ``PortalApp.client`` does for httpx."""
        return _Client(**client_options(self.environment, options))

    def async_client(self, **options: Any) -> httpx2.AsyncClient:  # noqa: ANN401
        """Make one async client for many organizations, as ``client`` does."""
        return _AsyncClient(**client_options(self.environment, options))
