"""Answers that nobody has read hold the connections that the exchange needs."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from httpx_cobo_auth import Timeouts, TokenEndpointError
from tests.family import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.conftest import MakesAuth
    from tests.traps.conftest import MakesAsyncClient, MakesClient

pytestmark = pytest.mark.hazard(41)

CALLERS = 10


@pytest.fixture(params=[1, 5])
def small(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options for a client with fewer connections than callers."""
    return {"limits": httpx.Limits(max_connections=request.param), "timeout": 20}


@pytest.fixture(params=[401, 500])
def revoking(request: pytest.FixtureRequest, running: CoboSimulator) -> Iterator[CoboSimulator]:
    """A server that refuses a token before its time, in either way."""
    running.expired_status = request.param
    with running.serve():
        yield running


@pytest.mark.parametrize("streamed", [False, True])
class TestBurst:
    """The token is revoked; all callers are refused at once, and all of them want an exchange."""

    @pytest.mark.anyio
    async def test_of_tasks(
        self,
        *,
        streamed: bool,
        small: dict[str, Any],
        revoking: CoboSimulator,
        make_auth: MakesAuth,
        make_async_client: MakesAsyncClient,
    ) -> None:
        """Nobody fails, one exchange."""
        statuses: list[int] = []
        async with make_async_client(make_auth(revoking), **small) as client:

            async def ask() -> None:
                if streamed:
                    async with client.stream("GET", "/wallets") as response:
                        await response.aread()
                else:
                    response = await client.get("/wallets")
                statuses.append(response.status_code)

            await ask()
            revoking.revoke_tokens()
            async with anyio.create_task_group() as group:
                for _ in range(CALLERS):
                    group.start_soon(ask)
        assert statuses == [200] * (CALLERS + 1)
        assert revoking.counters.exchanges == 2

    def test_of_threads(
        self,
        *,
        streamed: bool,
        small: dict[str, Any],
        revoking: CoboSimulator,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """The same for threads.

        Without keep-alive: among threads, httpcore closes connections that are in use, with
        whatever auth or none (encode/httpcore#1110).
        """
        most = small["limits"].max_connections
        small["limits"] = httpx.Limits(max_connections=most, max_keepalive_connections=0)
        with make_client(make_auth(revoking), **small) as client:

            def ask(_: int) -> int:
                with contextlib.ExitStack() as stack:
                    if streamed:
                        response = stack.enter_context(client.stream("GET", "/wallets"))
                        response.read()
                    else:
                        response = client.get("/wallets")
                    return response.status_code

            ask(0)
            revoking.revoke_tokens()
            with ThreadPoolExecutor(CALLERS) as pool:
                statuses = list(pool.map(ask, range(CALLERS)))
        assert statuses == [200] * CALLERS
        assert revoking.counters.exchanges == 2


class TestLong:
    def test_a_refusal_too_long_to_be_read_is_the_caller_s(
        self, running: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
    ) -> None:
        """What was read of it, and the rest, arrive; it says nothing that could be judged."""
        with running.serve(), make_client(make_auth(running)) as client:
            running.inject("api", "huge", status=500, method="POST")
            response = client.post("/echo")
            assert response.status_code == 500
            assert len(response.content) > 16 * 1024 * 1024
            client.post("/echo").raise_for_status()
        assert running.counters.exchanges == 1

    @pytest.mark.anyio
    async def test_for_tasks(
        self, running: CoboSimulator, make_auth: MakesAuth, make_async_client: MakesAsyncClient
    ) -> None:
        """The same for tasks."""
        with running.serve():
            async with make_async_client(make_auth(running)) as client:
                running.inject("api", "huge", status=500, method="POST")
                async with client.stream("POST", "/echo") as response:
                    assert len(await response.aread()) > 16 * 1024 * 1024
                (await client.post("/echo")).raise_for_status()
        assert running.counters.exchanges == 1


def test_a_refusal_too_long_for_cobo_is_the_callers(
    running: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """It holds the only connection while nobody reads it, so no exchange waits for that one."""
    with running.serve():
        limits = httpx.Limits(max_connections=1)
        with make_client(make_auth(running), limits=limits) as client:
            client.get("/wallets")
            running.inject("/v2/wallets", status=401, body=b"x" * 200_000)
            refused = client.get("/wallets")
            again = client.get("/wallets")
    assert (refused.status_code, len(refused.content)) == (401, 200_000)
    assert again.status_code == 200
    assert running.counters.exchanges == 1


class TestUnsent:
    """A caller's download holds the only connection, so an exchange gets none."""

    LIMITS = Timeouts(request=0.2, exchange=1.0, early_exchange=0.5)

    @pytest.mark.hazard(65)
    def test_the_refresh_token_is_as_good_as_before(
        self, running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """It has not been sent: the next renewal is by that one."""
        with running.serve():
            auth = make_auth(running, timeouts=self.LIMITS)
            with auth.client(limits=httpx.Limits(max_connections=1), timeout=20) as client:
                client.get("/wallets").raise_for_status()
                with client.stream("GET", "/wallets"), pytest.raises(TokenEndpointError):
                    auth.renew(client)
                auth.renew(client)
        assert running.counters.refreshes == 1
        assert running.counters.implicits == 1

    @pytest.mark.hazard(65)
    @pytest.mark.anyio
    async def test_for_tasks(self, running: CoboSimulator, make_auth: MakesAuth) -> None:
        """The same for tasks."""
        with running.serve():
            auth, limits = make_auth(running, timeouts=self.LIMITS), httpx.Limits(max_connections=1)
            async with auth.async_client(limits=limits, timeout=20) as client:
                (await client.get("/wallets")).raise_for_status()
                async with client.stream("GET", "/wallets"):
                    with pytest.raises(TokenEndpointError):
                        await auth.arenew(client)
                await auth.arenew(client)
        assert running.counters.refreshes == 1
        assert running.counters.implicits == 1
