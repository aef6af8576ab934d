"""Cobo's signatures, on raw bytes.

Written from Cobo's documentation and kept apart from the package's own signing code, so
that each judges the other::

    digest    = SHA256(SHA256(METHOD | PATH | NONCE | QUERY | BODY))     joined by "|"
    response  = SHA256(SHA256(BODY | Biz-Timestamp))
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from httpx_cobo_auth.testing._wire import Answer, Incoming, Refusal

if TYPE_CHECKING:
    from httpx_cobo_auth.testing._records import Counters
    from httpx_cobo_auth.testing._settings import Settings

__all__ = ["Gate", "ResponseSigner"]

_MISSING_HEADER = 2022
_BAD_SIGNATURE = 2023
_NOT_ACCEPTED = 2024
_NONCES_KEPT = 100_000


class Gate:
    """Lets requests in whose key is known, whose signature fits and whose nonce is new."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        app_key = SigningKey(bytes.fromhex(settings.app_secret)).verify_key
        self.app_key = app_key.encode().hex()
        self._settings = settings
        self._counters = counters
        self._keys = {self.app_key: app_key}
        self._nonces: dict[str, set[int]] = {self.app_key: set()}

    def add_key(self, public_key: str) -> None:
        """Accept one more key, 64 hex digits."""
        self._keys[public_key] = VerifyKey(bytes.fromhex(public_key))
        self._nonces[public_key] = set()

    def admit(self, incoming: Incoming, now_s: float) -> str:
        """Give the key that signed the request.

        Raises:
            Refusal: 401, as none of what a token could cure.

        """
        key = incoming.header(b"Biz-Api-Key")
        nonce = incoming.header(b"Biz-Api-Nonce")
        signature = incoming.header(b"Biz-Api-Signature")
        if not key or not nonce or not signature:
            message = "Biz-Api-Key, Biz-Api-Nonce and Biz-Api-Signature are needed, once each"
            raise Refusal(401, _MISSING_HEADER, message)
        if key not in self._keys:
            raise Refusal(401, _NOT_ACCEPTED, "Biz-Api-Key is not known in this environment")
        text = (incoming.method.encode(), incoming.path, nonce.encode("latin-1"), incoming.query)
        try:
            digest = _double_sha256(b"|".join((*text, incoming.body)))
            self._keys[key].verify(digest, bytes.fromhex(signature))
        except (BadSignatureError, ValueError):
            self._counters.bad_signatures += 1
            raise Refusal(401, _BAD_SIGNATURE, "Biz-Api-Signature does not fit") from None
        if self._settings.check_nonce:
            self._use(nonce, key, now_s)
        return key

    def _use(self, nonce: str, key: str, now_s: float) -> None:
        window = self._settings.max_skew_s * 1000
        now = now_s * 1000
        if not (nonce.isascii() and nonce.isdigit()) or abs(int(nonce) - now) > window:
            message = "Biz-Api-Nonce: the timestamp is not within the time window (milliseconds)"
            raise Refusal(401, _NOT_ACCEPTED, message)
        if self._settings.check_nonce == "age":
            return
        used = self._nonces[key]
        if int(nonce) in used:
            self._counters.nonce_reused += 1
            raise Refusal(401, _NOT_ACCEPTED, "Biz-Api-Nonce was used before")
        used.add(int(nonce))
        if len(used) > _NONCES_KEPT:  # older ones are refused for their age
            self._nonces[key] = {number for number in used if number >= now - window}


class ResponseSigner:
    """Signs answers with a response key of its own."""

    def __init__(self) -> None:
        self._key = SigningKey.generate()

    @property
    def public_key(self) -> str:
        """The key that verifies, 64 hex digits."""
        return self._key.verify_key.encode().hex()

    def sign(self, answer: Answer, now_s: float, *, tamper: bool = False) -> Answer:
        """Add the two headers; a tampered signature is one over another body."""
        timestamp = str(int(now_s * 1000))
        body = answer.body + b" " if tamper else answer.body
        signature = self._key.sign(_double_sha256(b"|".join((body, timestamp.encode()))))
        signed = (
            ("Biz-Timestamp", timestamp),
            ("Biz-Resp-Signature", signature.signature.hex()),
        )
        return Answer(answer.status, answer.body, answer.headers + signed)


def _double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()
