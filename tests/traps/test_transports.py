"""httpx's other transports: a handler, an ASGI or WSGI app, one for each URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.family import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.conftest import MakesAuth
    from tests.traps.conftest import MakesAsyncClient, MakesClient

    _Message = MutableMapping[str, Any]
    _Receive = Callable[[], Awaitable[_Message]]
    _Send = Callable[[_Message], Awaitable[None]]
    _Asgi = Callable[[_Message, _Receive, _Send], Awaitable[None]]
    _Wsgi = Callable[..., Iterable[bytes]]


def asgi_app(simulator: CoboSimulator) -> _Asgi:
    """Return an ASGI app that answers as the simulator does."""

    async def app(scope: _Message, receive: _Receive, send: _Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        url = httpx.URL(
            "https://cobo.test", raw_path=scope["raw_path"] + b"?" + scope["query_string"]
        )
        request = httpx.Request(scope["method"], url, headers=scope["headers"], content=body)
        response = await simulator.handle_async_request(request)
        await response.aread()
        start = {"type": "http.response.start", "status": response.status_code}
        await send({**start, "headers": response.headers.raw})
        await send({"type": "http.response.body", "body": response.content})

    return app


def wsgi_app(simulator: CoboSimulator) -> _Wsgi:
    """Return a WSGI app that answers as the simulator does."""

    def app(environ: _Message, start_response: Callable[..., object]) -> Iterable[bytes]:
        query = environ["QUERY_STRING"]
        url = f"https://cobo.test{environ['PATH_INFO']}" + (f"?{query}" if query else "")
        headers = {
            name[5:].replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        request = httpx.Request(
            environ["REQUEST_METHOD"], url, headers=headers, content=environ["wsgi.input"].read()
        )
        response = simulator.handle_request(request)
        response.read()
        status = f"{response.status_code} {response.reason_phrase}"
        start_response(status, [*response.headers.items()])
        return [response.content]

    return app


def through_renewals(client: httpx.Client, simulator: CoboSimulator, clock: ManualClock) -> None:
    """First token, expiry, and a token that dies before its time."""
    client.get("/wallets").raise_for_status()
    clock.advance(simulator.token_lifetime)
    client.post("/echo", json={"a": "ü"}).raise_for_status()
    simulator.revoke_tokens()
    client.get("/wallets", params={"limit": 3}).raise_for_status()
    assert (simulator.counters.implicits, simulator.counters.refreshes) == (1, 2)


async def athrough_renewals(
    client: httpx.AsyncClient, simulator: CoboSimulator, clock: ManualClock
) -> None:
    """The same by an async client."""
    (await client.get("/wallets")).raise_for_status()
    clock.advance(simulator.token_lifetime)
    (await client.post("/echo", json={"a": "ü"})).raise_for_status()
    simulator.revoke_tokens()
    (await client.get("/wallets")).raise_for_status()
    assert (simulator.counters.implicits, simulator.counters.refreshes) == (1, 2)


def test_a_flow_by_hand(simulator: CoboSimulator, make_auth: MakesAuth) -> None:
    """``auth_flow`` goes through the same steps, for whoever drives a flow himself."""
    request = httpx.Request("GET", f"{simulator.environment.base_url}/wallets")
    flow = make_auth(simulator).auth_flow(request)
    answer = simulator.handle_request(next(flow))
    while True:
        try:
            answer = simulator.handle_request(flow.send(answer))
        except StopIteration:
            break
    assert answer.status_code == 200


def test_a_handler(
    simulator: CoboSimulator, clock: ManualClock, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """``MockTransport`` gives answers that were read before."""

    def handle(request: httpx.Request) -> httpx.Response:
        response = simulator.handle_request(request)
        return httpx.Response(
            response.status_code, headers=response.headers, content=response.read()
        )

    with make_client(make_auth(simulator), transport=httpx.MockTransport(handle)) as client:
        through_renewals(client, simulator, clock)


@pytest.mark.anyio
async def test_an_async_handler(
    simulator: CoboSimulator,
    clock: ManualClock,
    make_auth: MakesAuth,
    make_async_client: MakesAsyncClient,
) -> None:
    """The same with a handler that awaits."""

    async def handle(request: httpx.Request) -> httpx.Response:
        response = await simulator.handle_async_request(request)
        content = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=content)

    transport = httpx.MockTransport(handle)
    async with make_async_client(make_auth(simulator), transport=transport) as client:
        await athrough_renewals(client, simulator, clock)


@pytest.mark.anyio
async def test_an_asgi_app(
    simulator: CoboSimulator,
    clock: ManualClock,
    make_auth: MakesAuth,
    make_async_client: MakesAsyncClient,
) -> None:
    """An app in the same process; on asyncio and on trio."""
    transport = httpx.ASGITransport(asgi_app(simulator))
    async with make_async_client(make_auth(simulator), transport=transport) as client:
        await athrough_renewals(client, simulator, clock)


def test_a_wsgi_app(
    simulator: CoboSimulator, clock: ManualClock, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """An app in the same process, for threads."""
    transport = httpx.WSGITransport(wsgi_app(simulator))
    with make_client(make_auth(simulator), transport=transport) as client:
        through_renewals(client, simulator, clock)


def test_a_mount(
    simulator: CoboSimulator, clock: ManualClock, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """Exchanges go the way of everything else to that origin."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    mounts = {"https://cobo.test": simulator}
    other = httpx.MockTransport(refuse)
    with make_client(make_auth(simulator), transport=other, mounts=mounts) as client:
        through_renewals(client, simulator, clock)


@pytest.mark.hazard(79)
def test_a_gateway_that_refuses_the_nameless(
    simulator: CoboSimulator, clock: ManualClock, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """An exchange has the ``User-Agent`` of its client, as any other request."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.headers.get("User-Agent") != "payroll/3.1":
            return httpx.Response(403, html="<h1>Request blocked</h1>")
        return simulator.handle_request(request)

    named: dict[str, Any] = {"headers": {"User-Agent": "payroll/3.1"}}
    transport = httpx.MockTransport(handle)
    with make_client(make_auth(simulator), transport=transport, **named) as client:
        through_renewals(client, simulator, clock)
