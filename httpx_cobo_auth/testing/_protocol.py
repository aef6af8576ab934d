"""Cobo's signatures, on raw bytes.

Written from Cobo's documentation and kept apart from the package's own signing code, so
that each judges the other::

    digest    = SHA256(SHA256(METHOD | PATH | NONCE | QUERY | BODY))     joined by "|"
    response  = SHA256(SHA256(BODY | TIMESTAMP))

QUERY is the query as it was sent, or as it is after being decoded and encoded again: several of
Cobo's SDKs sign the latter and send another form, which Cobo accepts.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from nacl.signing import SigningKey

from httpx_cobo_auth.testing._keys import verifier_of
from httpx_cobo_auth.testing._nonces import Nonces
from httpx_cobo_auth.testing._wire import Answer, Incoming, Refusal

if TYPE_CHECKING:
    from httpx_cobo_auth.testing._keys import Verifier
    from httpx_cobo_auth.testing._records import Counters
    from httpx_cobo_auth.testing._settings import Settings

__all__ = ["Gate", "ResponseSigner"]

_NOT_ACCEPTED = 2024
"""Whatever is wrong with key, nonce or signature ("API key authentication failed")."""


class Gate:
    """Lets requests in whose key is known, whose signature fits and whose nonce is accepted."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        self.app_key = SigningKey(bytes.fromhex(settings.app_secret)).verify_key.encode().hex()
        self._counters = counters
        self._keys: dict[str, Verifier] = {}
        self._nonces = Nonces(settings, counters)
        self.add_key(self.app_key)

    def add_key(self, public_key: str) -> str:
        """Accept one more key, Ed25519 or SECP256K1, in hex; return it in the form it is known by.

        Raises:
            ValueError: it is no such key.

        """
        key = public_key.lower()
        self._keys[key] = verifier_of(key)
        return key

    def admit(self, incoming: Incoming, now_s: float) -> str:
        """Return the key that signed the request.

        Raises:
            Refusal: 401, as none of what a token could cure.

        """
        key = (incoming.header(b"Biz-Api-Key") or "").lower()
        nonce = incoming.header(b"Biz-Api-Nonce")
        signature = incoming.header(b"Biz-Api-Signature")
        if not key or not nonce or not signature:
            message = "Biz-Api-Key, Biz-Api-Nonce and Biz-Api-Signature are needed, once each"
            raise Refusal(401, _NOT_ACCEPTED, message)
        verifies = self._keys.get(key)
        if verifies is None:
            raise Refusal(401, _NOT_ACCEPTED, "Biz-Api-Key is not known in this environment")
        if not self._fits(incoming, nonce, signature, verifies):
            self._counters.bad_signatures += 1
            raise Refusal(401, _NOT_ACCEPTED, "Biz-Api-Signature does not fit")
        objection = self._nonces.objection(key, nonce, signature.lower(), now_s)
        if objection is not None:
            raise Refusal(401, _NOT_ACCEPTED, f"Biz-Api-Nonce: {objection}")
        return key

    def _fits(self, incoming: Incoming, nonce: str, signature: str, verifies: Verifier) -> bool:
        try:
            signed = bytes.fromhex(signature)
        except ValueError:
            return False
        head = (incoming.method.encode(), incoming.path, nonce.encode("latin-1"))

        def fits(query: bytes) -> bool:
            return verifies(_double_sha256(b"|".join((*head, query, incoming.body))), signed)

        if fits(incoming.query):
            return True
        if not fits(_encoded_again(incoming.query)):
            return False
        self._counters.queries_reencoded += 1
        return True


class ResponseSigner:
    """Signs answers with a response key of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = SigningKey.generate()

    @property
    def public_key(self) -> str:
        """The key that verifies, 64 hex digits."""
        return self._key.verify_key.encode().hex()

    def sign(self, answer: Answer, now_s: float, *, tamper: bool = False) -> Answer:
        """Add the signature's headers."""
        signed = self.headers(answer.body, now_s, tamper=tamper)
        return Answer(answer.status, answer.body, (*answer.headers, *signed))

    def headers(
        self, body: bytes, now_s: float, *, tamper: bool = False
    ) -> tuple[tuple[str, str], ...]:
        """Return timestamp and signature, as the settings spell them.

        A tampered signature is one over another body.
        """
        timestamp = str(int(now_s * 1000))
        text = b"|".join((body + b" " if tamper else body, timestamp.encode()))
        signature = self._key.sign(_double_sha256(text)).signature.hex()
        hyphenated = (("Biz-Timestamp", timestamp), ("Biz-Resp-Signature", signature))
        # All that Cobo's Java SDK reads, and what the documentation of webhooks names.
        underscored = (("BIZ_TIMESTAMP", timestamp), ("BIZ_RESP_SIGNATURE", signature))
        match self._settings.signature_headers:
            case "hyphenated":
                return hyphenated
            case "underscored":
                return underscored
            case _:
                return hyphenated + underscored


def _encoded_again(query: bytes) -> bytes:
    return urlencode(parse_qsl(query.decode("latin-1"))).encode()


def _double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()
