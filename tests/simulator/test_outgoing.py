"""What Cobo sends to an app, or lets its page have: webhooks, callbacks, User Info Tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import cobo_waas2
import jwt
import pytest

from httpx_cobo_auth import ResponseSignatureError
from httpx_cobo_auth.callback import verify_signed
from httpx_cobo_auth.testing import CoboSimulator, SignedMessage
from tests.family import httpx

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import ManualClock
    from tests.simulated import App

waas: Any = cobo_waas2
SPELLINGS = [("Biz-Timestamp", "Biz-Resp-Signature"), ("BIZ_TIMESTAMP", "BIZ_RESP_SIGNATURE")]


@pytest.mark.parametrize("names", SPELLINGS, ids="|".join)
def test_a_webhook_is_signed_in_both_spellings(
    simulator: CoboSimulator, clock: ManualClock, names: tuple[str, str]
) -> None:
    """Each is enough by itself; the time is the simulator's."""
    body, headers = simulator.webhook({"type": "wallets.transaction.succeeded"})
    assert json.loads(body) == {"type": "wallets.transaction.succeeded"}
    assert headers["Content-Type"] == "application/json"
    kept = {name: headers[name] for name in names}
    signed_at = verify_signed(body, kept, simulator.environment, max_age=1, clock=clock)
    assert signed_at == pytest.approx(clock.time(), abs=0.001)


@pytest.mark.parametrize(
    ("setting", "names"), [("hyphenated", SPELLINGS[0]), ("underscored", SPELLINGS[1])]
)
def test_one_spelling_can_be_had_alone(
    simulator: CoboSimulator,
    setting: Literal["hyphenated", "underscored"],
    names: tuple[str, str],
) -> None:
    """On webhooks and answers alike, so that a reader of either can be tested."""
    simulator.signature_headers = setting
    assert {*simulator.webhook({}).headers} == {"Content-Type", *names}
    with httpx.Client(transport=simulator) as client:
        headers = client.get("https://cobo.test/v2/wallets").headers
    assert {name for name in headers if name.startswith("biz")} == {n.lower() for n in names}


@pytest.mark.parametrize(
    ("event", "body"), [(b"\xff\x00", b"\xff\x00"), ("é", "é".encode()), ([1], b"[1]"), ("", b"")]
)
def test_a_message_may_be_anything(simulator: CoboSimulator, event: object, body: bytes) -> None:
    """Bytes go as they are, text in UTF-8, and the rest as JSON."""
    message = simulator.webhook(event)
    assert isinstance(message, SignedMessage)
    assert message.body == body
    verify_signed(*message, simulator.environment)


def test_a_webhook_can_be_forged(simulator: CoboSimulator) -> None:
    """So that an app can be seen to refuse it; nor does another simulator's key fit."""
    with pytest.raises(ResponseSignatureError, match="forged"):
        verify_signed(*simulator.webhook({}, tamper=True), simulator.environment)
    with pytest.raises(ResponseSignatureError, match="forged"):
        verify_signed(*CoboSimulator().webhook({}), simulator.environment)


def test_a_webhook_can_be_old(simulator: CoboSimulator, clock: ManualClock) -> None:
    """As one that somebody sends again."""
    message = simulator.webhook({}, age_s=301)
    verify_signed(*message, simulator.environment, max_age=302, clock=clock)
    with pytest.raises(ResponseSignatureError, match="300 s ago"):
        verify_signed(*message, simulator.environment, max_age=300, clock=clock)


def test_by_default_it_tells_of_the_latest_transaction(app: App, bearer: str) -> None:
    """In the shape that the official SDK reads; of one made up, before there is any."""
    before = waas.WebhookEvent.from_json(app.simulator.webhook(url="https://app.test/x").body)
    assert (before.url, before.type) == ("https://app.test/x", "wallets.transaction.created")
    assert app.send("GET", "/v2/transactions", bearer=bearer).json()["data"] == []
    for request_id in ("first", "second"):
        app.send("POST", "/v2/transactions/transfer", {"request_id": request_id}, bearer=bearer)
    after = waas.WebhookEvent.from_json(app.simulator.webhook().body)
    assert after.data.actual_instance.request_id == "second"
    assert after.event_id != before.event_id


@pytest.mark.parametrize("prefix", ["/v2", "/web/v2"])
def test_a_user_info_token_is_verified_by_the_published_keys(
    simulator: CoboSimulator, prefix: str
) -> None:
    """By PyJWT, which reads the algorithm off the key; the keys are for anybody."""
    token = simulator.user_info_token(sub="user-1", nickname="Ann")
    with httpx.Client(transport=simulator) as client:
        keys = client.get(f"https://cobo.test{prefix}/oauth/authorize/jwks.json").json()
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token,
        key,
        algorithms=[jwt.get_unverified_header(token)["alg"]],
        audience=simulator.client_id,
        issuer="https://portal.dev.cobo.com/",
        options={"verify_exp": False, "verify_iat": False},  # on the simulator's clock, below
    )
    now = int(simulator.clock.time())
    assert (claims["sub"], claims["nickname"], claims["org_id"]) == (
        "user-1",
        "Ann",
        simulator.org_id,
    )
    assert (claims["iat"], claims["exp"]) == (now, now + 300)
    assert (simulator.counters.requests, simulator.log) == (0, [])


def test_nothing_else_is_for_anybody(simulator: CoboSimulator) -> None:
    """A POST to the same path is a request like any other."""
    with httpx.Client(transport=simulator) as client:
        response = client.post("https://cobo.test/v2/oauth/authorize/jwks.json")
    assert (response.status_code, response.json()["error_code"]) == (401, 2024)


def test_a_user_info_token_can_be_bad(simulator: CoboSimulator) -> None:
    """Its claims are for the test to choose, so that an app can be seen to refuse it."""
    token = simulator.user_info_token(aud="another-app", exp=1)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["aud"], claims["exp"]) == ("another-app", 1)
