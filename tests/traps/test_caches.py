"""A cache below the client, which may answer ``org_implicit``, a GET of the same URL each time.

The token that it answers with is an old one, and its refresh token was spent long ago. What tells
is the time at which Cobo signed the reply, and the header ``Age``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import pytest

from httpx_cobo_auth import MemoryStore, TokenReplyError
from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakesAuth
    from tests.traps.conftest import MakesAsyncClient, MakesClient

HOURS_6 = 6 * 3600.0


def by_url(url: httpx.URL) -> str:
    return str(url)


def by_parameters(url: httpx.URL) -> str:
    return f"{url.path} {sorted(url.params.items())}"


class Cache(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Keeps the answers to GETs of the token endpoint, whatever their headers say.

    Args:
        simulator: who answers what is not kept.
        key: what URLs have in common that are one to the cache.
        age: whether it says how old an answer is that it has kept.

    Attributes:
        full: whether it keeps nothing more.
        asked: what might have been answered out of it.

    """

    def __init__(
        self, simulator: CoboSimulator, key: Callable[[httpx.URL], str], *, age: bool = False
    ) -> None:
        self.simulator = simulator
        self.key = key
        self.age = age
        self.full = False
        self.kept: dict[str, httpx.Response] = {}
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._kept(request) or self._keep(request, self.simulator.handle_request(request))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        kept = self._kept(request)
        if kept is not None:
            return kept
        response = await self.simulator.handle_async_request(request)
        await response.aread()
        return self._keep(request, response)

    def _kept(self, request: httpx.Request) -> httpx.Response | None:
        if request.method != "GET" or "/oauth/token" not in request.url.path:
            return None
        self.asked.append(request)
        return self.kept.get(self.key(request.url))

    def _keep(self, request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.method == "GET" and "/oauth/token" in request.url.path and not self.full:
            age = {"Age": "21600"} if self.age else {}
            self.kept[self.key(request.url)] = httpx.Response(
                200, headers={**response.headers, **age}, content=response.read()
            )
        return response


@pytest.fixture(params=[True, False], ids=["Age", "no Age"])
def age(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def filled(
    simulator: CoboSimulator,
    make_auth: MakesAuth,
    key: Callable[[httpx.URL], str],
    *,
    age: bool = False,
) -> Cache:
    """Make a cache that has the reply to a first run, hours ago, which has renewed since."""
    cache = Cache(simulator, key, age=age)
    auth = make_auth(simulator, store=MemoryStore())
    with auth.client(transport=cache) as client:
        client.get("/wallets").raise_for_status()
        auth.renew(client)
    assert isinstance(simulator.clock, ManualClock)
    simulator.clock.advance(HOURS_6)
    cache.full = True
    cache.asked.clear()
    return cache


@pytest.mark.hazard(78)
class TestOneThatKeepsEachUrl:
    """It is passed by another URL that says the same."""

    def test_is_passed(
        self, simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient, *, age: bool
    ) -> None:
        """The old token is not used, and its refresh token not sent."""
        cache = filled(simulator, make_auth, by_url, age=age)
        auth = make_auth(simulator, store=MemoryStore())
        with make_client(auth, transport=cache) as client:
            assert client.get("/wallets").status_code == 200
        first, second = (request.url for request in cache.asked)
        assert first != second
        assert by_parameters(first) == by_parameters(second)
        assert simulator.counters.rejected == 0
        assert simulator.counters.spent_refresh_reused == 0

    async def test_is_passed_by_tasks(
        self,
        simulator: CoboSimulator,
        make_auth: MakesAuth,
        make_async_client: MakesAsyncClient,
        *,
        age: bool,
    ) -> None:
        """The same."""
        fill = partial(filled, simulator, make_auth, by_url, age=age)
        cache = await anyio.to_thread.run_sync(fill)  # by a sync client
        auth = make_auth(simulator, store=MemoryStore())
        async with make_async_client(auth, transport=cache) as client:
            assert (await client.get("/wallets")).status_code == 200
        assert len(cache.asked) == 2
        assert simulator.counters.rejected == 0
        assert simulator.counters.spent_refresh_reused == 0

    def test_is_asked_neither_to_keep_nor_to_answer(
        self, simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
    ) -> None:
        """One that heeds headers is no trouble at all, old ones included."""
        cache = Cache(simulator, by_url)
        with make_client(make_auth(simulator), transport=cache) as client:
            client.get("/wallets").raise_for_status()
        [request] = cache.asked
        assert "no-store" in request.headers["Cache-Control"]
        assert "no-cache" in request.headers["Cache-Control"]
        assert request.headers["Pragma"] == "no-cache"


def test_where_a_cache_always_answers_no_token_is_to_be_had(
    simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient, *, age: bool
) -> None:
    """It is named, nothing of its replies is used, and no refresh token sent."""
    cache = filled(simulator, make_auth, by_parameters, age=age)
    with (
        make_client(make_auth(simulator, store=MemoryStore()), transport=cache) as client,
        pytest.raises(TokenReplyError, match="cache"),
    ):
        client.get("/wallets")
    assert simulator.counters.spent_refresh_reused == 0
    assert simulator.counters.rejected == 0


def test_what_the_server_has_signed_tells_an_old_reply_however_wrong_our_clock_is(
    simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """By our clock, hours behind, the reply in the cache is one of just now."""
    cache = filled(simulator, make_auth, by_url)
    wrong = ManualClock(simulator.clock.time() - HOURS_6)
    auth = make_auth(simulator, store=MemoryStore(), clock=wrong)
    with make_client(auth, transport=simulator) as client:
        client.get("/wallets").raise_for_status()
    auth.forget()
    rejected = simulator.counters.rejected
    with make_client(auth, transport=cache) as client:
        assert client.get("/wallets").status_code == 200
    assert len(cache.asked) == 2
    assert simulator.counters.rejected == rejected
    assert simulator.counters.spent_refresh_reused == 0


@pytest.mark.parametrize("hours", [-6, 6])
def test_a_clock_of_ours_that_is_wrong_is_no_cache(
    simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient, hours: float
) -> None:
    """Asked again, the endpoint signs another reply, just as old by that clock: it is used."""
    simulator.check_nonce = False
    wrong = ManualClock(simulator.clock.time() + hours * 3600)
    auth = make_auth(simulator, clock=wrong)
    with make_client(auth, transport=simulator) as client:
        assert client.get("/wallets").status_code == 200
        assert client.get("/wallets").status_code == 200
    assert simulator.counters.exchanges == (2 if hours > 0 else 1)
    assert simulator.counters.rejected == 0


def with_age(response: httpx.Response) -> httpx.Response:
    headers: Any = {**response.headers, "Age": "3"}
    return httpx.Response(response.status_code, headers=headers, content=response.read())


@pytest.mark.parametrize("says", ["", "0", "x", "-1"])
def test_an_age_that_says_nothing_is_none(
    simulator: CoboSimulator, make_auth: MakesAuth, says: str
) -> None:
    """A gateway that forwards what it got writes 0, if anything."""

    def answer(request: httpx.Request) -> httpx.Response:
        response = simulator.handle_request(request)
        headers: Any = {**response.headers, "Age": says}
        return httpx.Response(response.status_code, headers=headers, content=response.read())

    with make_auth(simulator).client(transport=httpx.MockTransport(answer)) as client:
        assert client.get("/wallets").status_code == 200
    assert simulator.counters.exchanges == 1


def test_a_refresh_that_a_cache_answered_is_of_unknown_fate(
    simulator: CoboSimulator, clock: ManualClock, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """Nothing caches a POST, unless it says so: that refresh token is not sent a second time."""
    spoilt: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        response = simulator.handle_request(request)
        if request.method != "POST":
            return response
        spoilt.append(1)
        return with_age(response)

    auth = make_auth(simulator)
    with make_client(auth, transport=httpx.MockTransport(answer)) as client:
        client.get("/wallets").raise_for_status()
        clock.advance(simulator.token_lifetime)
        assert client.get("/wallets").status_code == 200
    assert spoilt == [1]
    assert simulator.counters.implicits == 2
    assert simulator.counters.spent_refresh_reused == 0
