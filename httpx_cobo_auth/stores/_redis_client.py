"""What a ``RedisStore`` talks to Redis by: a client made from a URL, or the user's own."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, Protocol, cast

from httpx_cobo_auth.errors import ConfigurationError
from httpx_cobo_auth.stores._checks import Trouble, attempt

__all__ = ["RedisClient", "checked_client", "client_from_url"]


class RedisClient(Protocol):
    """What is needed of redis-py's client: ``Redis``, ``RedisCluster``, or alike."""

    def eval(self, script: str, numkeys: int, /, *keys_and_args: Any) -> Any:  # noqa: ANN401
        """Run a script on the server that has the key; a primary, never a replica."""
        ...


def client_from_url(url: str, timeout: float) -> RedisClient:
    """Make a client whose calls end in time, whatever becomes of the server.

    Raises:
        ConfigurationError: the URL is none, or redis-py is not installed.

    """
    try:
        client = attempt(partial(_connectable, url, timeout), Exception, detailed=False)
    finally:
        del url
    if isinstance(client, Trouble):
        # The reason could repeat part of a password.
        message = "the Redis URL is not one: expected redis://, rediss:// or unix://"
        raise ConfigurationError(message)
    if client is None:
        message = "RedisStore needs redis-py: pip install 'httpx-cobo-auth[redis]'"
        raise ConfigurationError(message)
    return client


def _connectable(url: str, timeout: float) -> RedisClient | None:
    try:
        import redis  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError:
        return None
    # Once more at once where a connection from the pool turned out to be dead. A server that
    # hangs would only hang again.
    retry = Retry(NoBackoff(), 1, (redis.ConnectionError,))
    # Its options are untyped.
    client: Any = redis.Redis
    options = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    return cast("RedisClient", client.from_url(url, retry=retry, **options))


def checked_client(client: RedisClient) -> RedisClient:
    """Return the user's client, if it is one that can serve any thread.

    Raises:
        ConfigurationError: it is none, or an asyncio client.

    """
    if not callable(getattr(client, "eval", None)):
        message = (
            f"expected a URL or a client of redis-py, got a {type(client).__name__}; "
            "of a Sentinel, give master_for(…)"
        )
        raise ConfigurationError(message)
    if inspect.iscoroutinefunction(getattr(client, "execute_command", client.eval)):
        message = (
            "an asyncio client serves one event loop, a store serves all of them, and threads; "
            "give RedisStore the sync client, which never blocks your event loop"
        )
        raise ConfigurationError(message)
    return client
