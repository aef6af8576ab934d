"""``CoboAuth`` of both families: a signature, and no token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from httpx_cobo_auth._auth.base import FlowAuth, public_name
from httpx_cobo_auth._auth.config import App
from httpx_cobo_auth._auth.from_env import key_from_env

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.signing import Signer
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment, EnvironmentName

__all__ = ["PlainAuth"]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class PlainAuth(FlowAuth[_Request, _Response]):
    """Cobo Auth: every request signed by an API key, without a token."""

    _with_token = False

    def __init__(
        self,
        *,
        api_secret: str | Signer,
        environment: EnvironmentName | Environment,
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
        environment: EnvironmentName | Environment | None = None,
        verify_responses: bool = False,
        clock: Clock | None = None,
    ) -> Self:
        """Make one from variables of the environment.

        ``COBO_API_SECRET`` and ``COBO_ENV``, as Cobo's own tools name them, or ``COBO_BASE_URL``
        and ``COBO_RESPONSE_KEY`` for another server.

        Args:
            environment: instead of ``COBO_ENV``, ``COBO_BASE_URL`` and ``COBO_RESPONSE_KEY``.
            verify_responses: as for the class itself.
            clock: as for the class itself.

        Raises:
            ConfigurationError: one of the variables is not set, cannot be used, or contradicts
                another one.

        """
        given = key_from_env(environment)
        return cls(**given, verify_responses=verify_responses, clock=clock)

    def __repr__(self) -> str:
        """Show where the key is good for, and nothing of it."""
        if not hasattr(self, "_session"):  # Its making fails, and a tracker shows locals.
            return f"<{public_name(self)}>"
        return f"{public_name(self)}(environment={self.environment.name!r})"
