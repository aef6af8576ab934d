"""``CoboOAuth`` and ``CoboAuth`` for httpx."""

from __future__ import annotations

from typing import Any

import httpx

from httpx_cobo_auth._auth.base import OAuth
from httpx_cobo_auth._auth.clients import BoundAuth, SafeAsyncClient, SafeClient, client_options
from httpx_cobo_auth._auth.plain import PlainAuth

__all__ = ["CoboAuth", "CoboOAuth", "SafeHttpxAsyncClient", "SafeHttpxClient"]


class CoboAuth(PlainAuth[httpx.Request, httpx.Response], httpx.Auth):
    """Cobo Auth for API keys: signs every request of one's own organization.

    Example:
        >>> auth = CoboAuth(api_secret="06f7…2b5f", environment="dev")
        >>> client = httpx.Client(base_url=auth.environment.base_url, auth=auth)

    Args:
        api_secret: the Ed25519 seed, 64 hex digits, or any ``Signer``.
        environment: ``"prod"``, ``"dev"``, ``"sandbox"``, or an ``Environment``; no default,
            because money is at stake.
        verify_responses: whether answers must be signed by Cobo, as the official SDK checks
            it. The whole answer is read first, also where it was to be streamed.
        clock: where the time is read; by default the machine's own.

    Attributes:
        environment: where the credentials go, and nowhere else.

    Raises:
        ConfigurationError: an argument cannot be used.

    """


class CoboOAuth(OAuth[httpx.Request, httpx.Response, httpx.Client, httpx.AsyncClient], httpx.Auth):
    """Cobo OAuth for Portal Apps: signs every request, and keeps its Org Access Token fresh.

    One object serves sync and async clients, any number of threads and of event loops
    (asyncio and trio). Objects made anew for each request share their token and its renewal,
    as long as they share the store.

    With ``auth=`` the exchange of tokens travels through the client at hand, and its event
    hooks and transports see it. Where it breaks on the way, that one call fails with httpx's
    own error, although nothing of it was sent; the next one recovers. ``client()`` and
    ``async_client()`` give clients that do better: those errors are caught, and redirects are
    never followed.

    Example:
        >>> auth = CoboOAuth(client_id="…", app_secret="…", org_id="…", environment="dev")
        >>> client = httpx.Client(base_url=auth.environment.base_url, auth=auth)
        >>> client.get("/wallets")

    Args:
        client_id: names the Portal App.
        app_secret: the app's Ed25519 seed, 64 hex digits, or any ``Signer``.
        org_id: names the organization that installed the app.
        environment: ``"prod"``, ``"dev"``, ``"sandbox"``, or an ``Environment``; no default,
            because money is at stake.
        store: where the token lives; by default a ``MemoryStore`` of its own, for one
            process.
        replay_writes: whether a write that is answered by 500/1000 is sent again after a
            renewal. Cobo documents that answer for dead tokens *and* for faults in which the
            write may have run; so by default the answer is handed back. For a single request:
            ``extensions={"cobo_replay": True}``.
        verify_responses: whether answers of the API must be signed by Cobo, as the official
            SDK checks it. The whole answer is read first, also where it was to be streamed.
            Answers of the token endpoint are verified in any case where the environment has
            a key.
        on_event: called with an ``Event`` after each change of the token, and each failure.
            In the thread, or the event loop, of the request that brought it about.
        timeouts: how long things may take, in seconds.
        default_token_lifetime: seconds that a token is taken to live whose reply does not say;
            an hour. Cobo's documentation marks ``expires_in`` as optional.
        clock: where the time is read; by default the machine's own.

    Raises:
        ConfigurationError: an argument cannot be used.

    """

    def client(self, **options: Any) -> httpx.Client:  # noqa: ANN401 - httpx.Client's own
        """Make a client that is safe: to this environment, without redirects.

        Args:
            **options: of ``httpx.Client``, but for ``auth``, ``base_url`` and
                ``follow_redirects``.

        Raises:
            ConfigurationError: one of those three was given.

        """
        options = client_options(self.environment, options)
        return SafeHttpxClient(auth=self, **options)

    def async_client(self, **options: Any) -> httpx.AsyncClient:  # noqa: ANN401
        """Make an async client that is safe: to this environment, without redirects.

        Args:
            **options: of ``httpx.AsyncClient``, but for ``auth``, ``base_url`` and
                ``follow_redirects``.

        Raises:
            ConfigurationError: one of those three was given.

        """
        options = client_options(self.environment, options)
        return SafeHttpxAsyncClient(auth=self, **options)


class _Bound(BoundAuth, httpx.Auth):
    pass


class SafeHttpxClient(SafeClient, httpx.Client):
    """What ``client()`` makes."""

    _bound = _Bound


class SafeHttpxAsyncClient(SafeAsyncClient, httpx.AsyncClient):
    """What ``async_client()`` makes."""

    _bound = _Bound
