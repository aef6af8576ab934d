"""How far an exchange has got: "not sent" is believed of its own request only."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from httpx_cobo_auth._runtime.exchange_watch import ExchangeWatch
from tests.family import httpx

REQUEST = httpx.Request("POST", "https://cobo.test/v2/oauth/token")
SENT = [
    "connection.connect_tcp.started",
    "connection.connect_tcp.complete",
    "http11.send_request_headers.started",
]


def watching(events: list[str], **info: Any) -> ExchangeWatch:  # noqa: ANN401 - httpcore's own
    watch = ExchangeWatch()
    for event in events:
        watch.trace(event, {"request": SimpleNamespace(method=b"POST"), **info})
    return watch


def raised(error: httpx.TransportError, request: httpx.Request = REQUEST) -> Exception:
    error._request = request  # as httpx does
    return error


@pytest.mark.parametrize("seen", range(3))
@pytest.mark.parametrize(
    "kind", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError]
)
def test_what_fails_before_the_request_leaves_was_not_sent(
    kind: type[httpx.TransportError], seen: int
) -> None:
    """From the first line of the request on, nothing is certain any more."""
    watch = watching(SENT[:seen])
    assert watch.certainly_unsent(raised(kind("no")), REQUEST, httpx)
    watch = watching(SENT)
    assert not watch.certainly_unsent(raised(kind("no")), REQUEST, httpx)


def test_an_error_of_another_request_says_nothing() -> None:
    """A hook of the client may have made one, and let its error out."""
    other = httpx.Request("GET", "https://elsewhere.test/")
    for error in (raised(httpx.ConnectError("no"), other), httpx.ConnectError("no")):
        assert not ExchangeWatch().certainly_unsent(error, REQUEST, httpx)


def test_a_limit_of_ours_is_over_before_the_request_left_only_if_httpcore_was_seen_at_it() -> None:
    """A transport of one's own reports nothing: it may have sent anything."""
    assert not ExchangeWatch().certainly_unsent(TimeoutError(), REQUEST, httpx)
    assert watching(SENT[:1]).certainly_unsent(TimeoutError(), REQUEST, httpx)
    assert not watching(SENT).certainly_unsent(TimeoutError(), REQUEST, httpx)


def test_what_is_said_to_a_proxy_carries_nothing_of_ours() -> None:
    """CONNECT goes first, through the same pool; the exchange itself only afterwards."""
    connect = SimpleNamespace(method=b"CONNECT")
    watch = watching(["http11.send_request_headers.started"], request=connect)
    assert not watch.sending
    assert watch.certainly_unsent(raised(httpx.ProxyError("407")), REQUEST, httpx)


def test_it_is_on_its_way_until_its_answer_begins() -> None:
    """Meanwhile no hook of the client runs."""
    assert not watching(SENT[:2]).on_its_way
    assert watching(SENT).on_its_way
    assert not watching([*SENT, "http11.receive_response_headers.complete"]).on_its_way
