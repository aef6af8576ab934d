"""A renewal that could come later concerns nobody: whatever it fails of, requests go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth import (
    Ed25519Signer,
    MemoryStore,
    SignerError,
    TokenRefusedError,
)
from httpx_cobo_auth.events import RenewalFailed
from tests.family import CoboOAuth, httpx
from tests.flow.rig import Rig
from tests.held import until

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock
    from tests.conftest import MakesAuth

WAYS = pytest.mark.parametrize("way", ["auth.client()", "auth="])


class Service:
    """A key service that signs requests with a token, and fails at the token endpoint's."""

    def __init__(self, secret: str) -> None:
        self._signer = Ed25519Signer(secret)
        self.public_key = self._signer.public_key
        self.down = False
        self.asked = 0

    def sign(self, digest: bytes) -> bytes:
        self.asked += 1
        # Of an early attempt by ``auth=`` the first signature is the exchange's.
        if self.down and self.asked == 1:
            message = "the key service is down"
            raise OSError(message)
        return self._signer.sign(digest)


def client_of(auth: CoboOAuth, way: str, simulator: CoboSimulator) -> httpx.Client:
    if way == "auth=":
        base_url = auth.environment.base_url
        return httpx.Client(auth=auth, base_url=base_url, transport=simulator)
    return auth.client(transport=simulator)


@pytest.mark.hazard(53)
def test_a_signer_that_fails_early_fails_no_request(
    simulator: CoboSimulator, clock: ManualClock
) -> None:
    """By ``auth=``, where the exchange travels in the request's own flow; no note is left."""
    service, told = Service(simulator.app_secret), list[Any]()
    store = MemoryStore()
    given: dict[str, Any] = {**simulator.credentials, "app_secret": service}
    auth = CoboOAuth(**given, store=store, on_event=told.append)
    with client_of(auth, "auth=", simulator) as client:
        client.get("/wallets").raise_for_status()
        clock.advance(simulator.token_lifetime - 600)
        service.down, service.asked = True, 0
        assert client.get("/wallets").status_code == 200
        [failed] = [event for event in told if isinstance(event, RenewalFailed)]
        assert isinstance(failed.error, SignerError)
        [record] = store._records.value.values()
        assert record.pending is None
        clock.advance(31)
        assert client.get("/wallets").status_code == 200
    assert simulator.counters.refreshes == 1
    assert simulator.counters.spent_refresh_reused == 0


@pytest.mark.hazard(53)
@WAYS
@pytest.mark.parametrize("broken", ["load", "save", "try_lock"])
def test_a_store_that_fails_early_fails_no_request(way: str, broken: str) -> None:
    """It is told, and the token is used on."""
    rig = Rig(plain=way == "auth=")
    rig.send()
    rig.grow_stale()
    rig.store.broken.add(broken)
    for method in ("GET", "POST"):
        assert rig.send(method, "/echo").status_code == 200
    assert rig.simulator.counters.bounced_writes == 0


@pytest.mark.hazard(44)
@WAYS
@pytest.mark.parametrize("state", ["STALE", "EXPIRED"])
@pytest.mark.parametrize(
    "error",
    [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError],
)
def test_an_error_of_a_hooks_own_says_nothing_of_the_exchange(
    way: str,
    state: str,
    error: type[httpx.TransportError],
    simulator: CoboSimulator,
    make_auth: MakesAuth,
    clock: ManualClock,
) -> None:
    """It met the reply: the refresh token is spent, and never sent again."""
    auth = make_auth(simulator)
    with client_of(auth, way, simulator) as client:
        client.get("/wallets").raise_for_status()
        clock.advance(simulator.token_lifetime - (600 if state == "STALE" else 0))
        raised: list[str] = []

        def hook(response: httpx.Response) -> None:
            if "/oauth/token" in response.request.url.path and not raised:
                raised.append(response.request.method)
                message = "of the hook's own"
                raise error(message)

        client.event_hooks = {"response": [hook]}
        statuses: list[object] = []
        for _ in range(3):
            try:
                statuses.append(client.get("/wallets").status_code)
            except error:
                statuses.append("of the hook's own")
            until(lambda: raised == ["POST"])
            clock.advance(31)
    assert statuses[1:] == [200, 200]
    assert simulator.counters.spent_refresh_reused == 0


# ------------------------------------------------------------------- an explicit renewal asks
@pytest.mark.hazard(75)
def test_after_an_installation_renew_asks_although_a_refusal_is_remembered() -> None:
    """The remembered one says for how long; what is asked for explicitly is asked for."""
    rig = Rig()
    rig.simulator.uninstall()
    with pytest.raises(TokenRefusedError):
        rig.send()
    with pytest.raises(TokenRefusedError) as refused:
        rig.send()
    assert refused.value.retry_after is not None
    asked = rig.simulator.counters.exchanges
    rig.simulator.install()
    assert rig.auth.renew(rig.client).access_token
    assert rig.simulator.counters.exchanges == asked + 1
    assert rig.send().status_code == 200


# --------------------------------------------------------------------- what the exchange says
@pytest.mark.hazard(79)
@WAYS
@pytest.mark.parametrize("given", ["my-app/1.0", None], ids=["of the client", "none"])
def test_the_exchange_carries_the_clients_user_agent(
    way: str, given: str | None, simulator: CoboSimulator, make_auth: MakesAuth, clock: ManualClock
) -> None:
    """A common rule of gateways refuses requests without; where the client has none, ours."""
    auth = make_auth(simulator)
    with client_of(auth, way, simulator) as client:
        if given is None:
            del client.headers["User-Agent"]
        else:
            client.headers["User-Agent"] = given
        client.get("/wallets").raise_for_status()
        clock.advance(simulator.token_lifetime)
        client.get("/wallets").raise_for_status()
    exchanges = [entry for entry in simulator.log if b"/oauth/token" in entry.target]
    assert [entry.method for entry in exchanges] == ["GET", "POST"]
    for entry in exchanges:
        agent = {name.lower(): value for name, value in entry.headers}[b"user-agent"].decode()
        assert agent == given or (given is None and agent.startswith("httpx-cobo-auth"))


@pytest.mark.hazard(87)
@WAYS
def test_a_head_that_is_refused_without_a_body_is_renewed_for(way: str) -> None:
    """Its 500 cannot say 1000: it counts as if it did."""
    rig = Rig(plain=way == "auth=")
    rig.send()
    rig.simulator.revoke_tokens()
    assert rig.send("HEAD", "/echo").status_code == 200
    assert rig.simulator.counters.exchanges == 2


@pytest.mark.hazard(68)
@WAYS
def test_a_remembered_failure_keeps_no_request_alive(
    way: str, simulator: CoboSimulator, make_auth: MakesAuth
) -> None:
    """It is a copy without traceback, whose frames would hold bodies of megabytes."""
    auth = make_auth(simulator)
    simulator.uninstall()
    with client_of(auth, way, simulator) as client:
        for _ in range(2):
            with pytest.raises(TokenRefusedError):
                client.get("/wallets")
    remembered = auth._session.account.known.failure
    assert remembered is not None
    assert remembered.__traceback__ is None
    assert remembered.__context__ is None
