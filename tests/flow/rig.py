"""A whole ``CoboOAuth`` against a Cobo in memory, with what a test wants to look at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

from httpx_cobo_auth import MemoryStore
from httpx_cobo_auth._protocol.records import Record, StoreKey
from httpx_cobo_auth._protocol.tokens import Token
from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import CoboOAuth, httpx
from tests.flow.stepping import OF_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.records import Version
    from httpx_cobo_auth.environment import Environment
    from httpx_cobo_auth.events import Event
    from httpx_cobo_auth.stores.base import StoreLock

__all__ = ["Rig", "Wire", "WobblyStore", "is_clean"]

_TOKEN_PATH = "/v2/oauth/token"
_Event = TypeVar("_Event", bound="Event")


def is_clean(response: httpx.Response) -> bool:
    """Return whether neither answer nor history has anything of an exchange."""
    return all(
        answer.request.url.path != _TOKEN_PATH and b"access_token" not in answer.content
        for answer in (response, *response.history)
    )


class Wire(httpx.BaseTransport):
    """The way to the simulator, on which a test may interfere."""

    def __init__(self, simulator: CoboSimulator) -> None:
        self.simulator = simulator
        self.before_exchange: Callable[[httpx.Request], object] = lambda _: None
        """May raise a transport error instead."""
        self.after_exchange: Callable[[httpx.Response], httpx.Response] = lambda response: response
        self.before_read: Callable[[], object] = lambda: None
        """A read passes a renewal that runs beside it. Whether it overtakes that is a matter of
        threads; a test that must know lets it come last."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        if request.url.path != _TOKEN_PATH:
            if request.method == "GET":
                self.before_read()
            return self.simulator.handle_request(request)
        self.before_exchange(request)
        return self.after_exchange(self.simulator.handle_request(request))


class WobblyStore(MemoryStore):
    """A memory store that fails on demand.

    Attributes:
        broken: the methods that raise, by name.
        calls: the methods called, in order.

    """

    def __init__(self, error: Callable[[], Exception] = lambda: OSError("disk full")) -> None:
        super().__init__()
        self.broken: set[str] = set()
        self.calls: list[str] = []
        self._error = error

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.broken:
            raise self._error()

    def load(self, key: StoreKey) -> Record | None:
        """Read, or fail."""
        self._call("load")
        return super().load(key)

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Write, or fail."""
        self._call("save")
        super().save(key, record, expected=expected)

    def try_lock(self, key: StoreKey, *, ttl: float) -> Any:  # noqa: ANN401 - private class
        """Lock, or fail."""
        self._call("try_lock")
        lock: StoreLock | None = super().try_lock(key, ttl=ttl)
        return lock


class Rig:
    """One organization, one store, one client.

    Attributes:
        responses: to all requests made by ``send``.
        events: as they were told.

    """

    def __init__(
        self,
        *,
        plain: bool = False,
        environment: Environment | None = None,
        simulator: CoboSimulator | None = None,
        clock: ManualClock | None = None,
        **simulated: Any,  # noqa: ANN401 - the simulator's settings
    ) -> None:
        self.plain = plain
        self.clock = clock or ManualClock()
        self.simulator = simulator or CoboSimulator(clock=self.clock, **simulated)
        self.store = WobblyStore()
        self.wire = Wire(self.simulator)
        self.events: list[Event] = []
        self.responses: list[httpx.Response] = []
        self.auth = CoboOAuth(
            client_id=self.simulator.client_id,
            app_secret=self.simulator.app_secret,
            org_id=self.simulator.org_id,
            environment=environment or self.simulator.environment,
            store=self.store,
            clock=self.clock,
            on_event=self.events.append,
        )
        self.client = (
            httpx.Client(
                auth=self.auth,
                base_url=self.auth.environment.base_url,
                transport=self.wire,
            )
            if plain
            else self.auth.client(transport=self.wire)
        )

    def send(self, method: str = "GET", path: str = "/wallets", **kw: Any) -> httpx.Response:  # noqa: ANN401
        """Make a request, and wait for the renewal that it may have started.

        Its response must be its own.
        """
        response = self.client.request(method, path, **kw)
        self.settle()
        assert is_clean(response)
        self.responses.append(response)
        return response

    def settle(self) -> None:
        """Wait for the renewals that run on their own to end."""
        if not self.plain:
            cast("Any", self.client)._settle()

    @property
    def key(self) -> StoreKey:
        """Whose token it is."""
        return StoreKey(
            self.auth.environment.base_url, self.simulator.client_id, self.simulator.org_id
        )

    @property
    def stored(self) -> Record:
        """What the store has."""
        record = MemoryStore.load(self.store, self.key)
        assert record is not None
        return record

    @property
    def token(self) -> Token:
        """The token that is stored."""
        token = self.stored.token
        assert token is not None
        return token

    def grow_stale(self) -> None:
        """Let the token get into its renewal window."""
        self.clock.advance(
            self.token.expires_at - self.token.renewal_window / 2 - self.clock.time()
        )

    def expire(self) -> None:
        """Let the token die."""
        self.clock.advance(self.token.expires_at + 1 - self.clock.time())

    def renewed_elsewhere(self) -> Token:
        """Let another process renew: another token, in the store and at Cobo."""
        issued = self.simulator.issue_token()
        now = self.clock.time()
        token = Token(
            access_token=issued.access_token,
            refresh_token=issued.refresh_token,
            expires_at=now + issued.expires_in,
            obtained_at=now,
        )
        before = MemoryStore.load(self.store, self.key) or Record()
        after = Record(before.generation + 1, token)
        MemoryStore.save(self.store, self.key, after, expected=before.version)
        return token

    def bearers(self) -> list[str]:
        """The access tokens that requests to the API carried, in order."""
        return [
            value.decode().removeprefix("Bearer ")
            for entry in self.simulator.log
            if entry.target.split(b"?")[0] != _TOKEN_PATH.encode()
            for name, value in entry.headers
            if name.lower() == b"authorization"
        ]

    def refresh_tokens_sent(self) -> list[str]:
        """The refresh tokens that arrived, in order."""
        return [
            json.loads(entry.body)["refresh_token"]
            for entry in self.simulator.log
            if entry.target == _TOKEN_PATH.encode() and entry.method == "POST"
        ]

    def told(self, kind: type[_Event]) -> list[_Event]:
        """Return the events of that class so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def kinds(self) -> list[str]:
        """The events so far that are about a token, and not about a request, by class."""
        return [type(event).__name__ for event in self.events if not isinstance(event, OF_REQUESTS)]
