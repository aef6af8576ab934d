"""The simulator behind a real loopback socket: HTTP/1.1, one thread a connection.

``h11`` (httpcore brings it) reads and writes HTTP. It leaves the target, the headers' spelling
and the body as they came through the socket, and these are what is verified.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from http.client import responses
from typing import TYPE_CHECKING, cast

import h11

from httpx_cobo_auth.testing._wire import Answer, Incoming, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["HOST", "LoopbackServer", "serving"]

HOST = "127.0.0.1"
_HEAD_LIMIT_BYTES = 256 * 1024
_PIECE_BYTES = 64 * 1024
_NO_CONTENT = 204
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
        super().__init__((HOST, port), _Connection)

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


class _Connection(socketserver.BaseRequestHandler):
    request: socket.socket

    @property
    def _owner(self) -> LoopbackServer:
        return cast("LoopbackServer", self.server)

    def handle(self) -> None:
        """Answer one request after another."""
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT_BYTES)
        self._owner.connections.add(self.request)
        try:
            with contextlib.suppress(OSError):  # the client has gone
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not self._owner.closing.is_set() and self._serve_one():
                    self._wire.start_next_cycle()
        finally:
            self._owner.connections.discard(self.request)

    def _serve_one(self) -> bool:
        """Answer the next request; return whether another may follow."""
        try:
            incoming = self._incoming()
        except h11.RemoteProtocolError as error:
            self._send(Answer(error.error_status_hint, b"", (("Connection", "close"),)))
            return False
        if incoming is None:
            return False
        outcome = self._owner.exchange(incoming)
        self._wait(outcome)
        if outcome.failure is not None or self._owner.closing.is_set():
            self._reset()
            return False
        self._send(outcome.answer)
        return self._wire.our_state is h11.DONE

    def _incoming(self) -> Incoming | None:
        """Read one request; ``None`` where the client has closed instead."""
        request = self._event()
        if not isinstance(request, h11.Request):
            return None
        body = bytearray()
        while isinstance(event := self._event(), h11.Data):
            body += event.data
        headers = tuple(request.headers.raw_items())
        return Incoming(request.method.decode(), request.target, headers, bytes(body))

    def _event(self) -> object:
        while (event := self._wire.next_event()) is h11.NEED_DATA:
            if self._wire.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                self.request.sendall(self._wire.send(go_on) or b"")
            self._wire.receive_data(self.request.recv(_PIECE_BYTES))
        return event

    def _send(self, answer: Answer) -> None:
        """Put head and body into one piece: two would meet Nagle and delayed acknowledgements."""
        headers = [*answer.headers]
        if answer.status != _NO_CONTENT:
            headers.append(("Content-Length", str(len(answer.body))))
        events = (
            h11.Response(
                status_code=answer.status,
                headers=[
                    (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers
                ],
                reason=responses.get(answer.status, "").encode(),
            ),
            h11.Data(data=answer.body),
            h11.EndOfMessage(),
        )
        self.request.sendall(b"".join(self._wire.send(event) or b"" for event in events))

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
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.request.close()
