"""The simulator behind a real loopback socket: HTTP/1.1, one thread a connection.

Written on raw bytes, because what is verified has to be what came through the socket.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from http.client import responses
from typing import TYPE_CHECKING, cast

from httpx_cobo_auth.testing._wire import Answer, Incoming, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from io import BufferedIOBase

__all__ = ["LoopbackServer", "serving"]

_LINE_LIMIT = 64 * 1024
_POLL_S = 0.01
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class LoopbackServer(socketserver.ThreadingTCPServer):
    """Listens on 127.0.0.1; ``stop()`` ends all connections and waits for their threads."""

    request_queue_size = 1024
    allow_reuse_address = True

    def __init__(self, exchange: Callable[[Incoming], Outcome], port: int) -> None:
        self.exchange = exchange
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Connection)

    def stop(self) -> None:
        """End everything that goes on."""
        self.closing.set()
        self.shutdown()
        for connection in tuple(self.connections):
            with contextlib.suppress(OSError):  # gone already
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


@contextlib.contextmanager
def serving(exchange: Callable[[Incoming], Outcome], port: int) -> Generator[int]:
    """Serve from a background thread; gives the port."""
    server = LoopbackServer(exchange, port)
    thread = threading.Thread(
        target=server.serve_forever, args=(_POLL_S,), name="CoboSimulator", daemon=True
    )
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.stop()
        thread.join()


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    @property
    def _owner(self) -> LoopbackServer:
        return cast("LoopbackServer", self.server)

    def handle(self) -> None:
        """Answer one request after another."""
        self._owner.connections.add(self.connection)
        try:
            with contextlib.suppress(OSError):  # the client has gone
                while not self._owner.closing.is_set() and self._serve_one():
                    pass
        finally:
            self._owner.connections.discard(self.connection)

    def _serve_one(self) -> bool:
        """Answer the next request; say whether another may follow."""
        try:
            line = self.rfile.readline(_LINE_LIMIT)
            if not line:
                return False
            method, target, version = line.split()
            headers = tuple(_headers(self.rfile))
            incoming = Incoming(method.decode(), target, headers, self._body(headers))
        except (ValueError, EOFError):
            self.wfile.write(_encoded(Answer(400, b"", (("Connection", "close"),))))
            return False
        outcome = self._owner.exchange(incoming)
        self._wait(outcome)
        if outcome.failure is not None or self._owner.closing.is_set():
            self._reset()
            return False
        self.wfile.write(_encoded(outcome.answer))
        connection = incoming.header(b"Connection") or ""
        return version == b"HTTP/1.1" and connection.lower() != "close"

    def _body(self, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
        fields = {name.lower(): value for name, value in headers}
        if fields.get(b"expect", b"").lower() == b"100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            return b"".join(_chunks(self.rfile))
        return _exactly(self.rfile, int(fields.get(b"content-length", b"0")))

    def _wait(self, outcome: Outcome) -> None:
        closing = self._owner.closing
        for pause in outcome.pauses:
            if isinstance(pause, threading.Event):
                while not pause.wait(_POLL_S) and not closing.is_set():
                    pass
            else:
                closing.wait(pause)

    def _reset(self) -> None:
        """Close with RST, so that the client meets an error and no orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.rfile.close()
        self.connection.close()


def _headers(stream: BufferedIOBase) -> Iterator[tuple[bytes, bytes]]:
    while line := _line(stream):
        name, colon, value = line.partition(b":")
        if not colon:
            message = "a header without a colon"
            raise ValueError(message)
        yield name, value.strip()


def _chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    while size := int(_line(stream).partition(b";")[0], 16):
        yield _exactly(stream, size)
        _line(stream)
    while _line(stream):  # trailers
        pass


def _line(stream: BufferedIOBase) -> bytes:
    line = stream.readline(_LINE_LIMIT)
    if not line.endswith(b"\n"):
        raise EOFError
    return line.strip()


def _exactly(stream: BufferedIOBase, size: int) -> bytes:
    if size < 0:
        message = "a negative length"
        raise ValueError(message)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _encoded(answer: Answer) -> bytes:
    """Put head and body into one piece: two would meet Nagle and delayed acknowledgements."""
    head = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, '')}"]
    head += [f"{name}: {value}" for name, value in answer.headers]
    head += [f"Content-Length: {len(answer.body)}", "", ""]
    return "\r\n".join(head).encode("latin-1") + answer.body
