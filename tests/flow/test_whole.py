"""The table of the design against a strict Cobo: whole requests, over both kinds of client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import MemoryStore
from httpx_cobo_auth._protocol.records import Record
from httpx_cobo_auth._protocol.signing import Ed25519Signer
from httpx_cobo_auth.errors import RedirectedError
from httpx_cobo_auth.testing import CoboSimulator
from tests.family import CoboAuth, CoboOAuth, httpx
from tests.flow.rig import Rig, is_clean
from tests.held import until

if TYPE_CHECKING:
    from typing import Literal

WAYS = pytest.mark.parametrize("plain", [False, True], ids=["auth.client()", "auth="])
READS = ["GET", "OPTIONS"]
WRITES = ["POST", "PUT", "PATCH", "DELETE"]


@WAYS
def test_a_fresh_token_touches_no_store(plain: bool) -> None:  # noqa: FBT001
    """Six requests, one of each method: no call of the store, no event, no exchange."""
    rig = Rig(plain=plain)
    rig.send()
    rig.store.calls.clear()
    rig.events.clear()
    for method in READS + WRITES:
        assert rig.send(method, "/echo").status_code == 200
    assert rig.store.calls == []
    assert rig.events == []
    assert rig.simulator.counters.exchanges == 1


@WAYS
def test_a_stale_token_is_renewed_by_one_exchange(plain: bool) -> None:  # noqa: FBT001
    """All methods go through it, whichever comes first, and no write is refused.

    A read that does not wait for the renewal may meet its end: that one is sent again.
    """
    rig = Rig(plain=plain)
    rig.send()
    rig.grow_stale()
    for method in READS + WRITES:
        assert rig.send(method, "/echo").status_code == 200
    assert rig.kinds() == ["TokenAcquired", "TokenRenewed"]
    assert rig.simulator.counters.bounced_writes == 0
    assert rig.simulator.counters.rejected <= 1 - plain


@pytest.mark.hazard(32)
@WAYS
@pytest.mark.parametrize("status", [401, 500])
@pytest.mark.parametrize("method", READS)
def test_a_read_outlives_a_token_that_dies_before_its_time(
    plain: bool,  # noqa: FBT001
    status: Literal[401, 500],
    method: str,
) -> None:
    """One refusal, one exchange, one replay, whether Cobo says 401 or 500."""
    rig = Rig(plain=plain, expired_status=status)
    rig.send()
    rig.simulator.revoke_tokens()
    assert rig.send(method, "/echo").status_code == 200
    assert rig.simulator.counters.exchanges == 2
    assert rig.simulator.counters.rejected == 1
    # The refusal shows, the exchange does not.
    assert [earlier.status_code for earlier in rig.responses[-1].history] == [status]


@pytest.mark.hazard(33)
@WAYS
@pytest.mark.parametrize("method", WRITES)
def test_a_write_refused_by_401_is_replayed_and_runs_once(plain: bool, method: str) -> None:  # noqa: FBT001
    """With its body: it was refused before it ran."""
    rig = Rig(plain=plain, expired_status=401)
    rig.send()
    rig.simulator.revoke_tokens()
    assert rig.send(method, "/echo", content=b"x").status_code == 200
    assert rig.simulator.counters.executed_writes == 1


@WAYS
@pytest.mark.parametrize("body", ["not JSON", "[]", "", '{"error_code": "2021"}'])
def test_a_401_need_not_be_json(plain: bool, body: str) -> None:  # noqa: FBT001
    """Text, a list, nothing, a code of the wrong type: renewed and replayed by status alone."""
    rig = Rig(plain=plain)
    rig.send()
    rig.simulator.inject("api", status=401, body=body, signed=False)
    assert rig.send("POST", "/echo").status_code == 200
    assert rig.simulator.counters.executed_writes == 1


@WAYS
@pytest.mark.parametrize("method", WRITES)
def test_a_write_answered_by_500_1000_is_handed_back_and_the_next_flow_renews(
    plain: bool,  # noqa: FBT001
    method: str,
) -> None:
    """It may have run: no exchange, no replay; the next write renews first, and runs once."""
    rig = Rig(plain=plain)
    rig.send()
    rig.simulator.revoke_tokens()
    assert rig.send(method, "/echo").status_code == 500
    assert rig.simulator.counters.exchanges == 1
    assert rig.simulator.counters.executed_writes == 0
    assert rig.send(method, "/echo").status_code == 200
    assert rig.simulator.counters.executed_writes == 1
    assert rig.simulator.counters.exchanges == 2


@pytest.mark.hazard(33)
@WAYS
def test_a_write_that_may_have_run_is_not_replayed(plain: bool) -> None:  # noqa: FBT001
    """It ran, and then something broke: the very answer that a dead token gets."""
    rig = Rig(plain=plain)
    rig.send()
    broken = {"error_code": 1000, "error_message": "x", "error_id": "y"}
    rig.simulator.inject("api", "delay", delay_s=0, status=500, body=broken)
    transfer = {"request_id": "1"}
    assert rig.send("POST", "/transactions/transfer", json=transfer).status_code == 500
    assert rig.simulator.counters.executed_writes == 1
    assert rig.send("GET", "/transactions").json()["pagination"]["total_count"] == 1


@WAYS
@pytest.mark.parametrize("how", ["object", "request"])
def test_a_caller_may_opt_in_to_replay(plain: bool, how: str) -> None:  # noqa: FBT001
    """For the object, or for one request; ``request_id`` makes it safe for transfers."""
    rig = Rig(plain=plain)
    rig.send()
    rig.simulator.revoke_tokens()
    simulator = rig.simulator
    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        clock=rig.clock,
        replay_writes=how == "object",
    )
    client = (
        httpx.Client(auth=auth, base_url=simulator.environment.base_url, transport=simulator)
        if plain
        else auth.client(transport=simulator)
    )
    client.get("/wallets")
    simulator.revoke_tokens()
    extensions = {"cobo_replay": True} if how == "request" else {}
    response = client.post("/echo", extensions=extensions)
    assert response.status_code == 200
    assert is_clean(response)
    assert simulator.counters.executed_writes == 1


@pytest.mark.hazard(33)
@WAYS
@pytest.mark.parametrize("value", [False, None, 1, "yes"])
def test_nothing_but_true_opts_in(plain: bool, value: object) -> None:  # noqa: FBT001
    """``1`` and ``"yes"`` may be an accident: only ``True`` has a write repeated after a 500."""
    rig = Rig(plain=plain)
    rig.send()
    rig.simulator.revoke_tokens()
    assert rig.send("POST", "/echo", extensions={"cobo_replay": value}).status_code == 500


@WAYS
@pytest.mark.parametrize("code", [2025, 4001])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_missing_permission_is_looked_up_in_the_store(
    plain: bool,  # noqa: FBT001
    code: int,
    method: str,
) -> None:
    """Another process renewed after the permission changed."""
    rig = Rig(plain=plain)
    rig.send()
    rig.simulator.inject("api", status=403, error_code=code, times=2)
    assert rig.send(method, "/echo").status_code == 403
    assert rig.send(method, "/echo").status_code == 403
    rig.clock.advance(5)
    newer = rig.renewed_elsewhere()
    rig.simulator.inject("api", status=403, error_code=code)
    assert rig.send(method, "/echo").status_code == 200
    assert rig.bearers()[-1] == newer.access_token
    assert rig.simulator.counters.exchanges == 1
    assert rig.kinds() == ["TokenAcquired", "TokenTakenOver"]


@WAYS
def test_a_token_superseded_while_a_request_was_under_way_needs_no_renewal(
    plain: bool,  # noqa: FBT001
) -> None:
    """Another flow of the same account renewed; its exchange killed the token in flight."""
    rig = Rig(plain=plain)
    rig.send()
    rig.simulator.revoke_tokens()
    entered = False

    def renew_meanwhile(request: httpx.Request) -> None:
        nonlocal entered
        if not entered:
            entered = True
            with rig.auth.client(transport=rig.simulator) as other:
                rig.auth.renew(other)
        assert request.url.path != "/v2/oauth/token" or entered

    rig.client.event_hooks = {"request": [renew_meanwhile]}
    assert rig.send().status_code == 200
    assert rig.simulator.counters.exchanges == 2


@pytest.mark.hazard(40)
@WAYS
def test_the_refusal_is_handed_over_as_it_came(plain: bool) -> None:  # noqa: FBT001
    """Its body can still be read."""
    rig = Rig(plain=plain)
    rig.simulator.inject("api", status=401, error_code=2024, times=None)
    response = rig.send()
    assert response.json()["error_code"] == 2024
    assert response.request.headers["Authorization"].startswith("Bearer ")


@WAYS
def test_what_a_flow_left_when_its_transport_broke_is_found_by_the_next(
    plain: bool,  # noqa: FBT001
) -> None:
    """The caller's own request breaks, not the exchange: nothing is in doubt."""
    rig = Rig(plain=plain)
    rig.simulator.inject("api", "drop")
    with pytest.raises(httpx.ReadError):
        rig.send("POST", "/echo")
    assert rig.send("POST", "/echo").status_code == 200
    assert rig.simulator.counters.exchanges == 1


def test_a_token_that_a_redirect_took_elsewhere_is_renewed_before_it_is_used_again() -> None:
    """A hand-made client that follows redirects notices it afterwards."""
    rig = Rig(plain=True)
    rig.send()
    exposed = rig.bearers()[-1]
    rig.client.follow_redirects = True
    rig.simulator.inject("api", "redirect", url="https://cobo.test:8443/v2/echo")
    with pytest.raises(RedirectedError, match="exposed"):
        rig.send()
    assert rig.send().status_code == 200
    assert rig.bearers()[-1] != exposed
    assert rig.simulator.counters.exchanges == 2


def test_without_a_token_there_is_none_to_renew_after_a_redirect() -> None:
    """Cobo Auth: what went elsewhere is one signature."""
    simulator = CoboSimulator()
    auth = CoboAuth(api_secret="11" * 32, environment=simulator.environment)
    simulator.add_api_key(Ed25519Signer("11" * 32).public_key)
    simulator.inject("api", "redirect", url="https://cobo.test:8443/v2/echo")
    base_url = simulator.environment.base_url
    with httpx.Client(transport=simulator, base_url=base_url, follow_redirects=True) as client:
        with pytest.raises(RedirectedError):
            client.get("/wallets", auth=auth)
        assert client.get("/wallets", auth=auth).status_code == 200


@pytest.mark.hazard(51)
@WAYS
def test_a_stale_token_found_in_the_store_is_renewed_early(plain: bool) -> None:  # noqa: FBT001
    """By a program that has just begun, as by one that goes on; and once, however many begin."""
    runs = [Rig(plain=plain)]
    runs[0].send()
    runs[0].grow_stale()
    for _ in range(3):
        run = Rig(plain=plain, simulator=runs[0].simulator, clock=runs[0].clock)
        MemoryStore.save(run.store, run.key, runs[-1].stored, expected=Record().version)
        assert run.send().status_code == 200
        runs.append(run)
    assert runs[0].simulator.counters.refreshes == 1
    assert runs[0].simulator.counters.exchanges == 2


class KeyService:
    """Signs, unless it is being restarted."""

    def __init__(self, secret: str) -> None:
        self._key = Ed25519Signer(secret)
        self.public_key = self._key.public_key
        self.is_up = True

    def sign(self, digest: bytes) -> bytes:
        """Sign, or fail."""
        if not self.is_up:
            message = "the key service is being restarted"
            raise RuntimeError(message)
        return self._key.sign(digest)


@pytest.mark.hazard(53)
@WAYS
def test_a_signer_that_fails_early_costs_neither_a_call_nor_the_refresh_token(
    plain: bool,  # noqa: FBT001
) -> None:
    """The current token goes on, and no pending exchange is left: nothing was sent."""
    rig = Rig(plain=plain)
    signer = KeyService(rig.simulator.app_secret)
    auth = CoboOAuth(
        client_id=rig.simulator.client_id,
        app_secret=signer,
        org_id=rig.simulator.org_id,
        environment=rig.simulator.environment,
        store=rig.store,
        clock=rig.clock,
    )
    with (
        auth.client(transport=rig.wire)
        if not plain
        else httpx.Client(
            auth=auth, base_url=auth.environment.base_url, transport=rig.wire
        ) as client
    ):
        first = auth.token(client)
        rig.grow_stale()
        signer.is_up = False
        assert auth.token(client) == first
        # The attempt runs on its own.
        until(lambda: rig.stored.attempts.failures == 1 and rig.stored.pending is None)
    signer.is_up = True
    rig.clock.advance(60)
    rig.send()
    assert rig.simulator.counters.refreshes == 1
    assert rig.simulator.counters.implicits == 1


@pytest.mark.hazard(87)
@WAYS
def test_a_head_outlives_a_dead_token_that_its_answer_cannot_name(
    plain: bool,  # noqa: FBT001
) -> None:
    """A 500 to HEAD has no body, and so no code: it is renewed for, as for 500/1000."""
    rig = Rig(plain=plain)
    rig.send()
    rig.simulator.revoke_tokens()
    assert rig.send("HEAD", "/echo").status_code == 200
    assert rig.simulator.counters.exchanges == 2


@pytest.mark.hazard(87)
@WAYS
def test_a_head_that_always_fails_is_seldom_renewed_for(plain: bool) -> None:  # noqa: FBT001
    """Ten faults of the server that look alike: the first renewal did not help."""
    rig = Rig(plain=plain)
    rig.send()
    with rig.simulator.inject("api", status=500, times=None, method="HEAD"):
        for _ in range(10):
            assert rig.send("HEAD", "/echo").status_code == 500
    assert rig.simulator.counters.exchanges <= 3
