"""What is signed is what is sent: judged on the raw bytes that arrive at a socket.

The server and the verifier are this file's own, so that nothing of the package judges itself.
"""

from __future__ import annotations

import io
import json
import socketserver
import ssl
import tempfile
import threading
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, cast

import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from httpx_cobo_auth import Environment, UnsignableRequestError
from tests.family import CoboAuth, CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Answering = Callable[["Received"], bytes]

SECRET = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"
KEY = SigningKey(bytes.fromhex(SECRET)).verify_key
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading certificates takes longer than a test
BINARY = bytes(range(256)) * 3 + b"|||"


# ------------------------------------------------------------------ a server and a verifier
@dataclass(frozen=True)
class Received:
    """One request, byte for byte as it came through the socket."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def method(self) -> bytes:
        return self.line.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    def header(self, name: bytes) -> bytes:
        """Return the header, which has to stand there exactly once."""
        (value,) = [value for key, value in self.headers if key.lower() == name]
        return value

    @property
    def nonce(self) -> int:
        return int(self.header(b"biz-api-nonce"))

    def verify(self, key: VerifyKey = KEY) -> None:
        """Accept what Cobo accepts, by its documentation alone."""
        path, _, query = self.target.partition(b"?")
        nonce = self.header(b"biz-api-nonce")
        text = self.method + b"|" + path + b"|" + nonce + b"|" + query + b"|" + self.body
        signature = bytes.fromhex(self.header(b"biz-api-signature").decode())
        key.verify(sha256(sha256(text).digest()).digest(), signature)
        assert self.header(b"biz-api-key").decode() == key.encode().hex()


def answer(status: int, content: object = None) -> bytes:
    """Encode an answer, as plain as can be."""
    body = b"" if content is None else json.dumps(content).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@dataclass
class Recorder:
    """A server on a real socket that keeps what arrives, and answers as it is told."""

    port: int = 0
    received: list[Received] = field(default_factory=list[Received])
    connections: int = 0
    answering: Answering = lambda _: answer(200, {})

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2"

    @property
    def environment(self) -> Environment:
        return Environment("socket", self.base)

    def reset(self) -> None:
        self.received, self.connections = [], 0
        self.answering = lambda _: answer(200, {})


def parsed(stream: io.BufferedIOBase) -> Received | None:
    line = stream.readline().rstrip(b"\r\n")
    if not line:
        return None
    headers: list[tuple[bytes, bytes]] = []
    while head := stream.readline().rstrip(b"\r\n"):
        name, _, value = head.partition(b":")
        headers.append((name, value.strip()))
    fields = {name.lower(): value for name, value in headers}
    if fields.get(b"transfer-encoding") == b"chunked":
        body = b""
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
    else:
        body = stream.read(int(fields.get(b"content-length", b"0")))
    return Received(line, headers, body)


@pytest.fixture(scope="module")
def running() -> Iterator[Recorder]:
    recorder = Recorder()

    class Connection(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            recorder.connections += 1
            received = parsed(self.rfile)
            if received is not None:
                recorder.received.append(received)
                self.wfile.write(recorder.answering(received))

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Connection) as server:
        recorder.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield recorder
        server.shutdown()
        thread.join()


@pytest.fixture
def recorder(running: Recorder) -> Iterator[Recorder]:
    running.reset()
    yield running
    while opened:
        opened.pop().close()


@pytest.fixture
def auth(recorder: Recorder) -> CoboAuth:
    return CoboAuth(api_secret=SECRET, environment=recorder.environment)


def test_the_verifier_is_no_yes_man() -> None:
    """Another body, path, query, nonce or key is refused, or the tests below say nothing."""
    text = b"POST|/v2/x|7|a=b|body"
    signature = SigningKey(bytes.fromhex(SECRET)).sign(sha256(sha256(text).digest()).digest())
    headers = [
        (b"Biz-Api-Key", KEY.encode().hex().encode()),
        (b"Biz-Api-Nonce", b"7"),
        (b"Biz-Api-Signature", signature.signature.hex().encode()),
    ]
    Received(b"POST /v2/x?a=b HTTP/1.1", headers, b"body").verify()
    for line, body in [
        (b"PUT /v2/x?a=b HTTP/1.1", b"body"),
        (b"POST /v2/y?a=b HTTP/1.1", b"body"),
        (b"POST /v2/x?a=c HTTP/1.1", b"body"),
        (b"POST /v2/x HTTP/1.1", b"body"),
        (b"POST /v2/x?a=b HTTP/1.1", b"Body"),
    ]:
        with pytest.raises(BadSignatureError):
            Received(line, headers, body).verify()


# ------------------------------------------------------------------------------- the matrix
TARGETS: dict[str, tuple[str, bytes]] = {
    "plain": ("/wallets", b"/v2/wallets"),
    "root": ("/", b"/v2/"),
    "trailing slash": ("/wallets/", b"/v2/wallets/"),
    "double slash": ("/a//b", b"/v2/a//b"),
    "dot segments": ("/a/./b/../c", b"/v2/a/c"),
    "percent-encoded": ("/a%2Fb%7C%20%25", b"/v2/a%2Fb%7C%20%25"),
    "percent-encoded in small letters": ("/a%2fb%c3%a9", b"/v2/a%2fb%c3%a9"),
    "stray percent": ("/100%?a=%", b"/v2/100%?a=%25"),
    "bars": ("/a|b?c=d|e", b"/v2/a|b?c=d%7Ce"),
    "unicode": ("/é/€😀", b"/v2/%C3%A9/%E2%82%AC%F0%9F%98%80"),
    "sub-delimiters": ("/a;b=c,d!$&'()*+:@~", b"/v2/a;b=c,d!$&'()*+:@~"),
    "query": ("/x?a=1&b=2", b"/v2/x?a=1&b=2"),
    "repeated parameters": ("/x?a=2&a=1&b=3&a=2", b"/v2/x?a=2&a=1&b=3&a=2"),
    "commas and blanks": ("/x?c=BTC,ETH&d=a b&e=a%20b", b"/v2/x?c=BTC%2CETH&d=a+b&e=a+b"),
    "blank parameters": ("/x?a=&b=1&c", b"/v2/x?b=1"),
    "only blank parameters": ("/x?a=&c", b"/v2/x"),
    "empty query": ("/x?", b"/v2/x?"),
    "question marks": ("/x?a=?&b=1?2", b"/v2/x?a=%3F&b=1%3F2"),
    "unicode query": ("/x?ü=é&q=😀", b"/v2/x?%C3%BC=%C3%A9&q=%F0%9F%98%80"),
    "fragment": ("/x#y", b"/v2/x"),
    "query and fragment": ("/x?a=b,c#y?z=1", b"/v2/x?a=b%2Cc"),
    "nested brackets": ("/x?a[0]=1&a[1]={}", b"/v2/x?a%5B0%5D=1&a%5B1%5D=%7B%7D"),
}


def lines() -> Iterator[bytes]:
    yield b"one|"
    yield b""
    yield BINARY


async def async_lines() -> AsyncIterator[bytes]:
    for line in lines():
        yield line


class Stream(httpx.SyncByteStream):
    """A stream of a program's own."""

    def __iter__(self) -> Iterator[bytes]:
        return lines()


class AsyncStream(httpx.AsyncByteStream):
    """The same for async clients."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return async_lines()


opened: list[IO[bytes]] = []


def on_disk(content: bytes) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the fixture
    opened.append(file)
    file.write(content)
    file.seek(0)
    return file


JOINED = b"".join(lines())
# What is passed to the client, made anew each time; and the body, where it can be told.
BODIES: dict[str, tuple[Callable[[], dict[str, Any]], bytes | None]] = {
    "none": (dict, b""),
    "empty": (lambda: {"content": b""}, b""),
    "json": (lambda: {"json": {"é": ["€", None, 1.5]}}, None),
    "text": (lambda: {"content": "é€😀|\r\n"}, "é€😀|\r\n".encode()),
    "binary": (lambda: {"content": BINARY}, BINARY),
    "large": (lambda: {"content": BINARY * 500}, BINARY * 500),
    "form": (lambda: {"data": {"a": ["2", "1"], "é": "€ &"}}, b"a=2&a=1&%C3%A9=%E2%82%AC+%26"),
    "multipart": (lambda: {"files": {"f": ("ü.bin", io.BytesIO(BINARY))}}, None),
    "multipart and form": (
        lambda: {"files": [("f", BINARY), ("f", b"2")], "data": {"a": ["1", "2"]}},
        None,
    ),
}
SYNC_BODIES: dict[str, tuple[Callable[[], dict[str, Any]], bytes | None]] = {
    "file": (lambda: {"content": on_disk(BINARY)}, BINARY),
    "multipart file": (lambda: {"files": {"f": on_disk(BINARY)}}, None),
    "generator": (lambda: {"content": lines()}, JOINED),
    "stream": (lambda: {"content": Stream()}, JOINED),
    "iterator": (lambda: {"content": iter([])}, b""),
}
ASYNC_BODIES: dict[str, tuple[Callable[[], dict[str, Any]], bytes | None]] = {
    "async generator": (lambda: {"content": async_lines()}, JOINED),
    "async stream": (lambda: {"content": AsyncStream()}, JOINED),
}
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "REPORT", "post"]


def check_target(recorder: Recorder, expected: bytes) -> None:
    (received,) = recorder.received
    assert received.target == expected
    received.verify()


def check_body(recorder: Recorder, expected: bytes | None) -> None:
    (received,) = recorder.received
    if expected is not None:
        assert received.body == expected
    received.verify()


class TestSync:
    @pytest.mark.hazard(7)
    @pytest.mark.parametrize("name", TARGETS)
    def test_every_target(self, recorder: Recorder, auth: CoboAuth, name: str) -> None:
        """Whatever the URL looks like, the signature fits the bytes that arrive."""
        url, expected = TARGETS[name]
        with httpx.Client(auth=auth, base_url=recorder.base, verify=NO_TLS) as client:
            client.get(url)
        check_target(recorder, expected)

    @pytest.mark.hazard(6, 7)
    @pytest.mark.parametrize("name", [*BODIES, *SYNC_BODIES])
    def test_every_body(self, recorder: Recorder, auth: CoboAuth, name: str) -> None:
        """Bytes, forms, files and generators are read once, signed, sent."""
        make, expected = {**BODIES, **SYNC_BODIES}[name]
        with httpx.Client(auth=auth, base_url=recorder.base, verify=NO_TLS) as client:
            client.post("/x", **make())
        check_body(recorder, expected)

    @pytest.mark.hazard(7)
    @pytest.mark.parametrize("method", METHODS)
    def test_every_method(self, recorder: Recorder, auth: CoboAuth, method: str) -> None:
        """In capitals on the wire, and in the text that is signed."""
        with httpx.Client(auth=auth, base_url=recorder.base, verify=NO_TLS) as client:
            client.request(method, "/x", content=b"{}")
        check_body(recorder, b"{}")
        assert recorder.received[0].method == method.upper().encode()

    @pytest.mark.hazard(7)
    def test_parameters_beside_the_url(self, recorder: Recorder, auth: CoboAuth) -> None:
        """As a list of pairs, in a dict, from the client."""
        with httpx.Client(
            auth=auth, base_url=recorder.base, verify=NO_TLS, params={"z": "1,2"}
        ) as client:
            client.get("/x", params=[("a", "é"), ("a", ""), ("a", 2), ("b", True)])
            client.get("/x", params={"a": ["1", "2"], "b": ""})
        targets = [received.target for received in recorder.received]
        assert targets == [b"/v2/x?z=1%2C2&a=%C3%A9&a=2&b=true", b"/v2/x?z=1%2C2&a=1&a=2"]
        for received in recorder.received:
            received.verify()

    @pytest.mark.hazard(7)
    def test_headers_of_the_callers_are_replaced(self, recorder: Recorder, auth: CoboAuth) -> None:
        """Whoever sets signature headers, each arrives once, and is ours."""
        stale = [("Biz-Api-Nonce", "1"), ("biz-api-nonce", "2"), ("BIZ-API-SIGNATURE", "00")]
        with httpx.Client(auth=auth, base_url=recorder.base, verify=NO_TLS) as client:
            client.get("/x", headers=[*stale, ("Biz-Api-Key", "00"), ("Authorization", "Mine")])
        (received,) = recorder.received
        received.verify()
        assert received.nonce > 2
        assert received.header(b"authorization") == b"Mine"  # of no concern to Cobo Auth

    @pytest.mark.hazard(8, 9)
    def test_every_nonce_is_new(self, recorder: Recorder, auth: CoboAuth) -> None:
        """The same request object, sent again, is signed anew."""
        with httpx.Client(auth=auth, base_url=recorder.base, verify=NO_TLS) as client:
            request = client.build_request("POST", "/x", content=lines())
            for _ in range(5):
                client.send(request)
        nonces = [received.nonce for received in recorder.received]
        assert nonces == sorted(set(nonces))
        for received in recorder.received:
            received.verify()
            assert received.body == JOINED

    @pytest.mark.hazard(7)
    @pytest.mark.parametrize("query", ["a=%FF", "%C3=1&b=2", "a=%ED%A0%80"])
    def test_a_query_that_cannot_be_decoded_is_not_sent(
        self, recorder: Recorder, auth: CoboAuth, query: str
    ) -> None:
        """A typed error, and no connection."""
        with httpx.Client(auth=auth, base_url=recorder.base, verify=NO_TLS) as client:
            with pytest.raises(UnsignableRequestError, match="percent-encoded UTF-8"):
                client.get(f"/x?{query}")
            with pytest.raises(UnsignableRequestError):
                client.post("/x", params={"ok": "1"}, extensions={"target": b"/v2/other"})
        assert recorder.connections == 0

    @pytest.mark.hazard(7)
    @pytest.mark.parametrize("target", [b"/v2/other", b"*", b"", None])
    def test_another_target_on_the_wire_is_refused(
        self, recorder: Recorder, auth: CoboAuth, target: bytes | None
    ) -> None:
        """The extension would replace what is signed. The body is not consumed."""
        body = lines()
        with (
            httpx.Client(auth=auth, base_url=recorder.base, verify=NO_TLS) as client,
            pytest.raises(UnsignableRequestError, match="target"),
        ):
            client.post("/x", content=body, extensions={"target": target})
        assert recorder.connections == 0
        assert next(body) == b"one|"

    @pytest.mark.hazard(6, 8)
    def test_a_replay_is_signed_anew(self, recorder: Recorder) -> None:
        """A generator's bytes go out twice, under two nonces and two tokens."""
        recorder.answering = Rotating()
        with oauth(recorder).client(verify=NO_TLS) as client:
            response = client.post("/x?a=1,2", content=lines())
        check_replay(recorder, response)

    def test_a_replay_travels_through_any_client(self, recorder: Recorder) -> None:
        """The same with plain ``auth=``."""
        recorder.answering = Rotating()
        with httpx.Client(auth=oauth(recorder), base_url=recorder.base, verify=NO_TLS) as client:
            response = client.post("/x?a=1,2", content=lines())
        check_replay(recorder, response)


class TestAsync:
    @pytest.mark.hazard(7)
    @pytest.mark.parametrize("name", TARGETS)
    async def test_every_target(self, recorder: Recorder, auth: CoboAuth, name: str) -> None:
        """On both event loops."""
        url, expected = TARGETS[name]
        async with httpx.AsyncClient(auth=auth, base_url=recorder.base, verify=NO_TLS) as client:
            await client.get(url)
        check_target(recorder, expected)

    @pytest.mark.hazard(6, 7)
    @pytest.mark.parametrize("name", [*BODIES, *ASYNC_BODIES])
    async def test_every_body(self, recorder: Recorder, auth: CoboAuth, name: str) -> None:
        """On both event loops."""
        make, expected = {**BODIES, **ASYNC_BODIES}[name]
        async with httpx.AsyncClient(auth=auth, base_url=recorder.base, verify=NO_TLS) as client:
            await client.post("/x", **make())
        check_body(recorder, expected)

    @pytest.mark.hazard(7)
    @pytest.mark.parametrize("method", METHODS)
    async def test_every_method(self, recorder: Recorder, auth: CoboAuth, method: str) -> None:
        """On both event loops."""
        async with httpx.AsyncClient(auth=auth, base_url=recorder.base, verify=NO_TLS) as client:
            await client.request(method, "/x", content=b"{}")
        check_body(recorder, b"{}")

    @pytest.mark.hazard(7)
    async def test_what_cannot_be_signed_is_not_sent(
        self, recorder: Recorder, auth: CoboAuth
    ) -> None:
        """A typed error, no connection, and the body is not consumed."""
        body = async_lines()
        async with httpx.AsyncClient(auth=auth, base_url=recorder.base, verify=NO_TLS) as client:
            with pytest.raises(UnsignableRequestError):
                await client.get("/x?a=%FF")
            with pytest.raises(UnsignableRequestError):
                await client.post("/x", content=body, extensions={"target": b"/"})
        assert recorder.connections == 0
        assert await anext(body) == b"one|"
        await cast("Any", body).aclose()

    @pytest.mark.hazard(6, 8)
    async def test_a_replay_is_signed_anew(self, recorder: Recorder) -> None:
        """On both event loops."""
        recorder.answering = Rotating()
        async with oauth(recorder).async_client(verify=NO_TLS) as client:
            response = await client.post("/x?a=1,2", content=async_lines())
        check_replay(recorder, response)

    async def test_a_replay_travels_through_any_client(self, recorder: Recorder) -> None:
        """The same with plain ``auth=``."""
        recorder.answering = Rotating()
        async with httpx.AsyncClient(
            auth=oauth(recorder), base_url=recorder.base, verify=NO_TLS
        ) as client:
            response = await client.post("/x?a=1,2", content=async_lines())
        check_replay(recorder, response)


# --------------------------------------------------------------------------------- a replay
def oauth(recorder: Recorder) -> CoboOAuth:
    return CoboOAuth(
        client_id="app/+ &", app_secret=SECRET, org_id="org é", environment=recorder.environment
    )


class Rotating:
    """Gives tokens; refuses the first of them where it is used."""

    def __init__(self) -> None:
        self.issued = 0

    def __call__(self, received: Received) -> bytes:
        if b"/oauth/token" in received.target:
            self.issued += 1
            token = f"token-{self.issued}"
            reply = {"access_token": token, "refresh_token": f"r-{token}", "expires_in": 900}
            return answer(200, reply)
        bearer = received.header(b"authorization")
        return answer(401 if bearer == b"Bearer token-1" else 200, {})


def check_replay(recorder: Recorder, response: httpx.Response) -> None:
    first, refused, second, accepted = recorder.received
    for received in recorder.received:
        received.verify()
    nonces = [received.nonce for received in recorder.received]
    assert nonces == sorted(set(nonces))
    assert first.method == b"GET"
    assert first.target == (
        b"/v2/oauth/token?client_id=app%2F%2B+%26&org_id=org+%C3%A9&grant_type=org_implicit"
    )
    assert json.loads(second.body) == {
        "client_id": "app/+ &",
        "grant_type": "refresh_token",
        "refresh_token": "r-token-1",
    }
    assert refused.target == accepted.target == b"/v2/x?a=1%2C2"
    assert refused.body == accepted.body == JOINED
    assert accepted.header(b"authorization") == b"Bearer token-2"
    for exchange in (first, second):
        assert not [value for name, value in exchange.headers if name.lower() == b"authorization"]
    assert response.status_code == 200
