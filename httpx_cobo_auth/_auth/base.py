"""What the auth classes of both families, httpx and httpx2, have in common: nearly all.

Generic over the family's own types, whose ``Auth`` is added as a base by the modules ``oauth``
and ``httpx2``. Beneath this module the types are written as httpx's; httpx2's have the same
shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, cast

from httpx_cobo_auth._auth.config import App, app_from_env, key_from_env
from httpx_cobo_auth._confidential import Confidential
from httpx_cobo_auth._identity import canonical_org_id
from httpx_cobo_auth._protocol.flow import Call, signed_flow
from httpx_cobo_auth._runtime.backends import AsyncDriver, SyncDriver
from httpx_cobo_auth._runtime.family import require_client
from httpx_cobo_auth._runtime.performer import Performer

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncGenerator, Generator

    from httpx_cobo_auth._auth.config import Options
    from httpx_cobo_auth._protocol.effects import Flow
    from httpx_cobo_auth._protocol.signing import Signer
    from httpx_cobo_auth._protocol.tokens import HeldToken, Token
    from httpx_cobo_auth._runtime.session import Session
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment

__all__ = ["FlowAuth", "OAuth", "PlainAuth", "public_name"]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Client = TypeVar("_Client")
_AsyncClient = TypeVar("_AsyncClient")

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_REPLAY_EXTENSION = "cobo_replay"
_SYNC = SyncDriver()
_ASYNC = AsyncDriver()


class FlowAuth(Confidential, Generic[_Request, _Response]):
    """An auth object whose flows are driven through requests."""

    # For code that looks at it; the flows below read the body themselves, after the check
    # that it goes to the right origin.
    requires_request_body = True

    _session: Session

    def _flow_for(self, request: _Request) -> Flow[None]:
        """Give the flow that decides about a request."""
        raise NotImplementedError  # pragma: no cover - each kind of auth has its own

    def auth_flow(self, request: _Request) -> Generator[_Request, _Response, None]:
        """Go through the flow of one request; the same as ``sync_auth_flow``."""
        return self.sync_auth_flow(request)

    def sync_auth_flow(self, request: _Request) -> Generator[_Request, _Response, None]:
        """Go through the flow of one request of a sync client. Called by httpx."""
        return self._drive(request, None)

    def async_auth_flow(self, request: _Request) -> AsyncGenerator[_Request, _Response]:
        """Go through the flow of one request of an async client. Called by httpx."""
        return self._adrive(request, None)

    def _drive(self, request: _Request, client: Any) -> Generator[_Request, _Response, None]:  # noqa: ANN401
        """Go through a flow, sending exchanges by ``client`` where one is given."""
        self._session.require_sync()
        driver: Any = _SYNC if client is None else SyncDriver(client)
        performer = Performer(self._session, cast("Any", request), request, driver)
        driven: Generator[_Request, _Response, None] = driver.drive(
            performer, performer.run(self._flow_for(request))
        )
        return driven

    def _adrive(self, request: _Request, client: Any) -> AsyncGenerator[_Request, _Response]:  # noqa: ANN401
        """Go through a flow, sending exchanges by ``client`` where one is given."""
        driver: Any = _ASYNC if client is None else AsyncDriver(client)
        performer = Performer(self._session, cast("Any", request), request, driver)
        driven: AsyncGenerator[_Request, _Response] = driver.drive(
            performer, performer.run(self._flow_for(request))
        )
        return driven


class PlainAuth(FlowAuth[_Request, _Response]):
    """Cobo Auth: every request signed by an API key, without a token."""

    def __init__(
        self,
        *,
        api_secret: str | Signer,
        environment: Environment | str,
        verify_responses: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """Bind the key to the environment."""
        try:
            app = App(
                client_id="-",
                app_secret=api_secret,
                environment=environment,
                verify_responses=verify_responses,
                clock=clock,
            )
        finally:
            del api_secret  # A traceback with locals must not show it.
        self.environment: Environment = app.environment
        self._session = app.session("-")

    @classmethod
    def from_env(
        cls,
        *,
        environment: Environment | str | None = None,
        verify_responses: bool = False,
        clock: Clock | None = None,
    ) -> Self:
        """Make one from ``COBO_API_SECRET`` and ``COBO_ENV``, as Cobo's own tools name them.

        Args:
            environment: instead of ``COBO_ENV``, which knows Cobo's own three only.
            verify_responses: as for the class itself.
            clock: as for the class itself.

        Raises:
            ConfigurationError: one of the variables is not set, or cannot be used.

        """
        given = key_from_env(environment)
        return cls(**given, verify_responses=verify_responses, clock=clock)

    def _flow_for(self, request: _Request) -> Flow[None]:
        """Give the flow that decides about a request."""
        del request
        return signed_flow()

    def __repr__(self) -> str:
        """Show where the key is good for, and nothing of it."""
        if not hasattr(self, "_session"):  # Its making fails, and a tracker shows locals.
            return f"<{public_name(self)}>"
        return f"{public_name(self)}(environment={self.environment.name!r})"


class OAuth(FlowAuth[_Request, _Response], Generic[_Request, _Response, _Client, _AsyncClient]):
    """Cobo OAuth: every request signed by the app key, and with an Org Access Token."""

    def __init__(
        self,
        *,
        client_id: str,
        app_secret: str | Signer,
        org_id: str | uuid.UUID,
        environment: Environment | str,
        **options: Unpack[Options],
    ) -> None:
        """Bind the app's key, the organization and the environment to a store."""
        try:
            app = App(
                client_id=client_id,
                app_secret=app_secret,
                environment=environment,
                **options,
            )
        finally:
            del app_secret, options  # A traceback with locals must not show it.
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
        org_id: str | uuid.UUID,
        environment: Environment | str | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """Make one from ``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET`` and ``COBO_ENV``.

        These are the names that Cobo's own tools use.

        Args:
            org_id: of the organization.
            environment: instead of ``COBO_ENV``, which knows Cobo's own three only.
            **options: as for the class itself: ``store``, ``on_event``, ….

        Raises:
            ConfigurationError: one of the variables is not set, or cannot be used.

        """
        return cls(org_id=org_id, **app_from_env(environment), **options)

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

    def _flow_for(self, request: _Request) -> Flow[None]:
        """Give the flow that decides about a request."""
        session = self._session
        sent = cast("Any", request)
        write = sent.method not in _READS
        replay = write and (
            session.settings.replay_writes or sent.extensions.get(_REPLAY_EXTENSION) is True
        )
        return session.flow.request(Call(sent.method, sent.url, write, replay))

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

    def forget(self) -> None:
        """Drop the token, here and in the store; the next request gets a first one.

        Raises:
            StoreError: it may still be in the store.
            RenewalTimeoutError: a renewal under way did not end in time.

        """
        self._session.require_sync()
        performer = Performer(self._session, None, None, _SYNC)
        _SYNC.run(performer, performer.run(self._session.flow.forget()))

    async def atoken(self, client: _AsyncClient) -> Token:
        """Get a valid token, as ``token`` does, in asyncio or trio."""
        return await self._arun(client, self._session.flow.token())

    async def arenew(self, client: _AsyncClient) -> Token:
        """Get a new token now, as ``renew`` does, in asyncio or trio."""
        return await self._arun(client, self._session.flow.renew())

    async def aforget(self) -> None:
        """Drop the token, as ``forget`` does, in asyncio or trio."""
        performer = Performer(self._session, None, None, _ASYNC)
        await _ASYNC.run(performer, performer.run(self._session.flow.forget()))

    def _run(self, client: _Client, flow: Flow[HeldToken]) -> Token:
        require_client(client, "Client")
        self._session.require_sync()
        driver = SyncDriver(cast("Any", client))
        performer = Performer(self._session, None, client, driver)
        return driver.run(performer, performer.run(flow)).token

    async def _arun(self, client: _AsyncClient, flow: Flow[HeldToken]) -> Token:
        require_client(client, "AsyncClient")
        driver = AsyncDriver(cast("Any", client))
        performer = Performer(self._session, None, client, driver)
        return (await driver.run(performer, performer.run(flow))).token

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
