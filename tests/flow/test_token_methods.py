"""``token``, ``renew``, ``forget`` and their async twins: tokens for use outside of httpx."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from httpx_cobo_auth.errors import (
    ConfigurationError,
    RenewalTimeoutError,
    StoreUnavailableError,
    TokenRefusedError,
)
from tests.family import CoboOAuth, httpx
from tests.flow.rig import Rig

if TYPE_CHECKING:
    from httpx_cobo_auth import Token


SYNC = pytest.mark.parametrize("plain", [False, True], ids=["auth.client()", "auth="])


def same(rig: Rig, token: Token) -> bool:
    """Return whether that token is the one in the store, and works."""
    assert rig.send().status_code == 200
    return rig.bearers()[-1] == token.access_token == rig.token.access_token


@SYNC
def test_token_gives_a_valid_token_renewed_where_it_is_time(plain: bool) -> None:  # noqa: FBT001
    """The same while FRESH, a new one when EXPIRED; a STALE one has a renewal started."""
    rig = Rig(plain=plain)
    first = rig.auth.token(rig.client)
    assert same(rig, first)
    assert rig.auth.token(rig.client) == first
    rig.grow_stale()
    rig.auth.token(rig.client)  # The first one, unless the renewal is over in no time.
    assert rig.auth.renew(rig.client) != first
    rig.expire()
    assert same(rig, rig.auth.token(rig.client))
    # ``renew`` may have come before the exchange that ``token`` started, or after it.
    assert rig.simulator.counters.exchanges in {3, 4}
    assert set(rig.kinds()[1:]) == {"TokenRenewed"}


@SYNC
def test_renew_gets_another_token_at_once(plain: bool) -> None:  # noqa: FBT001
    """Permissions have changed, say."""
    rig = Rig(plain=plain)
    first = rig.auth.renew(rig.client)
    rig.clock.advance(1)
    second = rig.auth.renew(rig.client)
    assert first.access_token != second.access_token
    assert same(rig, second)
    assert rig.simulator.counters.exchanges == 2


def test_any_client_will_do_and_its_auth_is_not_asked() -> None:
    """A client with a password of its own gets a token, and does not send the password along."""
    rig = Rig()
    with httpx.Client(transport=rig.simulator, auth=("user", "password")) as client:
        token = rig.auth.token(client)
    assert same(rig, token)
    assert all(name != b"Authorization" for name, _ in rig.simulator.log[0].headers)


def test_errors_are_typed() -> None:
    """With the app uninstalled, ``token`` and ``renew`` raise ``TokenRefusedError``."""
    rig = Rig()
    rig.simulator.uninstall()
    for method in (rig.auth.token, rig.auth.renew):
        with pytest.raises(TokenRefusedError):
            method(rig.client)


@pytest.mark.hazard(75)
@SYNC
def test_renew_asks_although_a_refusal_is_remembered(plain: bool) -> None:  # noqa: FBT001
    """The organization has installed the app meanwhile, and the program was told."""
    rig = Rig(plain=plain)
    rig.simulator.uninstall()
    with pytest.raises(TokenRefusedError):
        rig.send()
    rig.simulator.install()
    assert same(rig, rig.auth.renew(rig.client))


def test_forget_drops_the_token_here_and_in_the_store() -> None:
    """The next request gets a first one, with a higher generation."""
    rig = Rig()
    rig.send()
    rig.auth.forget()
    assert rig.stored.token is None
    assert rig.stored.generation == 2
    assert rig.send().status_code == 200
    assert rig.stored.generation == 3
    assert rig.simulator.counters.implicits == 2
    assert rig.simulator.counters.refreshes == 0


def test_forget_says_where_it_could_not() -> None:
    """A store that does not save raises; once it does, the stored token is gone."""
    rig = Rig()
    rig.send()
    rig.store.broken = {"save"}
    with pytest.raises(StoreUnavailableError):
        rig.auth.forget()
    rig.store.broken = set()
    rig.auth.forget()
    assert rig.stored.token is None


def test_forget_waits_for_the_store_for_a_finite_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the lock held elsewhere it ends in a typed error, and works once the lock is free."""
    rig = Rig()
    rig.send()
    monkeypatch.setattr("httpx_cobo_auth._runtime.backends.time", _Passing(rig))
    monkeypatch.setattr("httpx_cobo_auth._runtime.resources.time", rig.clock)
    lock = rig.store.try_lock(rig.key, ttl=1.0)
    with pytest.raises(RenewalTimeoutError, match="another process"):
        rig.auth.forget()
    lock.release()
    rig.auth.forget()


class _Passing:
    def __init__(self, rig: Rig) -> None:
        self.sleep = rig.clock.advance


@pytest.mark.parametrize("method", ["token", "renew"])
def test_the_wrong_kind_of_client_is_named(method: str) -> None:
    """An async client, ``None``, an auth object or a class: the error says what was expected."""
    rig = Rig()
    clients: list[Any] = [httpx.AsyncClient(), None, rig.auth, object]
    for client in clients:
        with pytest.raises(ConfigurationError, match="expected a Client"):
            getattr(rig.auth, method)(client)


def test_simultaneous_renewals_share_one_exchange() -> None:
    """Those who called after it was sent share another: none gets a token from before its call."""
    rig = Rig()
    rig.send()
    rig.clock.advance(1)
    tokens: list[str] = []
    with rig.simulator.hold("token") as hold:

        def renew() -> None:
            tokens.append(rig.auth.renew(rig.client).access_token)

        threads = [threading.Thread(target=renew) for _ in range(8)]
        for thread in threads:
            thread.start()
        hold.wait_arrived()
        _until_waiting(rig, 7)
        hold.release()
        for thread in threads:
            thread.join(10)
    assert len(tokens) == 8
    # Whoever sent the first may be told of the second one's token, if that is faster.
    assert len(set(tokens)) <= 2
    assert len(set(tokens)) <= rig.simulator.counters.exchanges - 1 <= 2


def _until_waiting(rig: Rig, count: int) -> None:
    renewal = rig.auth._session.shared.renewal.value
    assert renewal is not None
    wait = threading.Event()
    for _ in range(1000):
        if len(renewal._waiters._waiting) >= count:
            return
        wait.wait(0.005)
    pytest.fail("they do not wait")


# ------------------------------------------------------------------------------------- async
async def test_atoken_arenew_aforget() -> None:
    """The async three do what the sync three do, with the same events and generations."""
    rig = Rig()
    async with rig.auth.async_client(transport=rig.simulator) as client:
        first = await rig.auth.atoken(client)
        assert await rig.auth.atoken(client) == first
        rig.clock.advance(1)
        second = await rig.auth.arenew(client)
        assert second.access_token != first.access_token
        assert same(rig, second)
        await rig.auth.aforget()
        assert rig.stored.token is None
        assert (await client.get("/wallets")).status_code == 200
    assert rig.stored.generation == 4
    assert rig.kinds() == ["TokenAcquired", "TokenRenewed", "TokenAcquired"]


@pytest.mark.parametrize("method", ["atoken", "arenew"])
async def test_the_wrong_kind_of_client_is_named_by_the_async_ones(method: str) -> None:
    """A sync client, ``None`` or an auth object: the error names ``AsyncClient``."""
    rig = Rig()
    clients: list[Any] = [rig.client, None, rig.auth]
    for client in clients:
        with pytest.raises(ConfigurationError, match="AsyncClient"):
            await getattr(rig.auth, method)(client)


async def test_simultaneous_async_renewals_share_one_exchange() -> None:
    """Fifty tasks call ``arenew`` before the reply: all get the same new token."""
    rig = Rig()
    await anyio.to_thread.run_sync(rig.send)
    rig.clock.advance(1)
    tokens: list[str] = []

    async def renew(client: httpx.AsyncClient) -> None:
        tokens.append((await rig.auth.arenew(client)).access_token)

    async with rig.auth.async_client(transport=rig.simulator) as client:
        with rig.simulator.hold("token") as hold:
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(renew, client)
                await hold.await_arrived()
                await anyio.wait_all_tasks_blocked()
                hold.release()
    assert len(tokens) == 50
    assert set(tokens) == {rig.token.access_token}
    assert rig.simulator.counters.exchanges == 2


async def test_async_errors_are_typed() -> None:
    """With the app uninstalled, ``atoken`` and ``arenew`` raise ``TokenRefusedError``."""
    rig = Rig()
    rig.simulator.uninstall()
    async with rig.auth.async_client(transport=rig.simulator) as client:
        for method in (rig.auth.atoken, rig.auth.arenew):
            with pytest.raises(TokenRefusedError):
                await method(client)


async def test_one_object_serves_both_kinds_of_client() -> None:
    """A token that an async client got is the sync client's as well."""
    rig = Rig()
    async with rig.auth.async_client(transport=rig.simulator) as client:
        token = await rig.auth.atoken(client)
    assert await anyio.to_thread.run_sync(rig.auth.token, rig.client) == token


def test_the_client_may_be_one_without_auth_at_all() -> None:
    """A second auth object over the same store gets the token by it, by one exchange in all."""
    rig = Rig()
    other = CoboOAuth(
        client_id=rig.simulator.client_id,
        app_secret=rig.simulator.app_secret,
        org_id=rig.simulator.org_id,
        environment=rig.simulator.environment,
        store=rig.store,
        clock=rig.clock,
    )
    with httpx.Client(transport=rig.simulator) as client:
        token = other.token(client)
    assert rig.auth.token(rig.client) == token
    assert rig.simulator.counters.exchanges == 1
