"""In memory the simulator is a transport of either family."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from tests.family import httpx

if TYPE_CHECKING:
    from tests.simulated import App

pytestmark = pytest.mark.anyio


class TestTransport:
    async def test_each_family_gets_its_own_answers(self, app: App, bearer: str) -> None:
        """Response and errors are of the family that asked; any host will do."""
        with httpx.Client(transport=app.simulator) as client:
            response = client.get(
                "https://a.test/v2/echo", headers=app.headers("GET", "/v2/echo", bearer=bearer)
            )
            assert isinstance(response, httpx.Response)
            app.simulator.inject(kind="drop")
            with pytest.raises(httpx.ReadError):
                client.get(
                    "https://b.test/v2/echo", headers=app.headers("GET", "/v2/echo", bearer=bearer)
                )
        async with httpx.AsyncClient(transport=app.simulator) as client:
            headers = app.headers("POST", "/v2/echo", b"12", bearer=bearer)
            response = await client.post("https://c.test/v2/echo", headers=headers, content=b"12")
            assert isinstance(response, httpx.Response)
            assert response.json()["body_sha256"] == hashlib.sha256(b"12").hexdigest()

    def test_answers_come_unread(self, app: App, bearer: str) -> None:
        """As from a network: whoever wants the body has to read it."""
        response = app.simulator.handle_request(app.request("GET", "/v2/echo", bearer=bearer))
        with pytest.raises(httpx.ResponseNotRead):
            _ = response.content
        assert response.headers["Content-Length"] == str(len(response.read()))

    async def test_async_clients_yield_to_others(self, app: App, bearer: str) -> None:
        """A request lets other tasks run, as one over a network does."""
        ran: list[str] = []

        async def other() -> None:
            await anyio.lowlevel.checkpoint()
            ran.append("other")

        async with (
            httpx.AsyncClient(transport=app.simulator) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(other)
            for _ in range(3):
                await client.send(app.request("GET", "/v2/echo", bearer=bearer))
            assert ran == ["other"]

    def test_the_log_tells_what_was_sent(self, app: App, bearer: str) -> None:
        """The bytes of every request, and what became of it."""
        app.send("POST", "/v2/echo?a=%2C", {"b": 1}, bearer=bearer)
        (entry,) = app.simulator.log
        assert (entry.method, entry.target, entry.body) == ("POST", b"/v2/echo?a=%2C", b'{"b": 1}')
        assert (entry.status, entry.org_id) == (200, app.simulator.org_id)
        assert entry.at == app.simulator.clock.time()
        assert (b"Authorization", f"Bearer {bearer}".encode()) in entry.headers

    def test_no_repr_shows_a_secret(self, app: App) -> None:
        """Neither the simulator's nor those of its records."""
        issued = app.simulator.issue_token()
        app.refresh(issued.refresh_token)
        app.status(issued.access_token)
        shown = repr((app.simulator, app.simulator.log, app.simulator.counters, issued))
        shown += repr((app.simulator.inject(body=issued.access_token), app.simulator.hold()))
        for secret in (*issued[:2], app.simulator.app_secret):
            assert secret not in shown
        assert "https://cobo.test/v2" in shown
