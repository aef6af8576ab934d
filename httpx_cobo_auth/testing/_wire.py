"""Requests and answers as bytes on the wire, whichever way they came."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from threading import Event

__all__ = [
    "TOKEN_PATH",
    "Answer",
    "Incoming",
    "Outcome",
    "Refusal",
    "body_of",
    "json_answer",
    "json_object",
]

TOKEN_PATH = b"/v2/oauth/token"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request: method, request target as sent, headers in order, whole body."""

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> bytes:
        """The target up to the first ``?``, percent-encoding untouched."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """The target after the first ``?``, untouched; empty if there is none."""
        return self.target.partition(b"?")[2]

    @property
    def parameters(self) -> dict[str, str]:
        """The query, decoded; the last of several values counts."""
        decoded = parse_qs(self.query.decode("latin-1"), keep_blank_values=True)
        return {name: values[-1] for name, values in decoded.items()}

    @property
    def for_token(self) -> bool:
        """Whether it goes to the token endpoint."""
        return self.path == TOKEN_PATH

    @property
    def writes(self) -> bool:
        """Whether the method changes something."""
        return self.method not in _READS

    def header(self, name: bytes) -> str | None:
        """Value of the header that stands there exactly once, else ``None``."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[0].decode("latin-1") if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers of a response."""

    status: int
    body: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the way back has to do: wait for the pauses in turn, then answer or fail.

    Attributes:
        answer: what to send, unless the exchange fails.
        failure: how the exchange fails instead (``refuse``, ``drop`` or ``hang``); the effect,
            if any, has taken place.
        pauses: seconds to let pass, or events to wait for.

    """

    answer: Answer
    failure: str | None = None
    pauses: tuple[float | Event, ...] = ()


class Refusal(Exception):  # noqa: N818 - not an error: an answer on its way
    """A request that is answered with an error.

    Args:
        status: the HTTP status.
        code: Cobo's ``error_code``, or OAuth's ``error`` name.
        message: what a person needs to know.

    """

    def __init__(self, status: int, code: int | str, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message

    def answer(self, *, for_token: bool) -> Answer:
        """Build the error body.

        At the token endpoint a 4XX has OAuth's shape, a 5XX that of all other endpoints, as
        documented. No source says which of the two a badly signed request gets, so such an
        answer has both.
        """
        content: dict[str, object] = {}
        if for_token and self.status < 500:  # noqa: PLR2004 - where the statuses of servers begin
            error = self.code if isinstance(self.code, str) else "invalid_client"
            content |= {"error": error, "error_description": self.message}
        if isinstance(self.code, int):
            content |= {
                "error_code": self.code,
                "error_message": self.message,
                "error_id": secrets.token_hex(16),
            }
        return json_answer(self.status, content)


def body_of(content: object) -> bytes:
    """Return bytes as they are, text in UTF-8, and anything else as JSON."""
    if isinstance(content, bytes):
        return content
    return (content if isinstance(content, str) else json.dumps(content)).encode()


def json_answer(status: int, content: object) -> Answer:
    """Answer with JSON."""
    return Answer(status, json.dumps(content).encode())


def json_object(body: bytes) -> dict[str, object]:
    """Read a JSON object; empty if the body is anything else."""
    try:
        content: object = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, object]", content) if isinstance(content, dict) else {}
