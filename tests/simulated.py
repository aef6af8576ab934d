"""A client of the simulator that shares no code with the package: one judges the other."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import TYPE_CHECKING

from nacl.signing import SigningKey

from tests.family import httpx

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator

__all__ = ["OTHER_ORG", "UNREACHABLE", "App", "double_sha256", "error_code"]

OTHER_ORG = "11111111-2222-4333-8444-555555555555"
UNREACHABLE = "https://cobo.test"

_numbers = itertools.count()


def double_sha256(data: bytes) -> bytes:
    """Hash twice, as Cobo does."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


class App:
    """A client's side of the protocol, written for these tests alone."""

    def __init__(self, simulator: CoboSimulator, secret: str | None = None) -> None:
        self.simulator = simulator
        self.key = SigningKey(bytes.fromhex(secret or simulator.app_secret))
        self.public_key = self.key.verify_key.encode().hex()

    def nonce(self) -> str:
        """Milliseconds, each once."""
        return str(int(self.simulator.clock.time() * 1000) + next(_numbers) % 50_000)

    def headers(
        self, method: str, target: str, body: bytes = b"", *, bearer: str = "", nonce: str = ""
    ) -> dict[str, str]:
        """Sign one request."""
        nonce = nonce or self.nonce()
        path, _, query = target.partition("?")
        text = f"{method}|{path}|{nonce}|{query}|".encode("latin-1") + body
        headers = {
            "Biz-Api-Key": self.public_key,
            "Biz-Api-Nonce": nonce,
            "Biz-Api-Signature": self.key.sign(double_sha256(text)).signature.hex(),
        }
        return {**headers, "Authorization": f"Bearer {bearer}"} if bearer else headers

    def request(
        self, method: str, target: str, content: object = None, *, bearer: str = "", base: str = ""
    ) -> httpx.Request:
        """Build one signed request."""
        body = b"" if content is None else json.dumps(content).encode()
        headers = self.headers(method, target, body, bearer=bearer)
        return httpx.Request(method, (base or UNREACHABLE) + target, headers=headers, content=body)

    def send(
        self, method: str, target: str, content: object = None, *, bearer: str = ""
    ) -> httpx.Response:
        """Send one signed request in memory."""
        with httpx.Client(transport=self.simulator, timeout=30) as client:
            return client.send(self.request(method, target, content, bearer=bearer))

    def implicit(self, **changes: str) -> httpx.Response:
        """Ask for a token by ``org_implicit``."""
        form = {
            "client_id": self.simulator.client_id,
            "org_id": self.simulator.org_id,
            "grant_type": "org_implicit",
            **changes,
        }
        return self.send("GET", f"/v2/oauth/token?{httpx.QueryParams(form)}")

    def refresh(self, refresh_token: object) -> httpx.Response:
        """Ask for a token with a refresh token."""
        form = {
            "client_id": self.simulator.client_id,
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
        }
        return self.send("POST", "/v2/oauth/token", form)

    def status(self, bearer: str) -> int:
        """Say how a read with this token ends."""
        return self.send("GET", "/v2/echo", bearer=bearer).status_code


def error_code(response: httpx.Response) -> object:
    """Read Cobo's code out of an answer, which may not have been read yet."""
    return json.loads(response.read())["error_code"]
