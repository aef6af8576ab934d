"""The public API as programs use it, for type checkers alone: this file is never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

import httpx
import httpx2

from httpx_cobo_auth import (
    AsyncTokenStore,
    CoboAuth,
    CoboOAuth,
    Ed25519Signer,
    Environment,
    MemoryStore,
    PortalApp,
    Signer,
    Timeouts,
    Token,
    TokenRefusedError,
    TokenStore,
)
from httpx_cobo_auth import httpx2 as over_httpx2
from httpx_cobo_auth.events import Event, RenewalFailed, TokenChanged
from httpx_cobo_auth.testing import CoboSimulator, ManualClock

if TYPE_CHECKING:
    from httpx_cobo_auth.records import Record, StoreKey, Version
    from httpx_cobo_auth.stores.base import AsyncStoreLock, StoreLock


class KmsSigner:
    """A signer of a program's own."""

    @property
    def public_key(self) -> str:
        """From the key service."""
        return ""

    def sign(self, digest: bytes) -> bytes:
        """By the key service."""
        return digest


class MyStore:
    """A store of a program's own."""

    shared = True

    def load(self, key: StoreKey) -> Record | None:
        """From somewhere."""

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """To somewhere."""

    def try_lock(self, key: StoreKey, *, ttl: float) -> StoreLock | None:
        """Somewhere."""


class MyAsyncStore:
    """The same, awaited."""

    shared = True

    async def load(self, key: StoreKey) -> Record | None:
        """From somewhere."""

    async def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """To somewhere."""

    async def try_lock(self, key: StoreKey, *, ttl: float) -> AsyncStoreLock | None:
        """Somewhere."""


def listener(event: Event) -> None:
    """What happens, by kind."""
    assert_type(event.org_id, str)
    if isinstance(event, TokenChanged):
        assert_type(event.generation, int)
        assert_type(event.expires_at, float)
    if isinstance(event, RenewalFailed):
        assert_type(event.still_usable, bool)
        if isinstance(event.error, TokenRefusedError):
            assert_type(event.error.error_id, str | None)
            assert_type(event.error.retry_after, float | None)


signer: Signer = KmsSigner()
in_memory: Signer = Ed25519Signer("00" * 32)
store: TokenStore = MyStore()
memory: TokenStore = MemoryStore()
async_store: AsyncTokenStore = MyAsyncStore()
environment = Environment("mine", "https://a.example/v2", response_key=None)

auth = CoboOAuth(
    client_id="c",
    app_secret="00" * 32,
    org_id="o",
    environment="dev",
    store=store,
    replay_writes=False,
    verify_responses=True,
    on_event=listener,
    timeouts=Timeouts(exchange=5, lock=7.5),
    clock=ManualClock(),
)
CoboOAuth(client_id="c", app_secret=signer, org_id="o", environment=environment)
CoboOAuth(client_id="c", app_secret=signer, org_id="o", environment="prod", store=async_store)
assert_type(CoboOAuth.from_env(org_id="o", store=memory), CoboOAuth)

# What must not pass.
CoboOAuth(client_id="c", app_secret=b"", org_id="o", environment="dev")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
CoboOAuth(client_id="c", app_secret="", org_id="o")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
CoboOAuth(client_id="c", app_secret="", org_id="o", environment="dev", verify_response=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
CoboOAuth(client_id="c", app_secret="", org_id="o", environment="dev", store="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
CoboAuth("00" * 32, "dev")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
environment.name = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

assert_type(auth.environment, Environment)
assert_type(auth.client_id, str)
assert_type(auth.org_id, str)
assert_type(auth.client(timeout=5), httpx.Client)
assert_type(auth.async_client(http2=False), httpx.AsyncClient)
assert_type(auth.forget(), None)
with httpx.Client(base_url=auth.environment.base_url, auth=auth) as client:
    assert_type(auth.token(client), Token)
    assert_type(auth.renew(client).access_token, str)
    assert_type(auth.token(client).refresh_token, str | None)
    assert_type(client.get("/wallets", auth=auth), httpx.Response)
httpx.get("https://a.example", auth=CoboAuth(api_secret=signer, environment=environment))

app = PortalApp(client_id="c", app_secret=signer, environment="sandbox", store=memory)
assert_type(app.org("o"), CoboOAuth)
assert_type(PortalApp.from_env(), PortalApp)


async def tasks() -> None:
    """Use it from tasks."""
    async with httpx.AsyncClient(auth=auth) as async_client:
        assert_type(await auth.atoken(async_client), Token)
        assert_type(await auth.arenew(async_client), Token)
        await auth.aforget()
        await auth.atoken(httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# The other family: the same, of its own kind.
other = over_httpx2.CoboOAuth(client_id="c", app_secret=signer, org_id="o", environment="dev")
assert_type(other.client(), httpx2.Client)
assert_type(other.async_client(), httpx2.AsyncClient)
assert_type(over_httpx2.CoboOAuth.from_env(org_id="o"), over_httpx2.CoboOAuth)
assert_type(
    over_httpx2.PortalApp(client_id="c", app_secret=signer, environment="dev").org("o"),
    over_httpx2.CoboOAuth,
)
with httpx2.Client(auth=other) as client2:
    assert_type(other.token(client2), Token)
    other.token(httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
httpx2.Client(auth=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
httpx.Client(auth=other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# The simulator serves both.
simulator = CoboSimulator(clock=ManualClock(), token_lifetime=600)
assert_type(simulator.environment, Environment)
httpx.Client(transport=simulator)
httpx.AsyncClient(transport=simulator)
with simulator.serve() as served:
    assert_type(served, Environment)
