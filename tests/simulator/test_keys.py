"""Both kinds of keys are accepted, and the queries that the official SDKs send."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import Secp256k1Signer
from tests.family import CoboAuth, httpx
from tests.simulated import OTHER_ORG, UNREACHABLE, App

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator

SECRET = "22" * 32


def test_a_secp256k1_key_is_accepted(simulator: CoboSimulator) -> None:
    """Signed for by its compressed point, in any spelling; its organization is the key's."""
    signer = Secp256k1Signer(SECRET)
    simulator.add_org(OTHER_ORG)
    simulator.add_api_key(signer.public_key.upper(), OTHER_ORG)
    auth = CoboAuth(api_secret=signer, environment=simulator.environment, clock=simulator.clock)
    with httpx.Client(transport=simulator, auth=auth) as client:
        response = client.post(f"{UNREACHABLE}/v2/echo?a=1", json={"b": 2})
    assert (response.status_code, response.json()["org_id"]) == (200, OTHER_ORG)


@pytest.mark.parametrize("signature", ["00", "30060201010201ff", "11" * 64], ids=str)
def test_a_bad_ecdsa_signature_is_refused(simulator: CoboSimulator, signature: str) -> None:
    """One that is no DER, and one that does not fit."""
    key = Secp256k1Signer(SECRET).public_key
    simulator.add_api_key(key)
    nonce = str(int(simulator.clock.time() * 1000))
    headers = {"Biz-Api-Key": key, "Biz-Api-Nonce": nonce, "Biz-Api-Signature": signature}
    with httpx.Client(transport=simulator) as client:
        response = client.get(f"{UNREACHABLE}/v2/echo", headers=headers)
    assert (response.status_code, response.json()["error_code"]) == (401, 2024)
    assert simulator.counters.bad_signatures == 1


@pytest.mark.parametrize("key", ["", "xy", "11" * 31, "05" + "11" * 32, "02" + "ff" * 32], ids=str)
def test_what_is_no_key_is_told_at_once(simulator: CoboSimulator, key: str) -> None:
    """Wrong digits, a wrong length, a point that is not on the curve."""
    with pytest.raises(ValueError, match="64 hex digits"):
        simulator.add_api_key(key)


def test_secp256k1_needs_cryptography(
    simulator: CoboSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is an extra; the error says how to get it."""
    key = Secp256k1Signer(SECRET).public_key
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ValueError, match=r"pip install 'httpx-cobo-auth\[secp256k1\]'"):
        simulator.add_api_key(key)


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        ("ids=BTC%2CETH", "ids=BTC,ETH"),
        ("name=a+b", "name=a%20b"),
        ("name=a%2Bb", "name=a%2bb"),
        ("a=1", "a=1&blank="),
    ],
)
def test_a_query_may_be_signed_as_encoded_anew(
    app: App, bearer: str, signed: str, sent: str
) -> None:
    """Several of Cobo's SDKs sign the encoded form and send another; it is counted."""
    headers = app.headers("GET", f"/v2/echo?{signed}", bearer=bearer)
    with httpx.Client(transport=app.simulator) as client:
        response = client.get(f"{UNREACHABLE}/v2/echo?{sent}", headers=headers)
    assert (response.status_code, response.json()["query"]) == (200, sent)
    assert app.simulator.counters.queries_reencoded == 1
    assert app.simulator.counters.bad_signatures == 0
