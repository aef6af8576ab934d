"""Over a socket the simulator speaks HTTP/1.1, and judges the bytes that came."""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import pytest

from tests.family import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulated import App


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what a thread of the server will do."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class TestServer:
    def test_it_verifies_the_bytes_of_the_socket(self, app: App, bearer: str, base: str) -> None:
        """Odd but legal targets arrive as they were sent."""
        for target in (
            "/v2/echo/%41%2f~",
            "/v2/echo?a=b+c&&d=%zz&",
            "/v2/echo//x?",
            "/v2/echo?a?b",
        ):
            path, _, query = target.partition("?")
            body = self._get(base, app, target, bearer)
            assert (body["path"], body["query"]) == (path, query)

    def _get(self, base: str, app: App, target: str, bearer: str) -> dict[str, str]:
        head = self._head(app, "GET", target, bearer) + "Host: a\r\nConnection: close\r\n\r\n"
        answer = self._talk(base, f"GET {target} HTTP/1.1\r\n{head}".encode())
        body: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return body

    def _head(self, app: App, method: str, target: str, bearer: str, body: bytes = b"") -> str:
        headers = app.headers(method, target, body, bearer=bearer)
        return "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    def _connected(self, base: str) -> socket.socket:
        host, _, port = base.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=10)

    def _talk(self, base: str, sent: bytes) -> bytes:
        with self._connected(base) as connection:
            connection.sendall(sent)
            return b"".join(iter(functools.partial(connection.recv, 65536), b""))

    def test_it_keeps_connections_alive(self, app: App, bearer: str, base: str) -> None:
        """One connection serves many requests, fixed and chunked bodies alike."""
        with httpx.Client() as client:
            ports: set[object] = set()
            for content in (b"", b"fixed", [b"chun", b"ked"]):
                body = content if isinstance(content, bytes) else b"".join(content)
                headers = app.headers("POST", "/v2/echo", body, bearer=bearer)
                response = client.post(f"{base}/v2/echo", headers=headers, content=content)
                assert response.json()["body_sha256"] == hashlib.sha256(body).hexdigest()
                stream = response.extensions["network_stream"]
                ports.add(stream.get_extra_info("client_addr"))
        assert len(ports) == 1

    def test_it_answers_without_delay(self, app: App, bearer: str, base: str) -> None:
        """No delayed acknowledgement: a hundred requests take no 40 ms each."""
        with httpx.Client() as client:
            started = time.perf_counter()
            for _ in range(100):
                client.send(app.request("GET", "/v2/echo", bearer=bearer, base=base))
        assert time.perf_counter() - started < 3

    def test_it_speaks_http_1_0(self, app: App, bearer: str, base: str) -> None:
        """An old client names no host, and its connection is closed."""
        head = self._head(app, "GET", "/v2/echo", bearer)
        answer = self._talk(base, f"GET /v2/echo HTTP/1.0\r\n{head}\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")

    def test_it_tells_a_careful_client_to_go_on(self, app: App, bearer: str, base: str) -> None:
        """Whoever expects it is told so before the body is sent."""
        head = self._head(app, "POST", "/v2/echo", bearer, b"x")
        head += "Host: a\r\nConnection: close\r\nContent-Length: 1\r\nExpect: 100-continue\r\n"
        with self._connected(base) as connection:
            connection.sendall(f"POST /v2/echo HTTP/1.1\r\n{head}\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n")
            connection.sendall(b"x")
            answer = b"".join(iter(functools.partial(connection.recv, 65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")

    def test_it_answers_requests_that_come_together(self, app: App, bearer: str, base: str) -> None:
        """Sent in one piece they are answered one by one, in their order."""
        piece = b""
        for path, last in (("/v2/echo/1", "Host: a"), ("/v2/echo/2", "Connection: close")):
            head = self._head(app, "GET", path, bearer)
            host = "Host: b\r\n" if last.startswith("C") else ""
            piece += f"GET {path} HTTP/1.1\r\n{head}{host}{last}\r\n\r\n".encode()
        answer = self._talk(base, piece)
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
        assert answer.index(b"/v2/echo/1") < answer.index(b"/v2/echo/2")

    def test_no_content_says_no_length(self, app: App, bearer: str, base: str) -> None:
        """As HTTP wants it of 204; the connection lives on."""
        app.simulator.inject(status=204)
        with httpx.Client() as client:
            for status in (204, 200):
                response = client.send(app.request("GET", "/v2/echo", bearer=bearer, base=base))
                assert response.status_code == status
                assert ("Content-Length" in response.headers) == (status == 200)

    def test_it_reads_chunk_extensions_and_trailers(self, app: App, bearer: str, base: str) -> None:
        """Whatever HTTP/1.1 allows around a chunk is no part of the body."""
        head = self._head(app, "POST", "/v2/echo", bearer, b"ab")
        head += "Host: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        chunks = "1;x=y\r\na\r\n1\r\nb\r\n0\r\nTrailer: z\r\n\r\n"
        answer = self._talk(base, f"POST /v2/echo HTTP/1.1\r\n{head}{chunks}".encode())
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")

    @pytest.mark.parametrize(
        "sent",
        [
            b"nonsense\r\n\r\n",
            b"GET /v2/echo HTTP/1.1\r\n\r\n",
            b"GET /v2/echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET /v2/echo HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
            b"GET /v2/echo HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            b"GET /v2/echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            b"GET /v2/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"POST /v2/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        ],
        ids=[
            "nonsense",
            "no host",
            "two hosts",
            "no colon",
            "length no number",
            "length negative",
            "lengths in conflict",
            "chunk without size",
        ],
    )
    def test_it_survives_what_is_no_http(
        self, app: App, bearer: str, base: str, sent: bytes
    ) -> None:
        """With 400, uncounted, and the next client is served."""
        assert self._talk(base, sent).startswith(b"HTTP/1.1 400 ")
        assert app.simulator.log == []
        with httpx.Client() as client:
            assert client.send(app.request("GET", "/v2/echo", bearer=bearer, base=base)).is_success

    @pytest.mark.parametrize(
        "sent",
        [
            b"GET /v2",
            b"GET / HTTP/1.1\r\nHost",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        ],
    )
    def test_it_survives_half_a_request(self, base: str, sent: bytes) -> None:
        """A client that goes away in the middle leaves nothing behind."""
        with self._connected(base) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")

    def test_it_serves_100_connections_at_once(self, app: App, bearer: str, base: str) -> None:
        """All of them are open at the same time, none is turned away."""
        with app.simulator.hold() as hold, ThreadPoolExecutor(100) as pool:

            def read() -> int:
                # Plain HTTP: spare 100 loads of the CA bundle.
                with httpx.Client(timeout=60, trust_env=False, verify=False) as client:
                    request = app.request("GET", "/v2/echo", bearer=bearer, base=base)
                    return client.send(request).status_code

            answers = [pool.submit(read) for _ in range(100)]
            hold.wait_arrived(100, timeout_s=60)
            hold.release()
            assert {answer.result(60) for answer in answers} == {200}
        assert app.simulator.counters.requests == 100

    @pytest.mark.parametrize(("kind", "executed"), [("drop", 1), ("refuse", 0)])
    def test_connections_break(
        self, app: App, bearer: str, base: str, kind: Literal["drop", "refuse"], executed: int
    ) -> None:
        """After the effect or before it, with a reset."""
        app.simulator.inject(kind=kind)
        with httpx.Client() as client, pytest.raises(httpx.ReadError):
            client.send(app.request("POST", "/v2/echo", bearer=bearer, base=base))
        assert app.simulator.counters.executed_writes == executed

    def test_a_hanging_request_ends_with_the_fault(self, app: App, bearer: str, base: str) -> None:
        """It is accepted and not answered until the fault is removed."""
        fault = app.simulator.inject(kind="hang")
        with httpx.Client(timeout=0.05) as client, pytest.raises(httpx.ReadTimeout):
            client.request(
                "GET", f"{base}/v2/echo", headers=app.headers("GET", "/v2/echo", bearer=bearer)
            )
        fault.remove()
        assert fault.hits == 1

    def test_shutdown_does_not_wait_for_anybody(self, app: App, bearer: str) -> None:
        """Idle, held, hanging and delayed connections end with the server, at once."""
        before = app.simulator.environment
        app.simulator.inject("/v2/echo/hang", "hang")
        app.simulator.inject("/v2/echo/late", "delay", delay_s=60)
        hold = app.simulator.hold("/v2/echo/held")
        with ThreadPoolExecutor() as pool, httpx.Client() as idle:
            with app.simulator.serve() as environment:
                base = environment.base_url.removesuffix("/v2")
                assert app.simulator.environment is environment
                idle.send(app.request("GET", "/v2/echo", bearer=bearer, base=base))

                def read(target: str) -> str:
                    with httpx.Client(timeout=60) as client:
                        try:
                            client.send(app.request("GET", target, bearer=bearer, base=base))
                        except httpx.TransportError as error:
                            return type(error).__name__
                        return "answered"

                reads = [pool.submit(read, f"/v2/echo/{name}") for name in ("hang", "late", "held")]
                hold.wait_arrived()
                wait_until(lambda: app.simulator.counters.requests == 4)
                started = time.monotonic()
            assert time.monotonic() - started < 5
            assert "answered" not in [answer.result(10) for answer in reads]
        assert app.simulator.environment is before

    def test_a_late_answer_arrives(self, app: App, bearer: str, base: str) -> None:
        """A delay over a socket delays one answer."""
        app.simulator.inject(kind="delay", delay_s=0.01)
        with httpx.Client() as client:
            assert client.send(app.request("GET", "/v2/echo", bearer=bearer, base=base)).is_success

    def test_it_can_come_back_on_its_port(self, app: App, bearer: str) -> None:
        """An outage, and then the same address again."""
        with app.simulator.serve() as environment:
            port = environment.origin[2]
        with app.simulator.serve(port=port or 0) as environment:
            base = environment.base_url.removesuffix("/v2")
            with httpx.Client() as client:
                request = app.request("GET", "/v2/echo", bearer=bearer, base=base)
                assert client.send(request).is_success

    def test_it_serves_other_processes(self, app: App, bearer: str, base: str) -> None:
        """Another process needs nothing but the address."""
        spawn = multiprocessing.get_context("spawn")
        headers = app.headers("GET", "/v2/echo", bearer=bearer)
        with spawn.Pool(1) as pool:
            response = pool.apply(httpx.get, (f"{base}/v2/echo",), {"headers": headers})
        assert response.json()["org_id"] == app.simulator.org_id
        assert app.simulator.counters.requests == 1

    def test_threads_are_counted_right(self, app: App, bearer: str) -> None:
        """No count is lost, however many ask at once."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(app.status, [bearer] * 400))
        finally:
            sys.setswitchinterval(interval)
        assert {*answers} == {200}
        assert app.simulator.counters.requests == 400
