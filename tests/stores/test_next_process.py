"""What the next process has to know is in the record: it may be tomorrow's cron run.

Each "process" here has a store object and an auth object of its own; its memory is gone with it.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from httpx_cobo_auth import (
    FileStore,
    RedirectedError,
    RedisStore,
    SqlStore,
    Timeouts,
    TokenState,
    Trust,
)
from httpx_cobo_auth._runtime import session
from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from httpx_cobo_auth import TokenStore
    from tests.stores.conftest import RedisServer

SHORT = Timeouts(exchange=2, early_exchange=1, request=1, lock=3, drain=0.2, grace=0.1)
SAFE = "auth.client()"
# Stores behind the flow, ways before it: either is tried with one kind of the other.
WAYS = pytest.mark.parametrize(
    ("store", "way"),
    [
        *(("file", way) for way in (SAFE, "auth=", "asyncio", "trio")),
        ("redis", SAFE),
        ("sql", SAFE),
    ],
)
STORES = pytest.mark.parametrize("store", ["file", "redis", "sql"])


@pytest.fixture
def make_store(
    request: pytest.FixtureRequest, store: str, tmp_path: Path
) -> Callable[[], TokenStore]:
    """Each kind of store that several processes share."""
    match store:
        case "file":
            return lambda: FileStore(tmp_path / "tokens")
        case "redis":
            server: RedisServer = request.getfixturevalue("redis_server")
            return lambda: RedisStore(server.url)
        case _:
            return lambda: SqlStore(f"sqlite:///{tmp_path}/tokens.db", auto_create=True)


@dataclass
class Programs:
    """Runs one process after another against one simulator."""

    make_store: Callable[[], TokenStore]
    clock: ManualClock = field(default_factory=ManualClock)
    simulator: CoboSimulator = field(init=False)

    def __post_init__(self) -> None:
        self.simulator = CoboSimulator(clock=self.clock)

    def auth(self, **options: Any) -> CoboOAuth:  # noqa: ANN401 - CoboOAuth's
        """Begin another process: what the one before knew is gone with it."""
        session._shared.set(weakref.WeakValueDictionary())
        given: dict[str, Any] = {**self.simulator.credentials, "store": self.make_store()}
        given["timeouts"] = Timeouts(grace=0.01)
        return CoboOAuth(**(given | options))

    def run(self, method: str = "GET", way: str = SAFE, **options: Any) -> int:  # noqa: ANN401
        """Let one process make one request, and return the status."""
        auth = self.auth(**options)
        if way in {"asyncio", "trio"}:
            return anyio.run(self._arun, auth, method, backend=way)
        base_url = auth.environment.base_url
        client = (
            httpx.Client(auth=auth, base_url=base_url, transport=self.simulator)
            if way == "auth="
            else auth.client(transport=self.simulator)
        )
        with client:
            return client.request(method, "/echo").status_code

    async def _arun(self, auth: CoboOAuth, method: str) -> int:
        async with auth.async_client(transport=self.simulator) as client:
            return (await client.request(method, "/echo")).status_code


@pytest.fixture
def programs(make_store: Callable[[], TokenStore]) -> Programs:
    """A first one has got a token."""
    programs = Programs(make_store)
    assert programs.run() == 200
    return programs


@pytest.mark.hazard(45)
@WAYS
def test_a_refused_write_is_remembered(way: str, programs: Programs) -> None:
    """A program that only writes is told 500 once; the next run renews first."""
    programs.simulator.revoke_tokens()
    assert [programs.run("POST", way) for _ in range(4)] == [500, 200, 200, 200]
    assert programs.simulator.counters.exchanges == 2
    assert programs.simulator.counters.spent_refresh_reused == 0


@pytest.mark.hazard(46)
@WAYS
def test_early_attempts_that_fail_are_spaced_for_all(way: str, programs: Programs) -> None:
    """The endpoint is down, the token still works: an attempt or two, not one in each run."""
    programs.clock.advance(programs.simulator.token_lifetime - 600)
    with programs.simulator.inject("token", "answer", status=503, times=None):
        assert [programs.run("POST", way) for _ in range(2)] == [200] * 2
        asked = programs.simulator.counters.exchanges
        assert [programs.run("POST", way) for _ in range(3)] == [200] * 3
        assert programs.simulator.counters.exchanges == asked
        status = programs.auth().status(refresh=True)
        assert status.state is TokenState.STALE
        assert status.next_attempt_at is not None
    programs.clock.advance(31)
    assert programs.run("POST", way) == 200
    assert programs.simulator.counters.issued == 2


@pytest.mark.hazard(51)
@WAYS
def test_a_stale_token_that_is_found_is_renewed_early(way: str, programs: Programs) -> None:
    """As one that was there all the time: nobody waits until it has expired."""
    programs.clock.advance(programs.simulator.token_lifetime - 600)
    assert programs.run("GET", way) == 200
    assert programs.simulator.counters.refreshes == 1
    assert programs.run("GET", way) == 200
    assert programs.simulator.counters.exchanges == 2


@pytest.mark.hazard(52)
@STORES
def test_an_exposed_token_is_not_used_on(programs: Programs) -> None:
    """One run's own client followed a redirect to elsewhere; the next one renews first."""
    simulator = programs.simulator
    auth = programs.auth()
    base_url = auth.environment.base_url

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "elsewhere.test":
            return httpx.Response(200)
        return simulator.handle_request(request)

    with httpx.Client(
        auth=auth, base_url=base_url, transport=httpx.MockTransport(answer), follow_redirects=True
    ) as client:
        simulator.inject("api", "redirect", url="https://elsewhere.test/")
        with pytest.raises(RedirectedError):
            client.get("/echo")
    assert programs.auth().status(refresh=True).trust is Trust.EXPOSED
    assert programs.run() == 200
    assert simulator.counters.exchanges == 2


@pytest.mark.hazard(49)
@STORES
@pytest.mark.parametrize("first", [SHORT, Timeouts()], ids=["short first", "long first"])
def test_limits_are_those_of_whoever_acts(first: Timeouts, programs: Programs) -> None:
    """Also those of locks that lapse: two objects of one account, in one process."""
    second = Timeouts() if first is SHORT else SHORT
    options: dict[str, Any] = {**programs.simulator.credentials, "store": programs.make_store()}
    both = [CoboOAuth(**options, timeouts=timeouts) for timeouts in (first, second)]
    for auth in (*both, *both):
        programs.simulator.revoke_tokens()
        with auth.client(transport=programs.simulator) as client:
            assert client.get("/echo").status_code == 200
    assert programs.simulator.counters.exchanges == 5


@pytest.mark.hazard(57)
@STORES
@pytest.mark.parametrize("ahead", [-5.0, 5.0])
def test_of_hosts_whose_clocks_differ_the_newer_token_is_the_newer_one(
    ahead: float, programs: Programs
) -> None:
    """``renew()`` returns none of before the call, and no write is refused."""
    skewed = ManualClock(programs.clock.time() + ahead)
    here, there = programs.auth(), programs.auth(clock=skewed)
    with (
        here.client(transport=programs.simulator) as one,
        there.client(transport=programs.simulator) as other,
    ):
        seen: list[str] = []
        for _ in range(3):
            for auth, client in ((here, one), (there, other)):
                seen.append(auth.renew(client).access_token)
                assert client.post("/echo").status_code == 200
    assert len(set(seen)) == 6
    assert programs.simulator.counters.spent_refresh_reused == 0


@pytest.mark.hazard(69)
@STORES
@pytest.mark.parametrize("hours", [-20, -1, 1, 20])
def test_a_clock_that_is_set_between_runs_lengthens_no_life(hours: int, programs: Programs) -> None:
    """A write is never sent with a token that has died of age."""
    programs.simulator.clock = ManualClock(programs.clock.time())  # Cobo's own
    programs.clock.step(hours * 3600.0)
    assert programs.run("POST") == 200
    assert programs.simulator.counters.bounced_writes == 0
