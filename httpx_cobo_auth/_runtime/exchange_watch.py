"""How far a request to the token endpoint has got.

A refresh token that certainly was not sent is as good as before. "Not sent" is believed only of
the exchange's own request, by what httpcore reports of it (extension ``trace``) and by an error
of its transport; whatever a hook of the client raises says nothing about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["ExchangeWatch"]

_UNSENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError")


class ExchangeWatch:
    """Follows one request.

    Attributes:
        sending: whether any of it may have left.
        answered: whether an answer has begun to come in.

    """

    __slots__ = ("_connecting", "answered", "sending")

    def __init__(self) -> None:
        self._connecting = False
        self.sending = False
        self.answered = False

    @property
    def on_its_way(self) -> bool:
        """Whether it has left and is not answered: no hook of the client runs meanwhile."""
        return self.sending and not self.answered

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Take note of an event of httpcore, of a sync client."""
        asked = info.get("request")
        if getattr(asked, "method", b"") == b"CONNECT":
            return  # To a proxy; it carries nothing of ours.
        if event.endswith("send_request_headers.started"):
            self.sending = True
        elif event.endswith("receive_response_headers.complete"):
            self.answered = True
        elif event.startswith("connection."):
            self._connecting = True

    async def atrace(self, event: str, info: dict[str, Any]) -> None:
        """Take note of an event of httpcore, of an async client."""
        self.trace(event, info)

    def tracer(self, *, is_async: bool) -> Any:  # noqa: ANN401 - one of two signatures
        """Return the request's extension ``trace``."""
        return self.atrace if is_async else self.trace

    def certainly_unsent(self, error: Exception, request: httpx.Request, family: Any) -> bool:  # noqa: ANN401
        """Whether that error, raised where the request was to be sent, shows that it was not."""
        if self.sending or self.answered:
            return False
        if isinstance(error, TimeoutError):
            # Ours. Where httpcore was seen connecting, it has not gone beyond that.
            return self._connecting
        own = getattr(error, "_request", None) is request
        return own and isinstance(error, tuple(getattr(family, name) for name in _UNSENT))
