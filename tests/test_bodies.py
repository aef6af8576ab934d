"""Reading answers inside a flow: bounded, and nothing is lost to the caller. On real sockets."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import json
import logging
import os
import socketserver
import ssl
import threading
import time
import tracemalloc
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
import zstandard

from httpx_cobo_auth import Environment, Timeouts, TokenEndpointError, TokenReplyError
from httpx_cobo_auth._protocol.reply_body import ReplyBody
from httpx_cobo_auth._runtime import decoding
from httpx_cobo_auth._runtime.bodies import aread_answer, atake_body, read_answer, take_body
from httpx_cobo_auth._runtime.decoding import UndecodableError, codings_of, decode
from tests.family import CoboAuth, CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from io import BufferedIOBase

    from httpx_cobo_auth.testing import CoboSimulator

# It has no types.
brotli: Any = importlib.import_module("brotli")

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
    """Return the ways in which one body may come."""
    packed = gzip.compress(body)
    return {
        "length": Said(status, body),
        "chunked": Said(status, body, chunked=True),
        "gzip": Said(status, packed, {"Content-Encoding": "gzip"}),
        "gzip, chunked": Said(status, packed, {"Content-Encoding": "gzip"}, chunked=True),
        "deflate": Said(status, zlib.compress(body), {"Content-Encoding": "deflate"}),
    }


WAYS = list(answers(b""))


def brotli_of(body: bytes) -> bytes:
    return cast("bytes", brotli.compress(body))


def zstd_of(body: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(body)


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


CODINGS: dict[str, tuple[Callable[[bytes], bytes], ...]] = {
    "identity": (),
    "utf-8": (),  # not a coding; proxies say so all the same
    "": (),
    "gzip": (gzip.compress,),
    "GZip": (gzip.compress,),
    "deflate": (zlib.compress,),
    "deflate ": (bare_deflate,),
    "br": (brotli_of,),
    "zstd": (zstd_of,),
    "gzip, br": (gzip.compress, brotli_of),
    "zstd,gzip, identity, deflate": (zstd_of, gzip.compress, zlib.compress),
}
GARBLED = {"garbled": "gzip", "endless coding": ", ".join(["gzip"] * 6)}


def packed(way: str, body: bytes, status: int = 200) -> Said:
    """Return an answer whose body was packed by some codings, or claims to be."""
    for pack in CODINGS.get(way, ()):
        body = pack(body)
    return Said(status, body, {"Content-Encoding": GARBLED.get(way, way)})


def taken(body: ReplyBody | None) -> bytes | None:
    """Return the bytes of a reply that was taken out of its answer."""
    return None if body is None else bytes(body)


def connections(response: httpx.Response) -> list[object]:
    """Return the connections that the client of a response has."""
    pool: Any = response.extensions["client"]._transport._pool
    return list(pool.connections)


def outcome(reading: Callable[[httpx.Response], object], response: httpx.Response) -> object:
    """Return what comes of reading a response: the result, or the kind of error."""
    try:
        return reading(response)
    except httpx.DecodingError as error:
        return type(error)


def states(response: httpx.Response) -> tuple[bool, bool]:
    """Return whether the answer is closed, and whether its stream is used up."""
    return response.is_closed, response.is_stream_consumed


class Opened:
    """A response as a flow meets it: the head has come, the body has not been read."""

    def __init__(self, canned: Canned) -> None:
        self.client = httpx.Client(verify=NO_TLS)
        self.response = self.client.send(self.client.build_request("GET", canned.base), stream=True)
        self.response.extensions["client"] = self.client

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
        self.response.extensions["client"] = self.client
        return self.response

    async def __aexit__(self, *_: object) -> None:
        await self.response.aclose()
        await self.client.aclose()


# ---------------------------------------------------------------- answers to the caller's own
class TestAnswers:
    @pytest.mark.hazard(41, 62)
    @pytest.mark.parametrize("size", [0, 1, 1000, LIMIT])
    @pytest.mark.parametrize("whole", [False, True])
    def test_a_usual_answer_is_read_and_left_for_the_caller(
        self, canned: Canned, size: int, *, whole: bool
    ) -> None:
        """Hazards 41 and 62: it holds no connection, and to the caller it is unread."""
        for canned.said in answers(LONG[:size]).values():
            with Opened(canned) as response:
                assert read_answer(response, whole=whole) == LONG[:size]
                assert not connections(response)
                assert states(response) == (False, False)
                assert response.read() == response.content == LONG[:size]
                assert states(response) == (True, True)
                assert b"".join(response.iter_bytes()) == LONG[:size]
                assert read_answer(response) == LONG[:size]
                assert response.elapsed.total_seconds() >= 0

    @pytest.mark.hazard(41, 62)
    @pytest.mark.parametrize("size", [0, 1, 1000, LIMIT])
    @pytest.mark.parametrize("whole", [False, True])
    async def test_the_same_for_async_clients(
        self, canned: Canned, size: int, *, whole: bool
    ) -> None:
        """Hazards 41 and 62: on both event loops."""
        for canned.said in answers(LONG[:size]).values():
            async with AsyncOpened(canned) as response:
                assert await aread_answer(response, whole=whole) == LONG[:size]
                assert not connections(response)
                assert states(response) == (False, False)
                assert await response.aread() == response.content == LONG[:size]
                assert states(response) == (True, True)
                assert await aread_answer(response) == LONG[:size]
                assert response.elapsed.total_seconds() >= 0

    @pytest.mark.hazard(62)
    @pytest.mark.parametrize("whole", [False, True])
    @pytest.mark.parametrize("way", [*CODINGS, "garbled", "endless coding"])
    def test_what_comes_over_the_wire_can_be_streamed_after_us(
        self, canned: Canned, way: str, *, whole: bool
    ) -> None:
        """Hazard 62: raw bytes, decoded ones and errors are those of an answer left alone."""
        canned.said = packed(way, LONG[:1000], 401)
        readings: list[Callable[[httpx.Response], object]] = [
            lambda response: b"".join(response.iter_raw()),
            lambda response: b"".join(response.iter_bytes(100)),
            lambda response: response.read(),
        ]
        for reading in readings:
            with Opened(canned) as response:
                alone = outcome(reading, response)
            with Opened(canned) as response:
                found = read_answer(response, whole=whole)
                assert found == (LONG[:1000] if way in CODINGS else None)
                assert outcome(reading, response) == alone
                downloaded = response.num_bytes_downloaded
                assert downloaded in {0, len(canned.said.body)}

    @pytest.mark.hazard(62)
    @pytest.mark.parametrize("way", [*CODINGS, "garbled"])
    async def test_what_comes_over_the_wire_can_be_streamed_by_tasks(
        self, canned: Canned, way: str
    ) -> None:
        """Hazard 62: on both event loops."""
        canned.said = packed(way, LONG[:1000], 401)
        async with AsyncOpened(canned) as response:
            assert await aread_answer(response) == (LONG[:1000] if way in CODINGS else None)
            pieces = [piece async for piece in response.aiter_raw()]
            assert b"".join(pieces) == canned.said.body

    @pytest.mark.parametrize("whole", [False, True])
    def test_an_answer_that_a_hook_has_closed(self, canned: Canned, *, whole: bool) -> None:
        """Nothing can be read of it, by us or by the caller."""
        with Opened(canned) as response:
            response.close()
            assert read_answer(response, whole=whole) is None
            with pytest.raises(httpx.StreamClosed):
                response.read()

    def test_a_verified_answer_may_be_long(self, canned: Canned) -> None:
        """What is verified is read whole, and can be streamed all the same."""
        canned.said = answers(LONG)["gzip"]
        with Opened(canned) as response:
            assert read_answer(response, whole=True) == LONG
            assert b"".join(response.iter_raw()) == canned.said.body
        with Opened(canned) as response:
            response.read()
            assert read_answer(response, whole=True) == LONG

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
            assert read_answer(response) == taken(take_body(response, 1)) == LONG[:1000]
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
            assert await aread_answer(response) == LONG[:1000]
            assert taken(await atake_body(response)) == LONG[:1000]
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

    @leaves_early
    @pytest.mark.parametrize("status", [401, 403, 500])
    @pytest.mark.parametrize("size", [10, len(LONG)])
    async def test_an_answer_that_no_task_reads_is_closed(
        self, canned: Canned, auth: CoboAuth, status: int, size: int
    ) -> None:
        """With its connection, on both event loops."""
        canned.said = Said(status, LONG[:size])
        async with (
            httpx.AsyncClient(auth=auth, base_url=canned.base, verify=NO_TLS) as client,
            client.stream("GET", "/x") as response,
        ):
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
class Pieces(httpx.AsyncByteStream):
    """A stream with an iterator that is no generator."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return OnePieceAtATime(self.pieces)

    async def aclose(self) -> None:
        self.closed = True


class OnePieceAtATime:
    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self.left = [*pieces]

    def __aiter__(self) -> OnePieceAtATime:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)


class TestTokenReplies:
    @pytest.mark.hazard(2)
    @pytest.mark.parametrize("size", [0, 1000, LIMIT])
    def test_the_body_is_taken_out(self, canned: Canned, size: int) -> None:
        """Hazard 2: wherever the answer is kept, it has no token in it."""
        for canned.said in answers(LONG[:size]).values():
            with Opened(canned) as response:
                assert taken(take_body(response, 5)) == LONG[:size]
                assert response.read() == b""

    @pytest.mark.hazard(2)
    @pytest.mark.parametrize("size", [0, 1000, LIMIT])
    async def test_the_body_is_taken_out_for_tasks(self, canned: Canned, size: int) -> None:
        """Hazard 2: on both event loops."""
        for canned.said in answers(LONG[:size]).values():
            async with AsyncOpened(canned) as response:
                assert taken(await atake_body(response)) == LONG[:size]
                assert await response.aread() == b""

    async def test_a_stream_of_a_transport_of_ones_own_need_not_be_a_generator(self) -> None:
        """What iterates over it may have nothing to be closed by; the stream itself has."""
        stream = Pieces(b"a", b"b")
        assert taken(await atake_body(httpx.Response(200, stream=stream))) == b"ab"
        assert stream.closed

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


# ------------------------------------------------------------------------------- decoding
MIB = 1 << 20


def zeros(size: int) -> dict[str, bytes]:
    """Return so many bytes, packed by each coding, and by some of them twice."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    gz = b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()
    br = brotli_of(bytes(size))
    return {
        "gzip": gz,
        "gzip, gzip": gzip.compress(gz, 9),
        "gzip, gzip, gzip": gzip.compress(gzip.compress(gz, 9), 9),
        "br": br,
        "br, br": brotli_of(br),
        "gzip, br": brotli_of(gz),
        "zstd": zstd_of(bytes(size)),
        "zstd, gzip": gzip.compress(zstd_of(bytes(size)), 9),
    }


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    """64 MiB, in bytes by the hundred."""
    return zeros(64 * MIB)


class TestDecoding:
    @pytest.mark.hazard(61)
    @pytest.mark.parametrize("name", list(zeros(0)))
    def test_a_bomb_does_not_go_off(self, bombs: dict[str, bytes], name: str) -> None:
        """Hazard 61: what is unpacked is bounded while it is unpacked, at each stage."""
        tracemalloc.start()
        try:
            assert decode(ReplyBody(bombs[name]), codings_of(name), LIMIT) is None
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MIB

    @pytest.mark.hazard(61)
    @pytest.mark.parametrize("name", list(zeros(0)))
    def test_a_bomb_in_an_answer_is_the_callers(
        self, canned: Canned, bombs: dict[str, bytes], name: str
    ) -> None:
        """Hazard 61: it gets the raw bytes; of a token reply nobody does."""
        canned.said = Said(401, bombs[name], {"Content-Encoding": name})
        with Opened(canned) as response:
            assert read_answer(response) is None
            assert b"".join(response.iter_raw()) == bombs[name]
        with Opened(canned) as response:
            assert take_body(response, 5) is None
            assert response.read() == b""

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
    @pytest.mark.parametrize("over", [0, 1])
    def test_the_bound_is_one_of_decoded_bytes(self, coding: str, over: int) -> None:
        """To the byte, also where packing makes a body longer."""
        body = os.urandom(LIMIT + over)
        (pack,) = CODINGS[coding]
        assert len(pack(body)) > LIMIT
        found = decode(ReplyBody(pack(body)), [coding], LIMIT)
        assert taken(found) == (None if over else body)
        twice = decode(ReplyBody(gzip.compress(pack(body))), [coding, "gzip"], LIMIT)
        assert taken(twice) == (None if over else body)
        assert taken(decode(ReplyBody(pack(body)), [coding])) == body

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
    def test_what_is_in_no_coding_is_said_to_be_so(self, coding: str) -> None:
        """By an error that has nothing of the body in it."""
        for body in (b"this is in no coding at all " * 4, bytes(range(256))):
            with pytest.raises(UndecodableError) as raised:
                decode(ReplyBody(body), [coding], LIMIT)
            assert raised.value.__suppress_context__
            assert raised.value.args == ()

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
    def test_nothing_packed_is_nothing(self, coding: str) -> None:
        """An answer to HEAD says how its body would be packed, and has none."""
        assert taken(decode(ReplyBody(), [coding], LIMIT)) == b""

    def test_frames_of_zstd_may_follow_each_other(self) -> None:
        """As httpx takes them."""
        body = ReplyBody(zstd_of(b"one, ") + zstd_of(b"two"))
        assert taken(decode(body, ["zstd"], LIMIT)) == b"one, two"

    @pytest.mark.hazard(61)
    @pytest.mark.parametrize("name", ["backports.zstd", "zstandard"])
    def test_zstd_is_decoded_by_whatever_is_there(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """Hazard 61: with a window of no more than 8 MiB, whatever a frame asks for."""
        monkeypatch.setattr(decoding, "_first_of", finds(importlib.import_module(name)))
        assert taken(decode(ReplyBody(zstd_of(LONG)), ["zstd"])) == LONG
        assert decode(ReplyBody(zstd_of(bytes(MIB))), ["zstd"], LIMIT) is None
        parameters = zstandard.ZstdCompressionParameters(window_log=27)
        greedy = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        wide = greedy.compress(b"{}") + greedy.flush()
        with pytest.raises(UndecodableError):
            decode(ReplyBody(wide), ["zstd"], LIMIT)

    @pytest.mark.parametrize("name", ["brotli", "brotlicffi"])
    def test_brotli_is_decoded_by_either_library(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """The one for CPython, and the one for others, whose method has another name."""
        if name == "brotlicffi":
            monkeypatch.setattr(decoding, "_first_of", finds(Cffi))
        assert taken(decode(ReplyBody(brotli_of(LONG)), ["br"])) == LONG
        assert decode(ReplyBody(brotli_of(bytes(MIB))), ["br"], LIMIT) is None

    def test_without_a_library_that_can_stop_nothing_is_unpacked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before brotli 1.2 there was no bound; and some have no library at all."""
        monkeypatch.setattr(decoding, "_first_of", finds(Old))
        with pytest.raises(UndecodableError):
            decode(ReplyBody(brotli_of(b"{}")), ["br"], LIMIT)
        monkeypatch.undo()
        with pytest.raises(UndecodableError):
            decoding._first_of("no_such_library", "nor_this_one")


def finds(library: object) -> Callable[..., object]:
    """Return what stands for the search for a library."""

    def first_of(*_: str) -> object:
        return library

    return first_of


class Cffi:
    """What is another in brotlicffi."""

    error = brotli.error

    class Decompressor:
        def __init__(self) -> None:
            self._real = brotli.Decompressor()

        def decompress(self, data: bytes, output_buffer_limit: int | None = None) -> bytes:
            limit = (
                {} if output_buffer_limit is None else {"output_buffer_limit": output_buffer_limit}
            )
            return cast("bytes", self._real.process(data, **limit))


class Old:
    """What is another in brotli 1.1."""

    error = brotli.error

    class Decompressor:
        def process(self, data: bytes) -> bytes:
            return cast("bytes", brotli.decompress(data))
