"""Reading answers inside a flow: bounded, and nothing is lost to the caller. On real sockets."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import socketserver
import ssl
import threading
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import pytest

from httpx_cobo_auth import Environment, Timeouts, TokenEndpointError, TokenReplyError
from httpx_cobo_auth._runtime.bodies import aread_answer, atake_body, read_answer, take_body
from tests.family import CoboAuth, CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedIOBase

    from httpx_cobo_auth.testing import CoboSimulator

SECRET = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"
LIMIT = 64 * 1024
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading certificates takes longer than a test
LONG = bytes(range(256)) * 2000
TOKEN = json.dumps({"access_token": "a", "refresh_token": "r", "expires_in": 900}).encode()

# httpx streams are nested generators: who leaves one early under trio is warned, whoever it is.
leaves_early = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


# ---------------------------------------------------------------------------------- a server
@dataclass(frozen=True)
class Said:
    """What the server answers: a body, or pieces without end, as they are on the wire."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    chunked: bool = False
    endless: bool = False
    pause: float = 0.0


@dataclass
class Canned:
    """A server on a real socket that says the same to everybody, or by path."""

    port: int = 0
    said: Said = Said()
    token: Said = Said(body=TOKEN)
    sent: int = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2"

    def say(self, wfile: BufferedIOBase, said: Said) -> None:
        head = [f"HTTP/1.1 {said.status} X", "Connection: close"]
        head += [f"{name}: {value}" for name, value in said.headers.items()]
        if said.chunked:
            head.append("Transfer-Encoding: chunked")
        elif not said.endless:
            head.append(f"Content-Length: {len(said.body)}")
        wfile.write(("\r\n".join(head) + "\r\n\r\n").encode())
        if said.chunked:
            for start in range(0, len(said.body), 10_000):
                piece = said.body[start : start + 10_000]
                wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            wfile.write(b"0\r\n\r\n")
        elif said.endless:
            for _ in range(100_000):
                wfile.write(said.body)
                self.sent += len(said.body)
                time.sleep(said.pause)
        else:
            wfile.write(said.body)


@pytest.fixture(scope="module")
def running() -> Iterator[Canned]:
    canned = Canned()

    class Connection(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            target = self.rfile.readline()
            length = 0
            while line := self.rfile.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            self.rfile.read(length)
            with contextlib.suppress(OSError):  # the client has had enough
                canned.say(self.wfile, canned.token if b"oauth/token" in target else canned.said)

        def finish(self) -> None:
            try:
                super().finish()
            except OSError:
                self.rfile.close()

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Connection) as server:
        canned.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield canned
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log to nowhere: pytest's handler writes to a file, which blocks the event loop."""
    logger = logging.getLogger("httpx_cobo_auth")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])


@pytest.fixture
def canned(running: Canned) -> Canned:
    running.said, running.token, running.sent = Said(), Said(body=TOKEN), 0
    return running


@pytest.fixture
def auth(canned: Canned) -> CoboAuth:
    return CoboAuth(api_secret=SECRET, environment=Environment("socket", canned.base))


@pytest.fixture
def oauth(canned: Canned) -> CoboOAuth:
    return CoboOAuth(
        client_id="c",
        app_secret=SECRET,
        org_id="o",
        environment=Environment("socket", canned.base),
        timeouts=Timeouts(exchange=0.1),
    )


def answers(body: bytes, status: int = 200) -> dict[str, Said]:
    """Give the ways in which one body may come."""
    packed = gzip.compress(body)
    return {
        "length": Said(status, body),
        "chunked": Said(status, body, chunked=True),
        "gzip": Said(status, packed, {"Content-Encoding": "gzip"}),
        "gzip, chunked": Said(status, packed, {"Content-Encoding": "gzip"}, chunked=True),
        "deflate": Said(status, zlib.compress(body), {"Content-Encoding": "deflate"}),
    }


WAYS = list(answers(b""))


def states(response: httpx.Response) -> tuple[bool, bool]:
    """Tell whether the answer is closed, and whether its stream is used up."""
    return response.is_closed, response.is_stream_consumed


class Opened:
    """A response as a flow meets it: the head has come, the body has not been read."""

    def __init__(self, canned: Canned) -> None:
        self.client = httpx.Client(verify=NO_TLS)
        self.response = self.client.send(self.client.build_request("GET", canned.base), stream=True)

    def __enter__(self) -> httpx.Response:
        return self.response

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self.client.close()


class AsyncOpened:
    """The same for async clients."""

    def __init__(self, canned: Canned) -> None:
        self.client = httpx.AsyncClient(verify=NO_TLS)
        self.request = self.client.build_request("GET", canned.base)

    async def __aenter__(self) -> httpx.Response:
        self.response = await self.client.send(self.request, stream=True)
        return self.response

    async def __aexit__(self, *_: object) -> None:
        await self.response.aclose()
        await self.client.aclose()


# ---------------------------------------------------------------- answers to the caller's own
class TestAnswers:
    @pytest.mark.hazard(41)
    @pytest.mark.parametrize("size", [0, 1, 1000, LIMIT])
    def test_a_usual_answer_is_read_and_left_for_the_caller(
        self, canned: Canned, size: int
    ) -> None:
        """Hazard 41: read to its end, so that it holds no connection."""
        for canned.said in answers(LONG[:size]).values():
            with Opened(canned) as response:
                assert read_answer(response) == LONG[:size]
                assert response.is_closed
                assert response.content == response.read() == LONG[:size]
                assert b"".join(response.iter_bytes()) == LONG[:size]
                assert read_answer(response) == LONG[:size]
                assert response.elapsed.total_seconds() >= 0

    @pytest.mark.hazard(41)
    @pytest.mark.parametrize("size", [0, 1, 1000, LIMIT])
    async def test_the_same_for_async_clients(self, canned: Canned, size: int) -> None:
        """Hazard 41: on both event loops."""
        for canned.said in answers(LONG[:size]).values():
            async with AsyncOpened(canned) as response:
                assert await aread_answer(response) == LONG[:size]
                assert response.is_closed
                assert response.content == await response.aread() == LONG[:size]
                assert await aread_answer(response) == LONG[:size]
                assert response.elapsed.total_seconds() >= 0

    @pytest.mark.parametrize("size", [LIMIT + 1, len(LONG)])
    @pytest.mark.parametrize("way", ["length", "chunked"])
    def test_a_long_answer_is_left_to_the_caller_whole(
        self, canned: Canned, way: str, size: int
    ) -> None:
        """No more than its beginning is read by us; the caller gets that again, and the rest."""
        canned.said = answers(LONG[:size])[way]
        ways: list[Callable[[httpx.Response], bytes]] = [
            lambda response: response.read(),
            lambda response: b"".join(response.iter_bytes(1000)),
            lambda response: b"".join(response.iter_raw()),
        ]
        for reading in ways:
            with Opened(canned) as response:
                assert read_answer(response) is None
                assert states(response) == (False, False)
                assert reading(response) == LONG[:size]
                assert states(response) == (True, True)
                assert response.elapsed.total_seconds() >= 0

    @pytest.mark.parametrize("size", [LIMIT + 1, len(LONG)])
    @pytest.mark.parametrize("way", ["length", "chunked"])
    async def test_a_long_answer_is_left_to_an_async_caller_whole(
        self, canned: Canned, way: str, size: int
    ) -> None:
        """On both event loops."""
        canned.said = answers(LONG[:size])[way]
        async with AsyncOpened(canned) as response:
            assert await aread_answer(response) is None
            assert states(response) == (False, False)
            assert await response.aread() == LONG[:size]
            assert states(response) == (True, True)
            assert response.elapsed.total_seconds() >= 0
        async with AsyncOpened(canned) as response:
            assert await aread_answer(response) is None
            pieces = [piece async for piece in response.aiter_raw()]
            assert b"".join(pieces) == LONG[:size]

    def test_a_long_answer_that_nobody_reads_is_closed(self, canned: Canned) -> None:
        """The caller's ``close`` reaches the connection."""
        canned.said = Said(401, LONG, endless=True)
        with Opened(canned) as response:
            assert read_answer(response) is None
            response.close()
            assert response.is_closed
            assert response.elapsed.total_seconds() >= 0
        assert canned.sent < 100 * 1024 * 1024

    @leaves_early
    async def test_a_long_answer_that_no_task_reads_is_closed(self, canned: Canned) -> None:
        """On both event loops."""
        canned.said = Said(401, LONG, endless=True)
        async with AsyncOpened(canned) as response:
            assert await aread_answer(response) is None
            await response.aclose()
            assert response.is_closed

    def test_an_answer_that_a_hook_has_read(self, canned: Canned) -> None:
        """What it kept is looked at, within the same bound; what it used up is not missed."""
        canned.said = Said(401, LONG[:1000])
        with Opened(canned) as response:
            response.read()
            assert read_answer(response) == take_body(response, 1) == LONG[:1000]
        with Opened(canned) as response:
            assert b"".join(response.iter_bytes()) == LONG[:1000]
            assert read_answer(response) is None
            assert take_body(response, 1) is None
        canned.said = Said(401, LONG)
        with Opened(canned) as response:
            response.read()
            assert read_answer(response) is None
            assert take_body(response, 1) is None
            assert response.content == LONG

    async def test_an_answer_that_an_async_hook_has_read(self, canned: Canned) -> None:
        """On both event loops."""
        canned.said = Said(401, LONG[:1000])
        async with AsyncOpened(canned) as response:
            await response.aread()
            assert await aread_answer(response) == await atake_body(response) == LONG[:1000]
        async with AsyncOpened(canned) as response:
            assert [piece async for piece in response.aiter_bytes()]
            assert await aread_answer(response) is None
            assert await atake_body(response) is None


class TestThroughClients:
    @pytest.mark.parametrize("status", [401, 403, 500])
    @pytest.mark.parametrize("size", [10, LIMIT, LIMIT + 1, len(LONG)])
    def test_the_caller_gets_the_whole_answer(
        self, canned: Canned, auth: CoboAuth, status: int, size: int
    ) -> None:
        """However the caller reads it, and however long it is."""
        canned.said = Said(status, LONG[:size])
        with httpx.Client(auth=auth, base_url=canned.base, verify=NO_TLS) as client:
            assert client.get("/x").content == LONG[:size]
            with client.stream("GET", "/x") as response:
                assert response.status_code == status
                assert response.read() == LONG[:size]
            with client.stream("GET", "/x") as response:
                assert b"".join(response.iter_bytes()) == LONG[:size]
            with client.stream("GET", "/x") as response:
                pass
            assert response.is_closed

    @pytest.mark.parametrize("status", [401, 403, 500])
    @pytest.mark.parametrize("size", [10, LIMIT, LIMIT + 1, len(LONG)])
    async def test_the_async_caller_gets_the_whole_answer(
        self, canned: Canned, auth: CoboAuth, status: int, size: int
    ) -> None:
        """On both event loops."""
        canned.said = Said(status, LONG[:size])
        async with httpx.AsyncClient(auth=auth, base_url=canned.base, verify=NO_TLS) as client:
            assert (await client.get("/x")).content == LONG[:size]
            async with client.stream("GET", "/x") as response:
                assert await response.aread() == LONG[:size]
            async with client.stream("GET", "/x") as response:
                pass
            assert response.is_closed

    @pytest.mark.hazard(40)
    @pytest.mark.parametrize("size", [10, len(LONG)])
    def test_a_refusal_after_a_renewal_is_whole_too(
        self, canned: Canned, oauth: CoboOAuth, size: int
    ) -> None:
        """Hazard 40: the second refusal is handed over, and nothing else."""
        canned.said = Said(401, LONG[:size])
        with oauth.client(verify=NO_TLS) as client:
            assert client.get("/x").content == LONG[:size]
        with httpx.Client(auth=oauth, base_url=canned.base, verify=NO_TLS) as client:
            assert client.get("/y").content == LONG[:size]

    async def test_a_refusal_after_a_renewal_is_whole_to_tasks_too(
        self, canned: Canned, oauth: CoboOAuth
    ) -> None:
        """On both event loops."""
        canned.said = Said(401, LONG)
        async with oauth.async_client(verify=NO_TLS) as client:
            assert (await client.get("/x")).content == LONG
        async with httpx.AsyncClient(auth=oauth, base_url=canned.base, verify=NO_TLS) as client:
            assert (await client.get("/y")).content == LONG

    def test_other_answers_are_not_touched(self, canned: Canned, auth: CoboAuth) -> None:
        """A download is a stream to the caller, as without us."""
        canned.said = Said(200, LONG, endless=True)
        with httpx.Client(auth=auth, base_url=canned.base, verify=NO_TLS) as client:
            with client.stream("GET", "/x") as response:
                assert not response.is_stream_consumed
                assert next(response.iter_raw())
            assert response.is_closed


# ------------------------------------------------------------------ answers of the token endpoint
class TestTokenReplies:
    @pytest.mark.hazard(2)
    @pytest.mark.parametrize("size", [0, 1000, LIMIT])
    def test_the_body_is_taken_out(self, canned: Canned, size: int) -> None:
        """Hazard 2: wherever the answer is kept, it has no token in it."""
        for canned.said in answers(LONG[:size]).values():
            with Opened(canned) as response:
                assert take_body(response, 5) == LONG[:size]
                assert response.read() == b""

    @pytest.mark.hazard(2)
    @pytest.mark.parametrize("size", [0, 1000, LIMIT])
    async def test_the_body_is_taken_out_for_tasks(self, canned: Canned, size: int) -> None:
        """Hazard 2: on both event loops."""
        for canned.said in answers(LONG[:size]).values():
            async with AsyncOpened(canned) as response:
                assert await atake_body(response) == LONG[:size]
                assert await response.aread() == b""

    @pytest.mark.hazard(26)
    def test_a_long_body_is_not_read(self, canned: Canned) -> None:
        """Hazard 26: packed or not; the connection is closed over it."""
        for canned.said in answers(LONG).values():
            with Opened(canned) as response:
                assert take_body(response, 5) is None
                assert response.read() == b""

    @pytest.mark.hazard(26)
    @leaves_early
    async def test_a_long_body_is_not_read_for_tasks(self, canned: Canned) -> None:
        """Hazard 26: on both event loops."""
        for canned.said in answers(LONG).values():
            async with AsyncOpened(canned) as response:
                assert await atake_body(response) is None
                assert await response.aread() == b""

    @pytest.mark.hazard(1)
    def test_a_trickle_is_bounded(self, canned: Canned) -> None:
        """Hazard 1: each byte comes in time, the whole never does."""
        canned.said = Said(200, b"x", endless=True, pause=0.01)
        began = time.monotonic()
        with Opened(canned) as response, pytest.raises(TimeoutError):
            take_body(response, 0.2)
        assert 0.2 <= time.monotonic() - began < 5

    @pytest.mark.hazard(26)
    @pytest.mark.parametrize("name", ["megabyte", "endless", "packed megabyte", "packed nothing"])
    @pytest.mark.parametrize("plain", [False, True], ids=["client()", "auth="])
    def test_a_megabyte_of_text_is_a_typed_error(
        self, canned: Canned, oauth: CoboOAuth, name: str, *, plain: bool
    ) -> None:
        """Hazard 26: soon, and without reading it all."""
        canned.token = LARGE[name]
        client = (
            httpx.Client(auth=oauth, base_url=canned.base, verify=NO_TLS, timeout=0.4)
            if plain
            else oauth.client(verify=NO_TLS)
        )
        with client, pytest.raises(TokenReplyError, match="too long") as raised:
            client.get("/wallets")
        assert raised.value.status == 200
        assert canned.sent < 100 * 1024 * 1024

    @pytest.mark.hazard(26)
    @leaves_early
    @pytest.mark.parametrize("name", ["megabyte", "endless", "packed megabyte", "packed nothing"])
    @pytest.mark.parametrize("plain", [False, True], ids=["client()", "auth="])
    async def test_a_megabyte_of_text_is_a_typed_error_for_tasks(
        self, canned: Canned, oauth: CoboOAuth, name: str, *, plain: bool
    ) -> None:
        """Hazard 26: on both event loops."""
        canned.token = LARGE[name]
        client = (
            httpx.AsyncClient(auth=oauth, base_url=canned.base, verify=NO_TLS, timeout=0.4)
            if plain
            else oauth.async_client(verify=NO_TLS)
        )
        with anyio.fail_after(20):
            async with client:
                with pytest.raises(TokenReplyError, match="too long"):
                    await client.get("/wallets")

    @pytest.mark.hazard(26)
    def test_the_simulators_huge_reply_is_a_typed_error(self, simulator: CoboSimulator) -> None:
        """Hazard 26: 16 MiB, signed, in memory."""
        auth = CoboOAuth(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            org_id=simulator.org_id,
            environment=simulator.environment,
            timeouts=Timeouts(exchange=0.3),
            clock=simulator.clock,
        )
        simulator.inject("token", "huge", times=None)
        with auth.client(transport=simulator) as client, pytest.raises(TokenReplyError):
            client.get("/wallets")

    @pytest.mark.parametrize("way", WAYS)
    def test_a_token_comes_however_it_is_packed(
        self, canned: Canned, oauth: CoboOAuth, way: str
    ) -> None:
        """A proxy that packs what nobody asked it to pack does no harm."""
        canned.token = answers(TOKEN)[way]
        with oauth.client(verify=NO_TLS) as client:
            assert client.get("/wallets").status_code == 200
        with httpx.Client(verify=NO_TLS) as client:
            assert oauth.token(client).access_token == "a"

    @pytest.mark.hazard(26)
    @pytest.mark.parametrize("plain", [False, True], ids=["client()", "auth="])
    def test_a_reply_that_cannot_be_unpacked_is_a_typed_error(
        self, canned: Canned, oauth: CoboOAuth, *, plain: bool
    ) -> None:
        """Hazard 26: like one that was lost on the way."""
        canned.token = Said(200, TOKEN, {"Content-Encoding": "gzip"})
        client = (
            httpx.Client(auth=oauth, base_url=canned.base, verify=NO_TLS)
            if plain
            else oauth.client(verify=NO_TLS)
        )
        with client, pytest.raises(TokenEndpointError, match="DecodingError"):
            client.get("/wallets")


PAD = b'{"access_token":"a","expires_in":900,"padding":"' + b"x" * 1024 * 1024 + b'"}'
LARGE = {
    "megabyte": Said(200, PAD),
    "endless": Said(200, b"[" * LIMIT, endless=True),
    "packed megabyte": Said(200, gzip.compress(PAD), {"Content-Encoding": "gzip"}),
    "packed nothing": Said(200, gzip.compress(b"\0" * 10**7), {"Content-Encoding": "gzip"}),
}
