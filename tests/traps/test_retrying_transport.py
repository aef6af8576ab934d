"""A transport that retries by itself sends what was signed once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.family import httpx

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator
    from tests.conftest import MakesAuth
    from tests.traps.conftest import MakesClient

pytestmark = pytest.mark.hazard(8)


class Retrying(httpx.BaseTransport):
    """Tries again, as such transports do: after a transport error, with the same request."""

    def __init__(self, inner: httpx.BaseTransport, tries: int = 2) -> None:
        self.inner = inner
        self.tries = tries

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(self.tries - 1):
            try:
                return self.inner.handle_request(request)
            except httpx.TransportError:
                continue
        return self.inner.handle_request(request)


def nonces(simulator: CoboSimulator) -> list[bytes]:
    """The nonces that arrived, in order."""
    return [dict(entry.headers)[b"Biz-Api-Nonce"] for entry in simulator.log]


def test_every_attempt_of_ours_is_signed_anew(
    simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """Request, refusal, exchange, replay: each has a nonce of its own, higher than the last."""
    with make_client(make_auth(simulator), transport=simulator) as client:
        for _ in range(3):
            simulator.revoke_tokens()
            client.get("/wallets").raise_for_status()
    sent = nonces(simulator)
    assert len(sent) > 6
    assert sent == sorted(set(sent), key=int)


def test_what_did_not_arrive_may_be_sent_again(
    simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """A connection that was refused leaves the nonce unused."""
    with make_client(make_auth(simulator), transport=Retrying(simulator)) as client:
        simulator.inject("api", "refuse")
        client.get("/wallets").raise_for_status()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_did_arrive_is_refused_the_second_time(
    method: str, simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """Documented: the caller gets that refusal. No token cures it, so none is asked for."""
    with make_client(make_auth(simulator), transport=Retrying(simulator)) as client:
        simulator.inject("api", "drop")
        response = client.request(method, "/echo")
        assert (response.status_code, response.json()["error_code"]) == (401, 2024)
        client.request(method, "/echo").raise_for_status()
    assert simulator.counters.exchanges == 1
    assert simulator.counters.nonce_reused == 1


def test_an_exchange_that_is_sent_twice_falls_back(
    simulator: CoboSimulator, make_auth: MakesAuth, make_client: MakesClient
) -> None:
    """Its answer was lost, and the second one is a refusal: ``org_implicit`` takes its place."""
    auth = make_auth(simulator)
    with make_client(auth, transport=Retrying(simulator)) as client:
        client.get("/wallets").raise_for_status()
        simulator.inject("token", "drop")
        auth.renew(client)
        client.post("/echo").raise_for_status()
    assert simulator.counters.implicits == 2
    assert simulator.counters.nonce_reused == 1
    # Refused for its nonce, before anybody looked at the token.
    assert simulator.counters.spent_refresh_reused == 0
