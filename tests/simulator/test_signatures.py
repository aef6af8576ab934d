"""Requests are let in only as signed; answers are signed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from nacl.signing import VerifyKey

from tests.family import httpx
from tests.simulated import UNREACHABLE, App, double_sha256, error_code

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock

DOCUMENTED_KEY = "5987dedc180167b7ab1d27e6009e5065d10d764cd85d7b64f8c968ca40326e28"


class TestSignature:
    def test_a_request_signed_as_documented_is_let_in(self, app: App, bearer: str) -> None:
        """The documentation's example secret gives the documentation's example key."""
        assert app.public_key == DOCUMENTED_KEY
        response = app.send("POST", "/v2/echo?a=b%2Cc&d", {"e": "é"}, bearer=bearer)
        assert response.status_code == 200
        assert response.json() == {
            "method": "POST",
            "path": "/v2/echo",
            "query": "a=b%2Cc&d",
            "body_sha256": hashlib.sha256(json.dumps({"e": "é"}).encode()).hexdigest(),
            "org_id": app.simulator.org_id,
        }

    @pytest.mark.parametrize("missing", ["Biz-Api-Key", "Biz-Api-Nonce", "Biz-Api-Signature"])
    def test_a_missing_header_is_refused(self, app: App, bearer: str, missing: str) -> None:
        """Without one of the three headers nothing is let in: 2024, as Cobo has it now."""
        request = app.request("GET", "/v2/echo", bearer=bearer)
        del request.headers[missing]
        response = app.simulator.handle_request(request)
        response.read()
        assert (response.status_code, error_code(response)) == (401, 2024)
        assert app.simulator.counters.rejected == 1

    def test_a_doubled_header_counts_as_missing(self, app: App, bearer: str) -> None:
        """Two nonces leave open which one was signed."""
        request = app.request("GET", "/v2/echo", bearer=bearer)
        request.headers = httpx.Headers([*request.headers.multi_items(), ("biz-api-nonce", "1")])
        response = app.simulator.handle_request(request)
        response.read()
        assert (response.status_code, error_code(response)) == (401, 2024)

    def test_an_unknown_key_is_named_by_2024(self, simulator: CoboSimulator) -> None:
        """Somebody else's key, however well it signs, is refused."""
        response = App(simulator, "11" * 32).send("GET", "/v2/echo")
        assert (response.status_code, error_code(response)) == (401, 2024)

    @pytest.mark.parametrize(
        ("method", "target", "body"),
        [
            ("POST", "/v2/echo?a=1", b"{}"),
            ("GET", "/v2/echo?a=1", b""),
            ("PUT", "/v2/echo", b"{}"),
            ("PUT", "/v2/echo?a=2", b"{}"),
            ("PUT", "/v2/echo/?a=1", b"{}"),
            ("PUT", "/v2/%65cho?a=1", b"{}"),
            ("PUT", "/v2/echo?a=1", b"{} "),
        ],
    )
    def test_every_part_of_the_request_is_signed(
        self, app: App, bearer: str, method: str, target: str, body: bytes
    ) -> None:
        """A signature for another method, path, query or body does not fit."""
        headers = app.headers("PUT", "/v2/echo?a=1", b"{}", bearer=bearer)
        with httpx.Client(transport=app.simulator, base_url=UNREACHABLE) as client:
            response = client.request(method, target, headers=headers, content=body)
        assert (response.status_code, error_code(response)) == (401, 2024)
        assert app.simulator.counters.bad_signatures == 1

    def test_a_signature_that_is_no_hex_is_refused(self, app: App, bearer: str) -> None:
        """Nonsense in the header is a bad signature, not a crash."""
        request = app.request("GET", "/v2/echo", bearer=bearer)
        request.headers["Biz-Api-Signature"] = "no hex"
        response = app.simulator.handle_request(request)
        response.read()
        assert (response.status_code, error_code(response)) == (401, 2024)

    @pytest.mark.parametrize("target", ["/v2/echo", "/v2/nothing", "/v2/oauth/token"])
    def test_every_answer_is_signed(self, app: App, bearer: str, target: str) -> None:
        """Good or bad, an answer verifies under the environment's response key."""
        response = app.send("GET", target, bearer=bearer)
        self._verify(app.simulator, response)

    def test_the_timestamp_is_the_simulators_time(
        self, app: App, clock: ManualClock, bearer: str
    ) -> None:
        """``Biz-Timestamp`` is in milliseconds and follows a step of the clock."""
        clock.step(-3600)
        timestamp = app.send("GET", "/v2/echo", bearer=bearer).headers["Biz-Timestamp"]
        assert int(timestamp) == int(clock.time() * 1000)

    @pytest.mark.hazard(73)
    @pytest.mark.parametrize(
        ("time_header", "signature_header"),
        [("Biz-Timestamp", "Biz-Resp-Signature"), ("BIZ_TIMESTAMP", "BIZ_RESP_SIGNATURE")],
        ids=["python, javascript, go", "java"],
    )
    def test_each_sdk_finds_the_spelling_that_it_reads(
        self, app: App, bearer: str, base: str, time_header: str, signature_header: str
    ) -> None:
        """Over a socket: Cobo's Java SDK has an interceptor that reads the underscored one only."""
        with httpx.Client() as client:
            response = client.send(app.request("GET", "/v2/wallets", bearer=bearer, base=base))
        names = [name for name, _ in response.headers.raw]
        assert names.count(time_header.encode()) == names.count(signature_header.encode()) == 1
        self._verify(app.simulator, response, time_header, signature_header)

    def _verify(
        self,
        simulator: CoboSimulator,
        response: httpx.Response,
        time_header: str = "Biz-Timestamp",
        signature_header: str = "Biz-Resp-Signature",
    ) -> None:
        key = VerifyKey(bytes.fromhex(simulator.environment.response_key or ""))
        text = response.content + b"|" + response.headers[time_header].encode()
        key.verify(double_sha256(text), bytes.fromhex(response.headers[signature_header]))
