"""``PortalApp``: one app, many organizations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack

from httpx_cobo_auth._auth.base import OAuth, public_name
from httpx_cobo_auth._auth.clients import client_options
from httpx_cobo_auth._auth.config import App
from httpx_cobo_auth._auth.from_env import app_from_env, with_store
from httpx_cobo_auth._auth.httpx import CoboOAuth, SafeHttpxAsyncClient, SafeHttpxClient
from httpx_cobo_auth._auth.keep_fresh import KeepFresh
from httpx_cobo_auth._confidential import Confidential
from httpx_cobo_auth._protocol.identity import canonical_org_id
from httpx_cobo_auth._protocol.tokens import DEFAULT_LIFETIME_S

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    import httpx

    from httpx_cobo_auth._auth.config import Options
    from httpx_cobo_auth._protocol.settings import Timeouts
    from httpx_cobo_auth._protocol.signing import Signer
    from httpx_cobo_auth._runtime.session import Session
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment, EnvironmentName
    from httpx_cobo_auth.events import Event
    from httpx_cobo_auth.stores.base import AsyncTokenStore, TokenStore

__all__ = ["Portal", "PortalApp"]

_Auth = TypeVar("_Auth", bound=OAuth[Any, Any, Any, Any])


class Portal(Confidential, Generic[_Auth]):
    """A ``PortalApp`` of either family; that one is documented."""

    _kind: type[_Auth]

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
        """Bind the app's key and the environment to a store."""
        try:
            self._app = App(
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
        self._orgs: dict[str, _Auth] = {}

    @classmethod
    def from_env(
        cls, *, environment: EnvironmentName | Environment | None = None, **options: Unpack[Options]
    ) -> Self:
        """Make one from variables of the environment, most of them named as in Cobo's own tools.

        ``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET``, ``COBO_ENV`` (or ``COBO_BASE_URL`` and
        ``COBO_RESPONSE_KEY`` for another server), and ``COBO_TOKEN_STORE``.

        Args:
            environment: instead of ``COBO_ENV``, ``COBO_BASE_URL`` and ``COBO_RESPONSE_KEY``.
            **options: as for the class itself: ``store`` (instead of ``COBO_TOKEN_STORE``),
                ``on_event``, ….

        Raises:
            ConfigurationError: one of the variables is not set, cannot be used, or contradicts
                another one.

        """
        return cls(**app_from_env(environment), **with_store(options))

    @property
    def environment(self) -> Environment:
        """Where the credentials go, and nowhere else."""
        return self._app.environment

    def org(self, org_id: str | uuid.UUID) -> _Auth:
        """Return the auth of one organization: the same object each time.

        A UUID is one organization, however it is spelled.

        Raises:
            ConfigurationError: the ID cannot be one.

        """
        whose = canonical_org_id(org_id)
        auth = self._orgs.get(whose)
        if auth is None:
            # Of two threads at once one wins, and both get the winner's.
            made = self._kind._of_app(self._app, whose)  # noqa: SLF001 - one of us  # pyright: ignore[reportPrivateUsage]
            auth = self._orgs.setdefault(whose, made)
        return auth

    def client(self, **options: Any) -> Any:  # noqa: ANN401 - the family's own
        """Make a client for all organizations."""

    def async_client(self, **options: Any) -> Any:  # noqa: ANN401 - the family's own
        """Make an async client for all organizations."""

    def keep_fresh(self, client: Any = None) -> KeepFresh:  # noqa: ANN401 - the family's own
        """Renew the tokens of all organizations that ``org`` was called for, while a block lasts.

        Args:
            client: as for ``CoboOAuth.keep_fresh``.

        """
        return KeepFresh(self._sessions, client, self.client, self.async_client)

    def _sessions(self) -> list[Session]:
        return [auth._session for auth in list(self._orgs.values())]  # noqa: SLF001 - one of us  # pyright: ignore[reportPrivateUsage]

    def __repr__(self) -> str:
        """Show which app, and nothing of its key."""
        if not hasattr(self, "_orgs"):  # Its making fails, and a tracker shows locals.
            return f"<{public_name(self)}>"
        return f"{public_name(self)}({self.environment.name!r}, organizations={len(self._orgs)})"


class PortalApp(Portal[CoboOAuth]):
    """One Portal App: hands out the auth of each organization that installed it.

    All of them share the app's key and one store; no token is ever used for another
    organization than its own.

    Example:
        >>> app = PortalApp(client_id="…", app_secret="…", environment="dev")
        >>> client = httpx.Client(base_url=app.environment.base_url)
        >>> client.get("/wallets", auth=app.org("7e5f…"))

    Args:
        client_id: names the Portal App.
        app_secret: the app's Ed25519 seed, 64 hex digits, or any ``Signer``.
        environment: as for ``CoboOAuth``.
        store: as for ``CoboOAuth``.
        replay_writes: as for ``CoboOAuth``.
        verify_responses: as for ``CoboOAuth``.
        on_event: as for ``CoboOAuth``; the event says which organization it is about.
        timeouts: as for ``CoboOAuth``.
        default_token_lifetime: as for ``CoboOAuth``.
        clock: as for ``CoboOAuth``.

    Raises:
        ConfigurationError: an argument cannot be used.

    """

    _kind = CoboOAuth

    def client(self, **options: Any) -> httpx.Client:  # noqa: ANN401 - httpx.Client's own
        """Make one client for many organizations, safe as ``CoboOAuth.client()``.

        Each request says whose it is: ``client.get("/wallets", auth=app.org("7e5f…"))``. One
        that does not is refused.

        Args:
            **options: of ``httpx.Client``, but for ``auth``, ``base_url`` and
                ``follow_redirects``.

        Raises:
            ConfigurationError: one of those three was given.

        """
        return SafeHttpxClient(**client_options(self.environment, options))

    def async_client(self, **options: Any) -> httpx.AsyncClient:  # noqa: ANN401
        """Make one async client for many organizations, as ``client`` does."""
        return SafeHttpxAsyncClient(**client_options(self.environment, options))
