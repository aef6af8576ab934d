"""SECP256K1 keys: signed as the official SDK signs, and told apart from Ed25519 ones."""

# ruff: noqa: ANN401 - arguments of wrong types are tested; the SDK is untyped

from __future__ import annotations

import copy
import importlib
import pickle
import subprocess
import sys
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from httpx_cobo_auth import ConfigurationError, Ed25519Signer, Secp256k1Signer, Signer
from httpx_cobo_auth._protocol.secp256k1 import _GROUP_ORDER
from httpx_cobo_auth._protocol.signing import signer_from
from tests.family import CoboAuth, httpx
from tests.fuzzing import fuzz

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"
BASE = "https://api.dev.cobo.com/v2"
sdk_signer: Any = importlib.import_module("cobo_waas2.crypto.local_secp256k1_signer")
sdk_helper: Any = importlib.import_module("cobo_waas2.crypto.signing_helper")
secrets = st.integers(1, _GROUP_ORDER - 1).map(lambda number: f"{number:064x}")


@fuzz(50)
@given(secret=secrets, message=st.binary(max_size=100))
def test_keys_and_signatures_are_the_sdks(secret: str, message: bytes) -> None:
    """The same public key; each verifies what the other signs; DER, with the lower s."""
    ours, theirs = Secp256k1Signer(secret), sdk_signer.LocalSecp256k1Signer(secret)
    digest = sha256(sha256(message).digest()).digest()
    assert ours.public_key == theirs.get_public_key()
    assert len(ours.public_key) == 66
    signature = ours.sign(digest)
    assert theirs.verify(signature.hex(), digest)
    assert not theirs.verify(signature.hex(), sha256(digest).digest())
    assert len(signature) <= 72
    for one in (signature, bytes.fromhex(theirs.sign(digest))):
        _, s = decode_dss_signature(one)
        assert s <= _GROUP_ORDER // 2


@fuzz(50)
@given(body=st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(str.encode))
def test_a_request_is_signed_over_the_sdks_text(body: bytes) -> None:
    """Through ``CoboAuth``: the same three headers, and the SDK verifies the signature."""
    auth = CoboAuth(api_secret=Secp256k1Signer(SECRET), environment="dev")
    flow = auth.sync_auth_flow(httpx.Request("POST", f"{BASE}/x?a=b%20c", content=body))
    headers = next(flow).headers
    flow.close()
    theirs = sdk_signer.LocalSecp256k1Signer(SECRET)
    digest = sdk_helper.SignHelper._build_unsigned_digest(
        "POST", "/v2/x", headers["Biz-Api-Nonce"], {"a": "b c"}, body
    )
    assert headers["Biz-Api-Key"] == theirs.get_public_key()
    assert theirs.verify(headers["Biz-Api-Signature"], digest)


def test_the_two_kinds_look_alike() -> None:
    """One secret, two valid public keys: only their lengths tell the kinds apart."""
    signer = Secp256k1Signer(SECRET)
    assert isinstance(signer, Signer)
    assert signer_from(signer) is signer
    assert len(Ed25519Signer(SECRET).public_key) == 64
    assert Secp256k1Signer(SECRET.upper()).public_key == signer.public_key
    assert signer.public_key[:2] in {"02", "03"}


@pytest.mark.parametrize(
    "bad",
    [
        *("", SECRET[:-1], f"{SECRET}\n", f"0x{SECRET}", "0" * 64, f"{_GROUP_ORDER:064x}"),
        *("f" * 64, bytes.fromhex(SECRET), int(SECRET, 16), None),
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(bad: Any) -> None:
    """64 hex digits, from 1 to below the order of the group."""
    with pytest.raises(ConfigurationError, match="SECP256K1 private key of 64 hex") as refused:
        Secp256k1Signer(bad)
    assert SECRET[:24] not in f"{refused.value!r}"
    frame: Any = refused.value.__traceback__
    while frame := frame.tb_next:
        assert SECRET[:24] not in repr(frame.tb_frame.f_locals)


def test_a_signer_shows_its_public_key_only() -> None:
    """Hazard 37: in repr; it has no vars."""
    signer = Secp256k1Signer(SECRET)
    assert repr(signer) == f"Secp256k1Signer(public_key='{signer.public_key}')"
    assert not hasattr(signer, "__dict__")


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_signer_is_not_duplicated(duplicate: Callable[[object], object]) -> None:
    """Hazard 37: a copy would hold the secret in the clear."""
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        duplicate(Secp256k1Signer(SECRET))


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where such a signer is made; the secret is not in the traceback."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ec", None)
    with pytest.raises(ConfigurationError, match=r"httpx-cobo-auth\[secp256k1\]") as refused:
        Secp256k1Signer(SECRET)
    frame: Any = refused.value.__traceback__
    while frame := frame.tb_next:
        assert SECRET not in repr(frame.tb_frame.f_locals)


def test_importing_the_package_does_not_import_cryptography() -> None:
    """It is an extra, and takes longer to import than all the rest."""
    code = "import sys, httpx_cobo_auth; sys.exit('cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
