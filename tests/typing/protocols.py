"""Signers, stores and clocks of a program's own. For type checkers alone: never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth import (
    AsyncTokenStore,
    CoboAuth,
    CoboOAuth,
    Ed25519Signer,
    FileStore,
    KeyringStore,
    MemoryStore,
    PortalApp,
    RedisStore,
    Signer,
    TokenStore,
)
from httpx_cobo_auth import httpx2 as over_httpx2

if TYPE_CHECKING:
    from pathlib import Path

    import redis
    from keyring.backend import KeyringBackend

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.stores.base import AsyncStoreLock, StoreLock


class KmsSigner:
    """A signer."""

    @property
    def public_key(self) -> str:
        """From the key service."""
        return ""

    def sign(self, digest: bytes) -> bytes:
        """By the key service."""
        return digest


class PlainSigner:
    """Another, whose key is an attribute; its parameter has a name of its own."""

    def __init__(self) -> None:
        self.public_key = ""

    def sign(self, message: bytes) -> bytes:
        """By itself."""
        return message


class HexSigner:
    """None: it signs in another type."""

    public_key = ""

    def sign(self, digest: bytes) -> str:
        """As text."""
        return digest.hex()


class Lock:
    """The right to renew."""

    def remaining(self) -> float:
        """For ever."""
        return float("inf")

    def release(self) -> None:
        """Give it back."""


class AsyncLock(Lock):
    """The same, awaited."""

    async def release(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # ty: ignore[incompatible-method-override]
        """Give it back."""


class MyStore:
    """A store."""

    shared = True

    def load(self, key: StoreKey) -> Record | None:
        """From somewhere."""

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """To somewhere."""

    def try_lock(self, key: StoreKey, *, ttl: float) -> StoreLock | None:
        """Somewhere."""
        del key, ttl
        return Lock()


class MyAsyncStore:
    """The same, awaited."""

    shared = True

    async def load(self, key: StoreKey) -> Record | None:
        """From somewhere."""

    async def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """To somewhere."""

    async def try_lock(self, key: StoreKey, *, ttl: float) -> AsyncStoreLock | None:
        """Somewhere."""
        del key, ttl
        return AsyncLock()


class ForgetfulStore:
    """None: it cannot say which version it replaces."""

    shared = False

    def load(self, key: StoreKey) -> Record | None:
        """From somewhere."""

    def save(self, key: StoreKey, record: Record) -> None:
        """To somewhere."""

    def try_lock(self, key: StoreKey, *, ttl: float) -> StoreLock | None:
        """Nowhere."""


class MyClock:
    """A clock."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return 0.0

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return 0.0


def signers() -> list[Signer]:
    """Whoever signs, and who does not."""
    signer: Signer = HexSigner()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # ty: ignore[invalid-assignment]
    return [signer, KmsSigner(), PlainSigner(), Ed25519Signer("00" * 32)]


def stores(
    folder: Path, backend: KeyringBackend, client: redis.Redis, cluster: redis.RedisCluster
) -> list[TokenStore]:
    """Whatever keeps tokens, and what does not."""
    async_one: AsyncTokenStore = MyAsyncStore()
    store: TokenStore = async_one  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # ty: ignore[invalid-assignment]
    store = ForgetfulStore()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # ty: ignore[invalid-assignment]
    FileStore()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[missing-argument]
    return [
        store,
        MyStore(),
        MemoryStore(),
        FileStore("~/tokens"),
        FileStore(folder, encryption_key=bytes(32)),
        KeyringStore(),
        KeyringStore("service", lock_dir=folder, backend=backend, timeout=5),
        RedisStore("redis://localhost"),
        RedisStore(client, prefix="mine", timeout=1.5),
        RedisStore(cluster),
    ]


def taken(signer: KmsSigner, clock: MyClock, store: MyStore, async_store: MyAsyncStore) -> None:
    """Each goes where one of the package's own would go, over both families."""
    either: Clock = clock
    CoboAuth(api_secret=signer, environment="dev")
    CoboOAuth(client_id="c", app_secret=signer, org_id="o", environment="dev", store=store)
    CoboOAuth(client_id="c", app_secret=signer, org_id="o", environment="dev", store=async_store)
    over_httpx2.CoboAuth(api_secret=signer, environment="dev")
    for portal in (PortalApp, over_httpx2.PortalApp):
        portal(client_id="c", app_secret=signer, environment="dev", store=store, clock=either)
        portal(client_id="c", app_secret=signer, environment="dev", store=async_store, clock=clock)
