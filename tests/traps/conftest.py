"""What the tests of httpx's own traps share."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.family import CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx_cobo_auth.testing import CoboSimulator


WAYS = ["auth=", "auth.client()"]
"""Who sends the exchange: the client at hand, as part of the flow, or one that is safe."""


class MakesClient(Protocol):
    """Makes a client of the way that the test is about."""

    def __call__(
        self,
        auth: CoboOAuth,
        **options: Any,  # noqa: ANN401 - httpx's own
    ) -> httpx.Client: ...


class MakesAsyncClient(Protocol):
    """Makes an async client of the way that the test is about."""

    def __call__(
        self,
        auth: CoboOAuth,
        **options: Any,  # noqa: ANN401 - httpx's own
    ) -> httpx.AsyncClient: ...


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each of the two ways."""
    return str(request.param)


@pytest.fixture
def make_client(way: str) -> MakesClient:
    """Make a client of that way."""

    def make(auth: CoboOAuth, **options: Any) -> httpx.Client:  # noqa: ANN401 - httpx's own
        if way == "auth=":
            return httpx.Client(base_url=auth.environment.base_url, auth=auth, **options)
        return auth.client(**options)

    return make


@pytest.fixture
def make_async_client(way: str) -> MakesAsyncClient:
    """Make an async client of that way."""

    def make(auth: CoboOAuth, **options: Any) -> httpx.AsyncClient:  # noqa: ANN401 - httpx's own
        if way == "auth=":
            return httpx.AsyncClient(base_url=auth.environment.base_url, auth=auth, **options)
        return auth.async_client(**options)

    return make


class Relay(socketserver.ThreadingTCPServer):
    """Passes connections on to a server, but for those to the token endpoint while it is hostile.

    Attributes:
        hostility: ``"silent"`` accepts and never answers; ``"head"`` and ``"body"`` answer by
            a byte now and then; ``None`` passes everything on.
        met: how many connections met that.

    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.hostility: str | None = None
        self.met = 0
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        relay = self.server
        assert isinstance(relay, Relay)
        with contextlib.suppress(OSError):
            first = self.request.recv(65536)
            if relay.hostility and b"/oauth/token" in first.partition(b"\r\n")[0]:
                relay.met += 1
                self._be(relay.hostility, relay.closing)
            elif first:
                self._pass_on(first, relay.upstream)

    def _be(self, hostility: str, closing: threading.Event) -> None:
        if hostility == "body":
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        elif hostility == "head":
            self.request.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not closing.wait(0.02):
            if hostility != "silent":
                self.request.sendall(b"x")

    def _pass_on(self, first: bytes, upstream: int) -> None:
        with socket.create_connection(("127.0.0.1", upstream)) as onward:
            onward.sendall(first)
            back = threading.Thread(target=_pump, args=(onward, self.request))
            back.start()
            _pump(self.request, onward)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def relay(running: CoboSimulator) -> Iterator[Relay]:
    """A relay in front of the simulator, which names the relay as its environment.

    Without keep-alive, so that each request shows itself at the head of a connection.
    """
    with running.serve() as environment, Relay(int(environment.base_url.split(":")[2][:-3])) as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        running.environment = type(environment)(
            "relay", f"http://127.0.0.1:{one.server_address[1]}/v2", environment.response_key
        )
        try:
            yield one
        finally:
            one.closing.set()
            one.shutdown()
            thread.join()
