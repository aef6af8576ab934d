"""httpx follows redirects below its auth layer, so they take along what was signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth import (
    ConfigurationError,
    RedirectedError,
    TokenEndpointError,
    UnsafeRequestError,
)
from httpx_cobo_auth.testing import CoboSimulator
from tests.family import httpx
from tests.held import renewing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from httpx_cobo_auth.testing import LogEntry, ManualClock
    from tests.conftest import MakesAuth
    from tests.traps.conftest import MakesAsyncClient, MakesClient

pytestmark = pytest.mark.hazard(4)

STATUSES = pytest.mark.parametrize("status", [302, 307, 308])


class Elsewhere:
    """A second origin, which records what reaches it."""

    def __init__(self, simulator: CoboSimulator) -> None:
        self.simulator = simulator
        self.url = f"{simulator.environment.base_url}/wallets"

    @property
    def log(self) -> list[LogEntry]:
        return self.simulator.log

    def got(self, secret: str) -> bool:
        """Return whether that text is in anything that arrived."""
        return any(
            secret.encode() in part
            for entry in self.log
            for part in (entry.target, entry.body, *(value for _, value in entry.headers))
        )


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    simulator = CoboSimulator()
    with simulator.serve():
        yield Elsewhere(simulator)


@pytest.fixture
def here(running: CoboSimulator) -> Iterator[CoboSimulator]:
    """The environment, on a socket: an origin of its own."""
    with running.serve():
        yield running


class TestSafeClient:
    """``auth.client()`` never follows a redirect."""

    @STATUSES
    def test_of_the_api(
        self, status: int, here: CoboSimulator, elsewhere: Elsewhere, make_auth: MakesAuth
    ) -> None:
        """The caller gets the redirect itself."""
        with make_auth(here).client() as client:
            here.inject("api", "redirect", status=status, url=elsewhere.url)
            assert client.post("/echo").status_code == status
            client.get("/wallets").raise_for_status()
        assert elsewhere.log == []
        assert here.counters.exchanges == 1

    @STATUSES
    def test_of_the_token_endpoint(
        self,
        status: int,
        here: CoboSimulator,
        elsewhere: Elsewhere,
        ticking: ManualClock,
        make_auth: MakesAuth,
    ) -> None:
        """It is no answer; nothing goes there, and that refresh token is not sent again."""
        with make_auth(here).client() as client:
            client.get("/wallets").raise_for_status()
            ticking.advance(here.token_lifetime)
            with (
                here.inject("token", "redirect", times=None, status=status, url=elsewhere.url),
                pytest.raises(TokenEndpointError),
            ):
                client.get("/wallets")
            ticking.advance(60)
            client.get("/wallets").raise_for_status()
        assert elsewhere.log == []
        assert here.counters.refreshes == 1

    @pytest.mark.anyio
    async def test_of_both_for_tasks(
        self, here: CoboSimulator, elsewhere: Elsewhere, make_auth: MakesAuth
    ) -> None:
        """The same for an async client."""
        async with make_auth(here).async_client() as client:
            here.inject("api", "redirect", url=elsewhere.url)
            assert (await client.post("/echo")).status_code == 307
            here.revoke_tokens()
            here.inject("token", "redirect", url=elsewhere.url)
            (await client.get("/wallets")).raise_for_status()
        assert elsewhere.log == []

    @pytest.mark.parametrize("option", ["follow_redirects", "auth", "base_url"])
    def test_it_cannot_be_told_to(
        self, option: str, running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """What makes it safe cannot be chosen."""
        options: dict[str, Any] = {option: True}
        with pytest.raises(ConfigurationError, match=option):
            make_auth(running).client(**options)
        with pytest.raises(ConfigurationError, match=option):
            make_auth(running).async_client(**options)

    def test_it_may_be_told_what_it_does_anyway(
        self, running: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """Not to follow them."""
        with make_auth(running).client(transport=running, follow_redirects=False) as client:
            assert client.get("/wallets").status_code == 200

    @pytest.mark.hazard(63)
    def test_no_call_can_tell_it_to(self, here: CoboSimulator, make_auth: MakesAuth) -> None:
        """Nothing is sent then; what it does anyway may be said."""
        with make_auth(here).client() as client:
            request = client.build_request("POST", "/echo")
            with pytest.raises(UnsafeRequestError, match="never follows"):
                client.get("/wallets", follow_redirects=True)
            with pytest.raises(UnsafeRequestError, match="never follows"):
                client.send(request, follow_redirects=True)
            assert here.log == []
            client.send(request, follow_redirects=False).raise_for_status()

    @pytest.mark.hazard(63)
    @pytest.mark.anyio
    async def test_no_call_of_a_task_can_tell_it_to(
        self, here: CoboSimulator, make_auth: MakesAuth
    ) -> None:
        """The same for an async client."""
        async with make_auth(here).async_client() as client:
            request = client.build_request("POST", "/echo")
            with pytest.raises(UnsafeRequestError, match="never follows"):
                await client.get("/wallets", follow_redirects=True)
            with pytest.raises(UnsafeRequestError, match="never follows"):
                await client.send(request, follow_redirects=True)
        assert here.log == []


class TestFollowed:
    """Where the client does follow, by a setting or for one request, it is noticed afterwards."""

    @pytest.fixture(params=["client", "request"])
    def get(
        self, request: pytest.FixtureRequest, here: CoboSimulator, make_auth: MakesAuth
    ) -> Iterator[Callable[[str], httpx.Response]]:
        auth = make_auth(here)
        url = auth.environment.base_url
        if request.param == "client":
            with httpx.Client(base_url=url, auth=auth, follow_redirects=True) as client:
                yield client.get
        else:
            with httpx.Client(base_url=url, auth=auth) as client:
                yield lambda path: client.get(path, follow_redirects=True)

    @STATUSES
    def test_to_another_origin(
        self,
        status: int,
        get: Callable[[str], httpx.Response],
        here: CoboSimulator,
        elsewhere: Elsewhere,
    ) -> None:
        """A typed error; the token counts as exposed, and is renewed before it is used again.

        What reached the other origin: the signature, which httpx takes along; not the bearer,
        which it strips.
        """
        get("/wallets").raise_for_status()
        here.inject("api", "redirect", status=status, url=elsewhere.url)
        with pytest.raises(RedirectedError, match="exposed"):
            get("/wallets")
        assert elsewhere.got("Biz-Api-Signature") is False  # a name, not a value
        (entry,) = elsewhere.log
        names = {name.lower() for name, _ in entry.headers}
        assert b"biz-api-signature" in names
        assert b"authorization" not in names
        assert here.counters.exchanges == 1
        get("/wallets").raise_for_status()
        assert here.counters.refreshes == 1

    def test_to_another_origin_and_back(
        self, get: Callable[[str], httpx.Response], here: CoboSimulator, elsewhere: Elsewhere
    ) -> None:
        """The last answer comes from the right place, and yet others know the signature."""
        get("/wallets").raise_for_status()
        here.inject("api", "redirect", url=elsewhere.url)
        back = f"{here.environment.base_url}/wallets"
        # Only a well signed request is redirected, and this one is.
        elsewhere.simulator.check_nonce = False
        elsewhere.simulator.inject("api", "redirect", url=back)
        with pytest.raises(RedirectedError):
            get("/wallets")
        assert len(elsewhere.log) == 1

    def test_within_the_origin(
        self, get: Callable[[str], httpx.Response], here: CoboSimulator
    ) -> None:
        """Nothing is exposed. What httpx sends on is signed for another path, and refused."""
        here.inject("/v2/echo", "redirect", url=f"{here.environment.base_url}/wallets")
        response = get("/echo")
        assert (response.status_code, response.json()["error_code"]) == (401, 2024)
        assert here.counters.exchanges == 1
        get("/wallets").raise_for_status()
        assert here.counters.exchanges == 1


class TestExchange:
    """An exchange that travels through a client which follows."""

    @pytest.mark.parametrize("status", [307, 308])
    def test_takes_the_refresh_token_along(
        self,
        status: int,
        here: CoboSimulator,
        elsewhere: Elsewhere,
        ticking: ManualClock,
        make_auth: MakesAuth,
    ) -> None:
        """A typed error, and neither token is ever used again."""
        auth = make_auth(here)
        url = auth.environment.base_url
        with httpx.Client(base_url=url, auth=auth, follow_redirects=True) as client:
            client.get("/wallets").raise_for_status()
            held = auth._session.account.known.held
            assert held is not None
            assert held.token.refresh_token is not None
            ticking.advance(here.token_lifetime)
            here.inject("token", "redirect", status=status, url=elsewhere.url)
            with pytest.raises(RedirectedError, match=r"auth\.client"):
                client.get("/wallets")
            assert elsewhere.got(held.token.refresh_token)
            client.get("/wallets").raise_for_status()
        assert here.counters.refreshes == 1
        assert here.counters.implicits == 2

    @STATUSES
    def test_of_the_first_token(
        self,
        status: int,
        here: CoboSimulator,
        elsewhere: Elsewhere,
        make_auth: MakesAuth,
    ) -> None:
        """``org_implicit`` holds no secret, yet what answers is not Cobo."""
        auth = make_auth(here)
        url = auth.environment.base_url
        with httpx.Client(base_url=url, auth=auth, follow_redirects=True) as client:
            here.inject("token", "redirect", status=status, url=elsewhere.url)
            with pytest.raises(RedirectedError):
                client.get("/wallets")
            client.get("/wallets").raise_for_status()

    @pytest.mark.anyio
    async def test_for_tasks(
        self, here: CoboSimulator, elsewhere: Elsewhere, make_auth: MakesAuth
    ) -> None:
        """The same for tasks."""
        auth = make_auth(here)
        url = auth.environment.base_url
        async with httpx.AsyncClient(base_url=url, auth=auth, follow_redirects=True) as client:
            here.inject("token", "redirect", url=elsewhere.url)
            with pytest.raises(RedirectedError):
                await client.get("/wallets")
            (await client.get("/wallets")).raise_for_status()
            here.inject("api", "redirect", url=elsewhere.url)
            with pytest.raises(RedirectedError):
                await client.get("/wallets")
            (await client.get("/wallets")).raise_for_status()
        assert here.counters.spent_refresh_reused == 0


class TestMaxRedirects:
    """httpx counts every step of a flow as a redirect: documented."""

    def test_none_breaks_every_flow_of_two_steps(
        self,
        way: str,
        simulator: CoboSimulator,
        clock: ManualClock,
        make_auth: MakesAuth,
        make_client: MakesClient,
    ) -> None:
        """``max_redirects=0`` leaves no room for an exchange; a safe client sends it apart."""
        auth = make_auth(simulator)
        with make_client(auth, transport=simulator, max_redirects=0) as client:

            def fails() -> None:
                with pytest.raises(httpx.TooManyRedirects):
                    client.get("/wallets")
                assert not renewing(auth)

            if way == "auth=":
                fails()  # exchange, request
            client.get("/wallets").raise_for_status()
            simulator.revoke_tokens()
            fails()  # request, exchange or replay
            if way == "auth=":
                clock.advance(60)  # An exchange that was abandoned is not repeated at once.
                fails()  # exchange, request
            client.get("/wallets").raise_for_status()

    @pytest.mark.anyio
    async def test_a_flow_has_few_steps(
        self,
        simulator: CoboSimulator,
        make_auth: MakesAuth,
        make_async_client: MakesAsyncClient,
    ) -> None:
        """The default of 20 is never reached, whatever the server does."""
        simulator.inject("api", status=401, error_code=2021, times=None)
        async with make_async_client(make_auth(simulator), transport=simulator) as client:
            for _ in range(20):
                assert (await client.get("/wallets")).status_code == 401
        assert simulator.counters.exchanges < 5
