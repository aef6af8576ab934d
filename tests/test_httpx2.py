"""The same classes over httpx2: a family of its own, one core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from httpx_cobo_auth import AsyncTokenStore, StoreCorruptError, StoreUnavailableError
from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
from httpx_cobo_auth._runtime.store_access import AsyncStoreAccess
from httpx_cobo_auth.errors import UnsafeRequestError
from httpx_cobo_auth.httpx2 import CoboAuth, CoboOAuth, PortalApp
from httpx_cobo_auth.testing import CoboSimulator

if TYPE_CHECKING:
    from httpx_cobo_auth.stores.base import AsyncStoreLock


@pytest.fixture
def app(simulator: CoboSimulator) -> PortalApp:
    """A Portal App of the simulator's."""
    return PortalApp(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        environment=simulator.environment,
        clock=simulator.clock,
    )


def test_the_classes_are_httpx2_s(app: PortalApp, simulator: CoboSimulator) -> None:
    """httpx2 refuses the auth classes of httpx, and takes these."""
    auth = app.org(simulator.org_id)
    assert isinstance(auth, CoboOAuth)
    assert isinstance(auth, httpx2.Auth)
    assert issubclass(CoboAuth, httpx2.Auth)


def test_a_client_renews_and_replays(app: PortalApp, simulator: CoboSimulator) -> None:
    """A revoked token is renewed once, and the read goes through."""
    with simulator.serve() as environment:
        auth = CoboOAuth(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            org_id=simulator.org_id,
            environment=environment,
            clock=simulator.clock,
        )
        with auth.client() as client:
            assert client.get("/wallets").status_code == 200
            simulator.revoke_tokens()
            assert client.get("/wallets").status_code == 200
    assert simulator.counters.exchanges == 2
    assert app.environment.name == environment.name


async def test_one_client_serves_all_organizations(
    app: PortalApp, simulator: CoboSimulator
) -> None:
    """Sync and async; a request that does not say whose it is, is refused."""
    auth = app.org(simulator.org_id)
    async with app.async_client(transport=simulator) as aclient:
        assert (await aclient.get("/wallets", auth=auth)).status_code == 200
        with pytest.raises(UnsafeRequestError):
            await aclient.get("/wallets")
    with app.client(transport=simulator) as client:
        assert client.get("/wallets", auth=auth).status_code == 200
        with pytest.raises(UnsafeRequestError):
            client.get("/wallets")
    assert simulator.counters.exchanges == 1


async def test_an_async_client_renews_and_replays(simulator: CoboSimulator) -> None:
    """The same in asyncio and trio."""
    with simulator.serve() as environment:
        auth = CoboOAuth(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            org_id=simulator.org_id,
            environment=environment,
            clock=simulator.clock,
        )
        async with auth.async_client() as client:
            assert (await client.get("/wallets")).status_code == 200
            simulator.revoke_tokens()
            assert (await client.get("/wallets")).status_code == 200
    assert simulator.counters.exchanges == 2


def test_a_long_answer_tells_how_long_it_took(app: PortalApp, simulator: CoboSimulator) -> None:
    """httpx2 reads that off the stream, and this one is ours: its beginning has been read."""
    simulator.inject("api", status=401, body="x" * 100_000, signed=False)
    with app.org(simulator.org_id).client(transport=simulator) as client:
        response = client.get("/wallets")
    assert response.status_code == 401
    assert len(response.content) == 100_000
    assert response.elapsed.total_seconds() > 0


class Broken:
    """An async store whose every method fails, of something of its own."""

    shared = True

    async def load(self, key: StoreKey) -> Record | None:
        """Fail."""
        raise ConnectionResetError(key.org_id)

    async def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        """Fail."""
        raise ConnectionResetError(key.org_id, record, expected)

    async def try_lock(self, key: StoreKey, *, ttl: float) -> AsyncStoreLock | None:
        """Fail."""
        raise ConnectionResetError(key.org_id, ttl)


async def test_what_an_async_store_raises_is_typed() -> None:
    """Whatever it is, it means that the store cannot be reached."""
    store: AsyncTokenStore = Broken()
    custody = AsyncStoreAccess(store, StoreKey("https://cobo.test/v2", "c", "o"), 1.0)
    with pytest.raises(StoreUnavailableError, match="ConnectionResetError"):
        await custody.load()


async def test_what_is_typed_already_passes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged record is not taken for a store out of reach."""

    async def load(_self: Broken, _key: StoreKey) -> Record | None:
        message = "damaged"
        raise StoreCorruptError(message)

    monkeypatch.setattr(Broken, "load", load)
    custody = AsyncStoreAccess(Broken(), StoreKey("https://cobo.test/v2", "c", "o"), 1.0)
    with pytest.raises(StoreCorruptError, match="damaged"):
        await custody.load()


def test_a_simulator_may_look_at_the_age_of_a_nonce_alone() -> None:
    """As Cobo's documentation can be read: processes that share a key cannot agree on more."""
    simulator = CoboSimulator(check_nonce="age")
    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        clock=simulator.clock,
    )
    with auth.client(transport=simulator) as client:
        assert client.get("/wallets").status_code == 200
