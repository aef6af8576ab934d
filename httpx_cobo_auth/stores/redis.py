"""Tokens in Redis: for all processes of all hosts that reach it.

Three steps on the server, each atomic because it is a script: take the lock, replace the
record of a version, release the lock. Each can be sent twice, as a client does that lost the
answer: what the first time did is recognised the second time.

The lock lapses. That breaks nothing, because saving compares versions on the server, and
nothing is sent to Cobo that the lock would not outlive. The two keys of an organization share
a hash tag, so that they live in one slot of a cluster.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from httpx_cobo_auth.errors import (
    StoreConflictError,
    StoreCorruptError,
    StoreUnavailableError,
)
from httpx_cobo_auth.stores._checks import Secret, Trouble, attempt
from httpx_cobo_auth.stores._folder import name_for
from httpx_cobo_auth.stores._records_json import decode, encode, key_of
from httpx_cobo_auth.stores._redis_client import checked_client, client_from_url
from httpx_cobo_auth.stores._redis_lock import redis_locks
from httpx_cobo_auth.stores._uncopied import Uncopied

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.stores._lapsing import LapsingHold
    from httpx_cobo_auth.stores._redis_client import RedisClient

__all__ = ["RedisStore"]

_LOAD = "return redis.call('hmget', KEYS[1], 'version', 'record')"

_SAVE = """
local stored = redis.call('hget', KEYS[1], 'version') or '0:'
local generation = tonumber(string.match(stored, '^(%d+):'))
if not generation then return 'corrupt' end
if stored == ARGV[2] and redis.call('hget', KEYS[1], 'record') == ARGV[3] then return 'saved' end
if stored ~= ARGV[1] or tonumber(string.match(ARGV[2], '^(%d+):')) < generation then
  return 'moved'
end
redis.call('hset', KEYS[1], 'version', ARGV[2], 'record', ARGV[3])
return 'saved'
"""


class RedisStore(Uncopied):
    """Keeps tokens in Redis, with a lock that lapses should its owner die.

    One object serves any number of threads and of event loops, asyncio and trio: the sync
    client of redis-py is called in worker threads, for an asyncio client belongs to one event
    loop. Make one object for each process, or fork before or after, as you like.

    With a URL, calls take no longer than ``timeout`` and are repeated once where the
    connection was lost. With a client of your own, time limits and retries are your own,
    too; mind that redis-py's defaults wait for a server that hangs for most of a minute.

    - TLS: ``rediss://``, with ``?ssl_ca_certs=…`` and the like as redis-py has them.
    - ACL: a user with ``+eval +hget +hmget +hset +get +set +del ~httpx-cobo-auth:*``;
      ``+select`` for another database than 0, ``+scan`` for ``keys()``.
    - Sentinel: ``RedisStore(sentinel.master_for("name"))``.
    - Cluster: ``RedisStore(RedisCluster.from_url(…))``.

    What was saved is as durable as the server makes it. That no refresh token is ever sent
    twice holds as long as the server loses nothing that it acknowledged: ``appendonly yes``
    with ``appendfsync always``, no failover to a replica that is behind (``min-replicas-to-write``
    and a short ``min-replicas-max-lag`` make that rare, not impossible), and no eviction
    (``maxmemory-policy noeviction``). A server that does lose writes is found out by
    every process that has seen a later generation, and asked around by ``org_implicit``; a
    process that has just started cannot know, and sends a refresh token that may be spent.
    Cobo then refuses it, and ``org_implicit`` takes its place, unless spent tokens make Cobo
    revoke more than that.

    Example:
        >>> store = RedisStore("rediss://user:password@redis.internal:6379/0")

    Args:
        url_or_client: a URL, or a sync client of redis-py: ``Redis``, one from ``Sentinel``,
            or ``RedisCluster``.
        prefix: of all keys.
        timeout: seconds to connect, and for each answer; with a URL that sets none itself.

    Raises:
        ConfigurationError: redis-py is not installed, or neither URL nor client is usable.

    """

    shared = True
    blocking = True
    _why_uncopied = "it holds connections, and perhaps a password; make one in each process"

    def __init__(
        self,
        url_or_client: str | RedisClient,
        *,
        prefix: str = "httpx-cobo-auth",
        timeout: float = 2.0,
    ) -> None:
        """Connect to nothing yet."""
        self._prefix = prefix
        self._own = isinstance(url_or_client, str)
        try:
            self._client = (
                client_from_url(url_or_client, timeout)
                if isinstance(url_or_client, str)
                else checked_client(url_or_client)
            )
        finally:
            del url_or_client  # A traceback with locals must not show a password in it.
        self._locks = redis_locks(self._client)

    @property
    def identity(self) -> Hashable:
        """Which objects are the same store: same server, database and prefix."""
        pool = getattr(self._client, "connection_pool", None)
        options: dict[str, Any] = getattr(pool, "connection_kwargs", {})
        where = tuple(options.get(name) for name in ("host", "port", "path", "db"))
        if where[0] is None and where[2] is None:
            return "redis", id(self._client), self._prefix
        return "redis", *where, self._prefix

    def __repr__(self) -> str:
        """Show the prefix; the URL could hold a password."""
        return f"<RedisStore of {self._prefix!r}>"

    def close(self) -> None:
        """Close the connections, where they were made from a URL."""
        if self._own:
            cast("Any", self._client).close()

    def keys(self) -> list[StoreKey]:
        """Return whose records there are. Those that cannot be understood are left out.

        It looks through all keys of the database, bit by bit (``SCAN``).

        Raises:
            StoreUnavailableError: Redis cannot be reached, or refuses.

        """
        keys: list[StoreKey] = self._attempt(self._list)
        return keys

    def load(self, key: StoreKey) -> Record | None:
        """Read the record, if there is one.

        Raises:
            StoreCorruptError: what is there cannot be understood. It is kept.
            StoreUnavailableError: Redis cannot be reached, or refuses.

        """
        found: Record | str | None = self._attempt(lambda: self._read(key))
        if isinstance(found, str):
            raise self._corrupt(key, found)
        return found

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Replace the record of that version, atomically.

        Raises:
            StoreConflictError: the stored version is another, or newer than the record.
            StoreCorruptError: what is stored cannot be understood. It is kept.
            StoreUnavailableError: nothing is known to have been saved.

        """
        # The script compares versions, and cannot tell whether the rest can be understood.
        self.load(key)
        outcome = self._attempt(lambda: self._replace(key, record, expected))
        if outcome == "moved":
            message = "the record moved on since it was read"
            raise StoreConflictError(message)
        if outcome != "saved":
            raise self._corrupt(key, outcome)

    def try_lock(self, key: StoreKey, *, ttl: float) -> LapsingHold | None:
        """Take the right to renew if nobody has it, for ``ttl`` seconds.

        Raises:
            StoreUnavailableError: Redis cannot be reached, or refuses.

        """
        hold = self._locks.try_lock(self._name(key, "lock"), ttl)
        if isinstance(hold, Trouble):
            raise _unavailable(hold)
        return hold

    def _name(self, key: StoreKey, what: str) -> str:
        return f"{self._prefix}:{{{name_for(key)}}}:{what}"

    def _attempt(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - each has its own
        # Not only RedisError: cluster and TLS have others, and a client may be anybody's.
        result = attempt(call, Exception)
        if isinstance(result, Trouble):
            raise _unavailable(result)
        return result

    def _corrupt(self, key: StoreKey, why: str) -> StoreCorruptError:
        where = self._name(key, "token")
        return StoreCorruptError(f"cannot use the Redis key {where}: {why}. It was left as it is")

    def _list(self) -> list[StoreKey]:
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", self._prefix) + ":{*}:token"
        names: set[str] = {
            _bytes(name).decode() for name in cast("Any", self._client).scan_iter(match=pattern)
        }
        keys: list[StoreKey] = []
        for name in sorted(names):
            found = _unless_wrong_type(partial(self._client.eval, _LOAD, 1, name))
            key = key_of(Secret(_bytes(found[1]))) if found is not None else None
            if key is not None and name == self._name(key, "token"):
                keys.append(key)
        return keys

    def _read(self, key: StoreKey) -> Record | str | None:
        found = _unless_wrong_type(lambda: self._client.eval(_LOAD, 1, self._name(key, "token")))
        if found is None:
            return "it is not what this package stores"
        version, text = found
        if version is None and text is None:
            # That it has other fields only matters to whoever saves; nothing is lost then.
            return None
        record = decode(key, Secret(_bytes(text)))
        if isinstance(record, str):
            return record
        if _bytes(version) != _version(record.version).encode():
            return "its version does not fit the record"
        return record

    def _replace(self, key: StoreKey, record: Record, expected: Version) -> str:
        name = self._name(key, "token")
        text = encode(key, record).data
        versions = _version(expected), _version(record.version)
        outcome = _unless_wrong_type(lambda: self._client.eval(_SAVE, 1, name, *versions, text))
        if outcome is None or _bytes(outcome) == b"corrupt":
            return "it is not what this package stores"
        return _bytes(outcome).decode()


def _unavailable(trouble: Trouble) -> StoreUnavailableError:
    return StoreUnavailableError(f"Redis cannot be used: {trouble.text}")


def _unless_wrong_type(call: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Return what the call gives; ``None`` where the key holds another kind of value."""
    try:
        return call()
    except Exception as error:
        if "WRONGTYPE" in str(error):
            return None
        raise


def _version(version: Version) -> str:
    generation, owner = version
    return f"{generation}:{owner or ''}"


def _bytes(value: object) -> bytes:
    # Text where the client decodes responses.
    return value.encode() if isinstance(value, str) else cast("bytes", value or b"")
