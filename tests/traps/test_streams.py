"""Bodies that can be read once: read, signed, and sent again where need be."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import httpx

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.conftest import MakesAuth
    from tests.traps.conftest import MakesAsyncClient, MakesClient

pytestmark = pytest.mark.hazard(6)

DATA = bytes(range(256)) * 300


def generated() -> Iterator[bytes]:
    """Return the data in pieces, once."""
    for start in range(0, len(DATA), 1000):
        yield DATA[start : start + 1000]


async def agenerated() -> AsyncIterator[bytes]:
    """The same for tasks."""
    for piece in generated():
        yield piece


BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "bytes": lambda: {"content": DATA},
    "generator": lambda: {"content": generated()},
    "file": lambda: {"content": io.BytesIO(DATA)},
    "json": lambda: {"json": {"amount": "1.50", "memo": "ü€"}},
    "form": lambda: {"data": {"a": "1", "b": "x y"}},
    "multipart": lambda: {"files": {"file": ("a.bin", io.BytesIO(DATA))}, "data": {"a": "1"}},
    "nothing": dict,
    "large, expected": lambda: {"content": DATA * 40, "headers": {"Expect": "100-continue"}},
}
ABODIES: dict[str, Callable[[], dict[str, Any]]] = {
    **{name: body for name, body in BODIES.items() if name not in {"generator", "file"}},
    "async generator": lambda: {"content": agenerated()},
}


def check(simulator: CoboSimulator, response: httpx.Response) -> None:
    """What arrived both times is the same, well signed, and what the server says it got."""
    first, second = (entry for entry in simulator.log if entry.target == b"/v2/echo")
    assert first.body == second.body
    assert response.json()["body_sha256"] == hashlib.sha256(second.body).hexdigest()
    assert simulator.counters.bad_signatures == 0
    assert (first.status, second.status) == (401, 200)


@pytest.fixture
def refusing(running: CoboSimulator) -> Iterator[CoboSimulator]:
    """Refuses each token before its time by a 401, on a real socket."""
    running.expired_status = 401
    with running.serve():
        yield running


@pytest.mark.parametrize("body", BODIES)
def test_are_replayed_after_a_refusal(
    body: str, refusing: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """Byte for byte, signed anew."""
    with make_client(make_auth(refusing)) as client:
        client.get("/wallets").raise_for_status()
        refusing.revoke_tokens()
        response = client.post("/echo", **BODIES[body]()).raise_for_status()
    check(refusing, response)


@pytest.mark.anyio
@pytest.mark.parametrize("body", ABODIES)
async def test_are_replayed_by_tasks(
    body: str, refusing: CoboSimulator, make_auth: MakesAuth, make_async_client: MakesAsyncClient
) -> None:
    """The same for tasks."""
    async with make_async_client(make_auth(refusing)) as client:
        (await client.get("/wallets")).raise_for_status()
        refusing.revoke_tokens()
        response = (await client.post("/echo", **ABODIES[body]())).raise_for_status()
    check(refusing, response)
