"""What the auth classes of both families, httpx and httpx2, have in common: nearly all.

Generic over the family's own types, whose ``Auth`` is added as a base by the modules ``oauth``
and ``httpx2``. Beneath this module the types are written as httpx's; httpx2's have the same
shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, cast

from httpx_cobo_auth._auth.config import App
from httpx_cobo_auth._auth.from_env import oauth_from_env, with_store
from httpx_cobo_auth._auth.keep_fresh import KeepFresh
from httpx_cobo_auth._confidential import Confidential
from httpx_cobo_auth._protocol.identity import canonical_org_id
from httpx_cobo_auth._protocol.tokens import DEFAULT_LIFETIME_S
from httpx_cobo_auth._runtime.driving import async_flow, run_async, run_sync, sync_flow
from httpx_cobo_auth._runtime.family import require_client

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncGenerator, Callable, Generator

    from httpx_cobo_auth._auth.config import Options
    from httpx_cobo_auth._protocol.effects import Flow
    from httpx_cobo_auth._protocol.settings import Timeouts
    from httpx_cobo_auth._protocol.signing import Signer
    from httpx_cobo_auth._protocol.status import TokenStatus
    from httpx_cobo_auth._protocol.tokens import HeldToken, Token
    from httpx_cobo_auth._runtime.session import Session
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment, EnvironmentName
    from httpx_cobo_auth.events import Event
    from httpx_cobo_auth.stores.base import AsyncTokenStore, TokenStore

__all__ = ["FlowAuth", "OAuth", "public_name"]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Client = TypeVar("_Client")
_AsyncClient = TypeVar("_AsyncClient")


class FlowAuth(Confidential, Generic[_Request, _Response]):
    """An auth object whose flows are driven through requests."""

    # For code that looks at it; the flows below read the body themselves, after the check
    # that it goes to the right origin.
    requires_request_body = True

    _session: Session

    _with_token = True

    def auth_flow(self, request: _Request) -> Generator[_Request, _Response, None]:
        """Carry one request through; the same as ``sync_auth_flow``."""
        return self.sync_auth_flow(request)

    def sync_auth_flow(self, request: _Request) -> Generator[_Request, _Response, None]:
        """Carry one request of a sync client through. Called by httpx."""
        flow: Any = sync_flow(self._session, cast("Any", request), with_token=self._with_token)
        return cast("Generator[_Request, _Response, None]", flow)

    def async_auth_flow(self, request: _Request) -> AsyncGenerator[_Request, _Response]:
        """Carry one request of an async client through. Called by httpx."""
        flow: Any = async_flow(self._session, cast("Any", request), with_token=self._with_token)
        return cast("AsyncGenerator[_Request, _Response]", flow)


class OAuth(FlowAuth[_Request, _Response], Generic[_Request, _Response, _Client, _AsyncClient]):
    """Cobo OAuth: every request signed by the app key, and with an Org Access Token."""

    def __init__(  # noqa: PLR0913 - all by name; users shall see them
        self,
        *,
        client_id: str,
        app_secret: str | Signer,
        org_id: str | uuid.UUID,
        environment: EnvironmentName | Environment,
        store: TokenStore | AsyncTokenStore | None = None,
        replay_writes: bool = False,
        verify_responses: bool = False,
        on_event: Callable[[Event], object] | None = None,
        timeouts: Timeouts | None = None,
        default_token_lifetime: float = DEFAULT_LIFETIME_S,
        clock: Clock | None = None,
    ) -> None:
        """Bind the app's key, the organization and the environment to a store."""
        try:
            app = App(
                client_id=client_id,
                app_secret=app_secret,
                environment=environment,
                store=store,
                replay_writes=replay_writes,
                verify_responses=verify_responses,
                on_event=on_event,
                timeouts=timeouts,
                default_token_lifetime=default_token_lifetime,
                clock=clock,
            )
        finally:
            del app_secret  # A traceback with locals must not show it.
        self._app = app
        self._session = app.session(canonical_org_id(org_id))

    @classmethod
    def _of_app(cls, app: App, org_id: str) -> Self:
        """Return the auth of one organization of an app; what ``PortalApp.org`` does."""
        auth = cls.__new__(cls)
        auth._app = app  # noqa: SLF001 - this is one of us
        auth._session = app.session(org_id)  # noqa: SLF001
        return auth

    @classmethod
    def from_env(
        cls,
        *,
        org_id: str | uuid.UUID | None = None,
        environment: EnvironmentName | Environment | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """Make one from variables of the environment, most of them named as in Cobo's own tools.

        ``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET``, ``COBO_ENV`` (or ``COBO_BASE_URL`` and
        ``COBO_RESPONSE_KEY`` for another server), ``COBO_ORG_ID``, and ``COBO_TOKEN_STORE``.

        Args:
            org_id: instead of ``COBO_ORG_ID``.
            environment: instead of ``COBO_ENV``, ``COBO_BASE_URL`` and ``COBO_RESPONSE_KEY``.
            **options: as for the class itself: ``store`` (instead of ``COBO_TOKEN_STORE``),
                ``on_event``, ….

        Raises:
            ConfigurationError: one of the variables is not set, cannot be used, or contradicts
                another one.

        """
        return cls(**oauth_from_env(org_id, environment), **with_store(options))

    @property
    def environment(self) -> Environment:
        """Where the credentials go, and nowhere else."""
        return self._app.environment

    @property
    def client_id(self) -> str:
        """The Portal App's client ID."""
        return self._app.client_id

    @property
    def org_id(self) -> str:
        """The organization's ID."""
        return self._session.account.key.org_id

    # ------------------------------------------------------------------ tokens outside httpx
    def token(self, client: _Client) -> Token:
        """Get a valid token, renewed first where it is time to.

        For use outside of httpx: a websocket, or the official SDK.

        Args:
            client: sends the exchange, if there is to be one.

        Raises:
            TokenUnavailableError: there is none to be had.
            StoreError: the same, because of the store.

        """
        return self._run(client, self._session.flow.token())

    def renew(self, client: _Client) -> Token:
        """Get a new token now, because permissions have changed, say.

        Callers at the same time share one exchange, if it was sent after they called.

        Args:
            client: sends the exchange.

        Raises:
            TokenUnavailableError: there is none to be had.
            StoreError: the same, because of the store.

        """
        return self._run(client, self._session.flow.renew())

    def status(self, *, refresh: bool = False) -> TokenStatus:
        """Return what is known of the token, without any secret.

        Changes nothing, sends nothing, and waits for no renewal.

        Args:
            refresh: whether to look into the store first. Without it, only what this process
                knows is told, which is nothing before its first request.

        Raises:
            StoreError: the store cannot be read.

        """
        flow = self._session.flow
        return run_sync(self._session, flow.stored_status()) if refresh else flow.status()

    def keep_fresh(self, client: _Client | _AsyncClient | None = None) -> KeepFresh:
        """Renew the token ahead of time, without requests, while a block lasts.

        ``with auth.keep_fresh():`` does it in a daemon thread, ``async with`` in a task. The token
        is looked at every 30 s, or more often where it lives for less than ten minutes. Where
        there is none, none is asked for; what fails is told by events, and tried again.

        Args:
            client: sends the renewals, a sync one for ``with``, an async one for ``async with``;
                by default one of its own.

        """
        return KeepFresh(lambda: [self._session], client, self.client, self.async_client)

    def forget(self) -> None:
        """Drop the token, here and in the store; the next request gets a first one.

        Raises:
            StoreError: it may still be in the store.
            RenewalTimeoutError: a renewal under way did not end in time.

        """
        run_sync(self._session, self._session.flow.forget())

    async def atoken(self, client: _AsyncClient) -> Token:
        """Get a valid token, as ``token`` does, in asyncio or trio."""
        return await self._arun(client, self._session.flow.token())

    async def arenew(self, client: _AsyncClient) -> Token:
        """Get a new token now, as ``renew`` does, in asyncio or trio."""
        return await self._arun(client, self._session.flow.renew())

    async def astatus(self, *, refresh: bool = False) -> TokenStatus:
        """Return what is known of the token, as ``status`` does, in asyncio or trio."""
        flow = self._session.flow
        return await run_async(self._session, flow.stored_status()) if refresh else flow.status()

    async def aforget(self) -> None:
        """Drop the token, as ``forget`` does, in asyncio or trio."""
        await run_async(self._session, self._session.flow.forget())

    # ------------------------------------------------------------------------ made by a family
    def client(self, **options: Any) -> Any:  # noqa: ANN401 - the family's own
        """Make a client that is safe."""

    def async_client(self, **options: Any) -> Any:  # noqa: ANN401 - the family's own
        """Make an async client that is safe."""

    def _run(self, client: _Client, flow: Flow[HeldToken]) -> Token:
        require_client(client, "Client")
        return run_sync(self._session, flow, client).token

    async def _arun(self, client: _AsyncClient, flow: Flow[HeldToken]) -> Token:
        require_client(client, "AsyncClient")
        return (await run_async(self._session, flow, client)).token

    def __repr__(self) -> str:
        """Show whose requests it signs, and nothing of key or token."""
        if not hasattr(self, "_session"):  # Its making fails, and a tracker shows locals.
            return f"<{public_name(self)}>"
        return (
            f"{public_name(self)}(client_id={self.client_id!r}, org_id={self.org_id!r}, "
            f"environment={self.environment.name!r})"
        )


def public_name(auth: object) -> str:
    """Return the class's name as users import it, so that the two families can be told apart."""
    module = "httpx2." if type(auth).__module__ == "httpx_cobo_auth.httpx2" else ""
    return f"{module}{type(auth).__name__}"
