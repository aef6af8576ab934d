"""``verify_signed``: what Cobo sends to an app, however a framework hands its headers over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth import ConfigurationError, Environment, ResponseSignatureError
from httpx_cobo_auth.callback import verify_signed

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock

EVENT = {"type": "wallets.transaction.succeeded"}


class Headers:
    """A mapping of a web framework, registered as none."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def items(self) -> list[tuple[object, object]]:
        """Return them, and what is no header at all."""
        return [*self._headers.items(), ("wsgi.version", (1, 0))]


def shapes(headers: dict[str, str]) -> dict[str, Any]:
    """Return the headers as frameworks do."""
    return {
        "a dict": headers,
        "pairs": list(headers.items()),
        "bytes, as of ASGI": [(n.lower().encode(), v.encode()) for n, v in headers.items()],
        "WSGI": {f"HTTP_{n.upper().replace('-', '_')}": v for n, v in headers.items()},
        "a mapping of its own": Headers(headers),
    }


@pytest.mark.parametrize("shape", shapes({}))
def test_headers_of_any_shape_are_read(
    simulator: CoboSimulator, clock: ManualClock, shape: str
) -> None:
    """And the time of signing is given."""
    body, headers = simulator.webhook(EVENT)
    given = shapes(dict(headers))[shape]
    signed_at = verify_signed(body, given, simulator.environment, max_age=300, clock=clock)
    assert signed_at == pytest.approx(clock.time(), abs=0.001)


def test_what_is_not_signed_or_not_by_cobo_is_refused(simulator: CoboSimulator) -> None:
    """Each says which."""
    body, headers = simulator.webhook(EVENT)
    with pytest.raises(ResponseSignatureError, match="is not signed; it may be forged"):
        verify_signed(body, {}, simulator.environment)
    with pytest.raises(ResponseSignatureError, match="not signed by Cobo's key"):
        verify_signed(body + b" ", headers, simulator.environment)


def test_what_is_old_is_refused_on_request(simulator: CoboSimulator, clock: ManualClock) -> None:
    """Somebody may send it again."""
    body, headers = simulator.webhook(EVENT)
    clock.advance(301)
    verify_signed(body, headers, simulator.environment, clock=clock)
    with pytest.raises(ResponseSignatureError, match="more than 300 s ago"):
        verify_signed(body, headers, simulator.environment, max_age=300, clock=clock)


def test_what_cannot_be_verified_is_an_error_of_the_caller(simulator: CoboSimulator) -> None:
    """Text instead of bytes, or an environment without a key."""
    body, headers = simulator.webhook(EVENT)
    text: Any = body.decode()
    with pytest.raises(TypeError, match="as they were received, not str"):
        verify_signed(text, headers, simulator.environment)
    with pytest.raises(ConfigurationError, match="needs an environment with a response_key"):
        verify_signed(body, headers, Environment("mine", "https://api.example/v2"))
