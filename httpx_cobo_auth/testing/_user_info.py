"""User Info Tokens: who is using the app's iframe.

As the documentation describes them: a JWT that the page gets from Cobo's UI toolkit, to be
verified by the keys that Cobo publishes. Which algorithm Cobo signs by is not documented ("as in
its header"); here it is EdDSA.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from nacl.signing import SigningKey

from httpx_cobo_auth.testing._wire import Answer, Incoming, json_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx_cobo_auth.testing._settings import Settings

__all__ = ["UserInfo"]

_ISSUER = "https://portal.dev.cobo.com/"
_LIFETIME_S = 5 * 60
_KEY_ID = "simulator"
_KEY_PATHS = frozenset(
    {
        b"/v2/oauth/authorize/jwks.json",  # as documented
        b"/web/v2/oauth/authorize/jwks.json",  # as in Cobo's FastAPI template
    }
)


class UserInfo:
    """Issues User Info Tokens and publishes the key that verifies them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = SigningKey.generate()

    def keys(self, incoming: Incoming) -> Answer | None:
        """Answer with the keys, to anybody; ``None`` if the request is not for them."""
        if incoming.method != "GET" or incoming.path not in _KEY_PATHS:
            return None
        key = {"kty": "OKP", "crv": "Ed25519", "x": _base64url(self._key.verify_key.encode())}
        described = {**key, "kid": _KEY_ID, "alg": "EdDSA", "use": "sig"}
        return json_answer(200, {"keys": [described]})

    def token(self, claims: Mapping[str, object]) -> str:
        """Issue a token; claims of one's own come on top of those that it always has."""
        now_s = int(self._settings.clock.time())
        header = {"alg": "EdDSA", "typ": "JWT", "kid": _KEY_ID}
        content = {
            "iss": _ISSUER,
            "aud": self._settings.client_id,
            "sub": "simulator-user",
            "email": "user@simulator.test",
            "org_id": self._settings.org_id,
            "iat": now_s,
            "exp": now_s + _LIFETIME_S,
            **claims,
        }
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, content))
        return f"{signed}.{_base64url(self._key.sign(signed.encode()).signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
