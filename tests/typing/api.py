"""The classes of both families as programs use them. For type checkers alone: never run.

Lines that end in an ignore must not pass. Each checker has a comment of its own, and reports one
that is not needed; where one of them is missing, that checker sees nothing wrong.
"""

from __future__ import annotations

from typing import assert_type

import httpx
import httpx2

from httpx_cobo_auth import (
    CoboAuth,
    CoboOAuth,
    Environment,
    MemoryStore,
    PortalApp,
    Timeouts,
    Token,
)
from httpx_cobo_auth import httpx2 as over_httpx2
from httpx_cobo_auth.testing import ManualClock

SECRET = "00" * 32
environment = Environment("mine", "https://a.example/v2", response_key=None)
environment.name = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # ty: ignore[invalid-assignment]

auth = CoboOAuth(
    client_id="c",
    app_secret=SECRET,
    org_id="o",
    environment=environment,
    store=MemoryStore(),
    replay_writes=False,
    verify_responses=True,
    on_event=print,
    timeouts=Timeouts(exchange=5, lock=7.5),
    clock=ManualClock(),
)
assert_type(CoboOAuth.from_env(org_id="o", store=None), CoboOAuth)
assert_type(CoboOAuth.from_env(org_id="o", environment=environment), CoboOAuth)

# What is given.
CoboOAuth(client_id="c", app_secret=b"", org_id="o", environment="dev")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
CoboOAuth(client_id="c", app_secret="", org_id="o")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[missing-argument]
CoboOAuth(client_id="c", app_secret="", org_id="o", environment="dev", verify_response=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[unknown-argument]
CoboOAuth(client_id="c", app_secret="", org_id="o", environment="dev", store="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
CoboOAuth(client_id="c", app_secret="", org_id="o", environment="dev", timeouts=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
CoboOAuth.from_env()
CoboOAuth(client_id="c", app_secret="", org_id="o", environment="production")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
CoboAuth(SECRET, "dev")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[missing-argument, too-many-positional-arguments]

# What is had of it.
assert_type(auth.environment, Environment)
assert_type((auth.client_id, auth.org_id), tuple[str, str])
assert_type(auth.client(timeout=5), httpx.Client)
assert_type(auth.async_client(http2=False), httpx.AsyncClient)
auth.forget()
with httpx.Client(base_url=auth.environment.base_url, auth=auth) as client:
    assert_type(auth.token(client), Token)
    assert_type(auth.renew(client), Token)
    assert_type(client.get("/wallets", auth=auth), httpx.Response)
    auth.token(httpx.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
auth.org_id = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # ty: ignore[invalid-assignment]

key = CoboAuth(api_secret=SECRET, environment="prod")
assert_type(key.environment, Environment)
httpx.get("https://a.example", auth=key)

app = PortalApp(client_id="c", app_secret=SECRET, environment="sandbox", store=MemoryStore())
assert_type(app.environment, Environment)
assert_type(app.org("o"), CoboOAuth)
assert_type(PortalApp.from_env(replay_writes=True), PortalApp)
PortalApp(client_id="c", app_secret=SECRET, org_id="o", environment="dev")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[unknown-argument]


async def tasks() -> None:
    """Use it from tasks."""
    async with httpx.AsyncClient(auth=auth) as async_client:
        assert_type(await auth.atoken(async_client), Token)
        assert_type(await auth.arenew(async_client), Token)
        await auth.aforget()
        await auth.atoken(httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
        await auth.atoken(httpx2.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]


# The other family: the same, of its own kind.
other = over_httpx2.CoboOAuth(client_id="c", app_secret=SECRET, org_id="o", environment="dev")
assert_type(over_httpx2.CoboOAuth.from_env(org_id="o"), over_httpx2.CoboOAuth)
assert_type((other.environment, other.org_id), tuple[Environment, str])
assert_type(other.client(), httpx2.Client)
assert_type(other.async_client(), httpx2.AsyncClient)
with httpx2.Client(auth=other) as client2:
    assert_type(other.token(client2), Token)
    assert_type(client2.get("/wallets", auth=other), httpx2.Response)
    other.token(httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
httpx2.get("https://a.example", auth=over_httpx2.CoboAuth(api_secret=SECRET, environment="dev"))
assert_type(over_httpx2.PortalApp.from_env(), over_httpx2.PortalApp)
assert_type(over_httpx2.PortalApp.from_env().org("o"), over_httpx2.CoboOAuth)
over_httpx2.CoboOAuth(client_id="c", app_secret=SECRET)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # ty: ignore[missing-argument]

# The two refuse each other.
httpx2.Client(auth=auth)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
httpx2.get("https://a.example", auth=key)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]
httpx.Client(auth=other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # ty: ignore[invalid-argument-type]


async def tasks2() -> None:
    """Use it from tasks."""
    async with httpx2.AsyncClient(auth=other) as async_client:
        assert_type(await other.atoken(async_client), Token)
        assert_type(await other.arenew(async_client), Token)
        await other.aforget()
