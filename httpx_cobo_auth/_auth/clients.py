"""Clients that are safe: what ``auth.client()`` and ``auth.async_client()`` make, and a portal's.

They send no request of ours along a redirect, whatever a call asks for, and renewals run on their
own through them. Closing one waits for its renewals, within a bound: what was begun should be
saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from httpx_cobo_auth._confidential import Confidential
from httpx_cobo_auth._runtime.backends import SyncBackend
from httpx_cobo_auth._runtime.background import settled
from httpx_cobo_auth._runtime.driving import async_flow, sync_flow
from httpx_cobo_auth._runtime.family import family_of
from httpx_cobo_auth.errors import ConfigurationError, UnsafeRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from types import TracebackType

    from httpx_cobo_auth._runtime.promises import Promise
    from httpx_cobo_auth._runtime.session import Session
    from httpx_cobo_auth.environment import Environment

__all__ = ["BoundAuth", "SafeAsyncClient", "SafeClient", "client_options"]


class BoundAuth(Confidential):
    """An auth object as one client uses it: exchanges are sent by that client."""

    requires_request_body = True

    def __init__(self, session: Session, client: object) -> None:
        self._session = session
        self._client = client

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:  # noqa: ANN401 - of its family
        """Carry one request through. Called by httpx."""
        return sync_flow(self._session, request, self._client)

    def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:  # noqa: ANN401
        """Carry one request through. Called by httpx."""
        return async_flow(self._session, request, self._client)


class _Safe:
    """What the two kinds of clients have in common."""

    _bound: type[BoundAuth]
    _cobo_renewals: list[Promise[None]]
    """Those that were started through this client, until they have ended."""

    def _auth_for(self, auth: object, follow_redirects: object) -> Any:  # noqa: ANN401 - httpx's own
        if follow_redirects is True:
            message = (
                "this client never follows a redirect: the credentials would go along. Send the "
                "request that the response's Location asks for by a client of your own"
            )
            raise UnsafeRequestError(message)
        if auth is family_of(self).USE_CLIENT_DEFAULT:
            auth = cast("Any", self).auth
            if auth is None:
                message = (
                    "this client serves many organizations: say whose request it is, by "
                    "auth=app.org(…)"
                )
                raise UnsafeRequestError(message)
        session: Session | None = getattr(auth, "_session", None)
        if session is None or not getattr(auth, "_with_token", False):
            return auth
        return self._bound(session, self)


class SafeClient(_Safe):
    """Goes before ``Client`` of either family among the bases of a class."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the client's own
        self._cobo_renewals = []
        super().__init__(**options)

    def send(
        self,
        request: Any,  # noqa: ANN401 - as of the client's own
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Send a request, as the client's own ``send`` does, but along no redirect."""
        default = family_of(self).USE_CLIENT_DEFAULT
        auth = self._auth_for(options.pop("auth", default), options.pop("follow_redirects", None))
        return cast("Any", super()).send(request, auth=auth, follow_redirects=False, **options)

    def close(self) -> None:
        """Close the client, once the renewals that run through it have ended."""
        self._settle()
        cast("Any", super()).close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the client."""
        self._settle()
        cast("Any", super()).__exit__(exc_type, exc_value, traceback)

    def _settle(self) -> None:
        for _ in settled(self._cobo_renewals, SyncBackend()):
            raise AssertionError  # pragma: no cover - a sync backend has nothing to be awaited


class SafeAsyncClient(_Safe):
    """Goes before ``AsyncClient`` of either family among the bases of a class."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the client's own
        self._cobo_renewals = []
        super().__init__(**options)

    async def send(
        self,
        request: Any,  # noqa: ANN401 - as of the client's own
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Send a request, as the client's own ``send`` does, but along no redirect."""
        default = family_of(self).USE_CLIENT_DEFAULT
        auth = self._auth_for(options.pop("auth", default), options.pop("follow_redirects", None))
        send = cast("Any", super()).send
        return await send(request, auth=auth, follow_redirects=False, **options)

    async def aclose(self) -> None:
        """Close the client, once the renewals that run through it have ended."""
        await self._settle()
        await cast("Any", super()).aclose()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the client."""
        await self._settle()
        await cast("Any", super()).__aexit__(exc_type, exc_value, traceback)

    async def _settle(self) -> None:
        if not self._cobo_renewals:
            return
        from httpx_cobo_auth._runtime.async_backend import AsyncBackend, through  # noqa: PLC0415 - not for sync clients

        await through(settled(self._cobo_renewals, AsyncBackend()))


def client_options(environment: Environment, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a client that is safe: to this base URL, without redirects.

    Raises:
        ConfigurationError: an option would make it unsafe.

    """
    if options.get("follow_redirects") is False:
        options = {name: value for name, value in options.items() if name != "follow_redirects"}
    fixed = {"auth", "base_url", "follow_redirects"} & options.keys()
    if fixed:
        message = f"{' and '.join(sorted(fixed))} cannot be chosen for this client"
        raise ConfigurationError(message)
    return {"base_url": environment.base_url, "follow_redirects": False, **options}
