"""Things go wrong on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from nacl.signing import VerifyKey

from tests.family import httpx
from tests.simulated import UNREACHABLE, App, double_sha256, error_code

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator, FaultKind

pytestmark = pytest.mark.anyio


class TestFaults:
    def test_an_injected_answer_has_no_effect(self, app: App, bearer: str) -> None:
        """One request meets it by default, the next one is served."""
        fault = app.simulator.inject(status=503, retry_after=7, headers={"X-Test": "1"})
        response = app.send("POST", "/v2/echo", bearer=bearer)
        assert (response.status_code, error_code(response)) == (503, 5000)
        assert (response.headers["Retry-After"], response.headers["X-Test"]) == ("7", "1")
        assert app.simulator.counters.executed_writes == 0
        assert (fault.hits, app.status(bearer)) == (1, 200)

    def test_an_injected_answer_may_come_after_the_effect(self, app: App, bearer: str) -> None:
        """A 500 that hides an executed write."""
        app.simulator.inject(status=500, effect=True, error_code=1000)
        response = app.send("POST", "/v2/echo", bearer=bearer)
        assert (response.status_code, error_code(response)) == (500, 1000)
        assert app.simulator.counters.executed_writes == 1

    @pytest.mark.parametrize(
        ("body", "sent"), [(b"\xff", b"\xff"), ("text", b"text"), ({"a": 1}, b'{"a": 1}')]
    )
    def test_the_body_of_an_answer_can_be_set(
        self, app: App, bearer: str, body: object, sent: bytes
    ) -> None:
        """As bytes, text, or anything that JSON can say."""
        app.simulator.inject(status=418, body=body, signed=False)
        response = app.send("GET", "/v2/echo", bearer=bearer)
        assert (response.status_code, response.content) == (418, sent)
        assert "Biz-Resp-Signature" not in response.headers

    def test_a_fault_can_last_until_it_is_removed(self, app: App, bearer: str) -> None:
        """``times=None`` makes an endpoint that always fails."""
        with app.simulator.inject("/v2/echo", status=500, error_code=1000, times=None):
            assert [app.status(bearer) for _ in range(3)] == [500, 500, 500]
            assert app.send("GET", "/v2/wallets", bearer=bearer).status_code == 200
        assert app.status(bearer) == 200

    def test_a_fault_meets_its_method_only(self, app: App, bearer: str) -> None:
        """Reads may work where writes fail."""
        app.simulator.inject(method="POST")
        assert app.status(bearer) == 200
        assert app.send("POST", "/v2/echo", bearer=bearer).status_code == 503

    def test_a_refused_token_is_an_oauth_error(self, app: App) -> None:
        """At the token endpoint a 4XX has OAuth's shape, a 5XX Cobo's and nothing else."""
        app.simulator.inject("token", status=400)
        app.simulator.inject("token", status=502)
        assert {*app.implicit().json()} == {"error", "error_description"}
        failed = app.implicit()
        assert {*failed.json()} == {"error_code", "error_message", "error_id"}
        assert error_code(failed) == 5000
        assert app.simulator.counters.issued == 0

    def test_a_badly_signed_request_meets_no_fault(self, simulator: CoboSimulator) -> None:
        """Trouble on purpose hides no mistake."""
        fault = simulator.inject()
        assert App(simulator, "11" * 32).send("GET", "/v2/echo").status_code == 401
        assert fault.hits == 0

    def test_a_redirect_leads_away(self, app: App, bearer: str) -> None:
        """By default with 307, which repeats method and body."""
        app.simulator.inject(kind="redirect", url="https://elsewhere.test/")
        response = app.send("POST", "/v2/echo", bearer=bearer)
        assert (response.status_code, response.headers["Location"]) == (
            307,
            "https://elsewhere.test/",
        )

    @pytest.mark.parametrize("kind", ["tamper", "unsigned"])
    def test_a_signature_can_be_wrong_or_missing(
        self, app: App, kind: Literal["tamper", "unsigned"]
    ) -> None:
        """The token was issued all the same."""
        app.simulator.inject("token", kind)
        response = app.implicit()
        text = response.content + b"|" + response.headers.get("Biz-Timestamp", "").encode()
        key = VerifyKey(bytes.fromhex(app.simulator.environment.response_key or ""))
        with pytest.raises(Exception, match=r"forged|exactly 64"):
            key.verify(
                double_sha256(text), bytes.fromhex(response.headers.get("Biz-Resp-Signature", ""))
            )
        assert app.simulator.counters.issued == 1

    def test_bodies_can_be_garbage_or_huge(self, app: App) -> None:
        """After the effect; a status can be set as well."""
        app.simulator.inject("token", "garbage", status=502)
        app.simulator.inject("token", "huge")
        garbage, huge = app.implicit(), app.implicit()
        assert (garbage.status_code, garbage.content[:6]) == (502, b"<html>")
        assert (huge.status_code, len(huge.content) > 16_000_000) == (200, True)
        assert app.simulator.counters.issued == 2

    def test_a_bodiless_status_has_no_body(self, app: App, bearer: str) -> None:
        """204 is sent as HTTP has it."""
        app.simulator.inject(status=204)
        assert app.send("GET", "/v2/echo", bearer=bearer).content == b""

    @pytest.mark.parametrize(
        ("kind", "error", "executed"),
        [
            ("drop", httpx.ReadError, 1),
            ("hang", httpx.ReadTimeout, 1),
            ("refuse", httpx.ConnectError, 0),
        ],
    )
    async def test_connections_fail_in_memory(
        self,
        app: App,
        bearer: str,
        kind: FaultKind,
        error: type[httpx.TransportError],
        executed: int,
    ) -> None:
        """With the error that a network gives; what took effect stays so."""
        app.simulator.inject(kind=kind, times=2)
        with pytest.raises(error):
            app.send("POST", "/v2/echo", bearer=bearer)
        async with httpx.AsyncClient(transport=app.simulator) as client:
            with pytest.raises(error):
                await client.send(app.request("POST", "/v2/echo", bearer=bearer))
        assert app.simulator.counters.executed_writes == executed * 2
        assert [entry.status for entry in app.simulator.log] == [None] * executed * 2

    def test_a_dropped_exchange_has_rotated(self, app: App) -> None:
        """The refresh token is spent although no reply came."""
        token = app.simulator.issue_token()
        app.simulator.inject("token", "drop", method="POST")
        with pytest.raises(httpx.ReadError):
            app.refresh(token.refresh_token)
        assert app.refresh(token.refresh_token).status_code == 400
        assert app.simulator.counters.spent_refresh_reused == 1

    @pytest.mark.parametrize(
        ("delay_s", "timeout", "late"), [(0.01, 30, False), (30, 0.01, True), (0.01, None, False)]
    )
    def test_an_answer_can_be_late(
        self, app: App, bearer: str, delay_s: float, timeout: float | None, *, late: bool
    ) -> None:
        """In time or not: the client's own read timeout decides."""
        app.simulator.inject(kind="delay", delay_s=delay_s)
        headers = app.headers("GET", "/v2/echo", bearer=bearer)
        with httpx.Client(transport=app.simulator, timeout=timeout, base_url=UNREACHABLE) as client:
            if late:
                with pytest.raises(httpx.ReadTimeout):
                    client.get("/v2/echo", headers=headers)
            else:
                assert client.get("/v2/echo", headers=headers).is_success

    @pytest.mark.parametrize(("delay_s", "late"), [(0.01, False), (30, True)])
    async def test_an_answer_can_be_late_for_a_task(
        self, app: App, bearer: str, delay_s: float, *, late: bool
    ) -> None:
        """The same without blocking the event loop."""
        app.simulator.inject(kind="delay", delay_s=delay_s)
        headers = app.headers("GET", "/v2/echo", bearer=bearer)
        timeout = 0.01 if late else 30
        async with httpx.AsyncClient(transport=app.simulator, timeout=timeout) as client:
            if late:
                with pytest.raises(httpx.ReadTimeout):
                    await client.get(f"{UNREACHABLE}/v2/echo", headers=headers)
            else:
                assert (await client.get(f"{UNREACHABLE}/v2/echo", headers=headers)).is_success

    def test_impossible_faults_are_refused(self, simulator: CoboSimulator) -> None:
        """A place that matches nothing and a refusal with effect are mistakes."""
        with pytest.raises(ValueError, match="where"):
            simulator.inject("wallets")
        with pytest.raises(ValueError, match="no effect"):
            simulator.inject(kind="refuse", effect=True)
