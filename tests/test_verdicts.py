"""What answers mean: to the caller's request, and to an exchange of tokens."""

# ruff: noqa: ANN401 - fields are handed through

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from email.utils import format_datetime, formatdate
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from httpx_cobo_auth import (
    Ed25519Signer,
    Environment,
    RedirectedError,
    ResponseSignatureError,
    Token,
    TokenEndpointError,
    TokenRefusedError,
    TokenReplyError,
)
from httpx_cobo_auth._protocol.effects import ExchangeFault, ExchangeReply, ResponseSummary
from httpx_cobo_auth._protocol.nonces import NonceSource
from httpx_cobo_auth._protocol.verdicts import (
    READ_STATUSES,
    ExchangeFailure,
    Outcome,
    Verdict,
    classify_exchange,
    classify_response,
    error_code_of,
)
from httpx_cobo_auth._runtime.requests import Wire
from httpx_cobo_auth.testing import ManualClock
from tests.family import httpx
from tests.fuzzing import fuzz

SECRET = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"
START = 1_800_000_000.0
ACCESS, REFRESH = "acc-" + "7" * 60, "ref-" + "8" * 60
SPENT = Token(access_token=ACCESS, refresh_token=REFRESH, expires_at=START, obtained_at=0.0)
GOOD = {"access_token": "new", "refresh_token": "next", "expires_in": 43199}


# ------------------------------------------------------------------- the caller's own request
class TestAnswers:
    @pytest.mark.hazard(32, 34)
    @pytest.mark.parametrize(
        ("status", "code", "verdict"),
        [
            *((status, None, Verdict.ACCEPTED) for status in (200, 201, 204, 301, 307, 400, 404)),
            *((status, 1000, Verdict.ACCEPTED) for status in (200, 400, 404, 502, 503, 504)),
            (409, 30001, Verdict.ACCEPTED),
            (429, 2026, Verdict.ACCEPTED),
            (401, None, Verdict.REFUSED),
            (401, 1000, Verdict.REFUSED),
            (401, 2021, Verdict.REFUSED),
            (401, 2025, Verdict.REFUSED),
            (401, 2022, Verdict.INCURABLE),
            (401, 2023, Verdict.INCURABLE),
            (401, 2024, Verdict.INCURABLE),
            (403, None, Verdict.ACCEPTED),
            (403, 2024, Verdict.ACCEPTED),
            (403, 1000, Verdict.ACCEPTED),
            (403, 2025, Verdict.FORBIDDEN),
            (403, 4001, Verdict.FORBIDDEN),
            (500, 1000, Verdict.REFUSED_OR_FAILED),
            (500, None, Verdict.ACCEPTED),
            (500, 1001, Verdict.ACCEPTED),
            (500, 2024, Verdict.ACCEPTED),
            (500, 2025, Verdict.ACCEPTED),
        ],
    )
    def test_statuses_and_codes(self, status: int, code: int | None, verdict: Verdict) -> None:
        """What a token cures, what it might cure, and what it cannot."""
        assert classify_response(ResponseSummary(status, code)) is verdict
        assert classify_response(ResponseSummary(status, code, 60.0)) is verdict
        assert classify_response(ResponseSummary(status, code, -60.0)) is verdict
        assert verdict is Verdict.ACCEPTED or status in READ_STATUSES

    @pytest.mark.hazard(31)
    @pytest.mark.parametrize("off", [3600.0, -3600.0, 60.001, -60.001])
    @pytest.mark.parametrize("code", [None, 2021, 2022, 2023, 2024])
    def test_a_401_with_the_clock_off(self, off: float, code: int | None) -> None:
        """The nonce comes first, for it alone may be the reason."""
        assert classify_response(ResponseSummary(401, code, off)) is Verdict.CLOCK_OFF
        assert classify_response(ResponseSummary(500, 1000, off)) is Verdict.REFUSED_OR_FAILED
        assert classify_response(ResponseSummary(403, 2025, off)) is Verdict.FORBIDDEN
        assert classify_response(ResponseSummary(200, None, off)) is Verdict.ACCEPTED

    @pytest.mark.hazard(26)
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b'{"error_code": 1000, "error_message": "x", "error_id": "y"}', 1000),
            (b'{"error_code": 0}', 0),
            (b'{"error_code": 2147483647}', 2**31 - 1),  # 32 bits, as in Cobo's SDKs
            (b'{"error_code": -2147483647}', 1 - 2**31),
            (b'{"error_code": 2147483648}', None),
            (b'{"error_code": -2147483648}', None),
            (b'{"error_code": "1000"}', None),
            (b'{"error_code": 1000.0}', None),
            (b'{"error_code": true}', None),
            (b'{"error_code": null}', None),
            (b'{"error_code": [1000]}', None),
            (b'{"error": "invalid_token"}', None),
            (b'[{"error_code": 1000}]', None),
            (b'"error_code"', None),
            (b"1000", None),
            (b"", None),
            (b"<html>error_code: 1000</html>", None),
            (b'{"error_code": 1000', None),
            (b"\xff\xfe", None),
            (b"[" * 100_000, None),
            (b'{"error_code": ' + b"9" * 10_000 + b"}", None),
            (b'{"error_code": -' + b"9" * 4_000 + b"}", None),
        ],
        ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else str(value),
    )
    def test_the_code_of_an_error(self, body: bytes, code: int | None) -> None:
        """Of Cobo's errors alone; whatever else comes raises nothing."""
        assert error_code_of(body) == code

    @pytest.mark.hazard(26)
    @fuzz(200)
    @given(st.binary(max_size=60) | st.text(max_size=40).map(json.dumps).map(str.encode))
    def test_no_body_raises(self, body: bytes) -> None:
        """A proxy's page is none of Cobo's errors."""
        assert error_code_of(body) is None


# --------------------------------------------------------------------------------- exchanges
def judge(
    answer: ExchangeReply | ExchangeFault, *, verified: bool = True, spend: Token | None = SPENT
) -> Token | ExchangeFailure:
    return classify_exchange(answer, verified=verified, spend=spend, sent_at=START, now=START + 1)


def failure(answer: ExchangeReply | ExchangeFault, *, verified: bool = True) -> ExchangeFailure:
    result = judge(answer, verified=verified)
    assert isinstance(result, ExchangeFailure)
    assert_clean(result)
    return result


def assert_clean(result: ExchangeFailure) -> None:
    shown = f"{result!r} {result.error!r} {result.error} {vars(result.error)}"
    for secret in (ACCESS, REFRESH, ACCESS[:20], REFRESH[:20]):
        assert secret not in shown
    assert str(result.error).isprintable()


def answered(status: int, body: object = None, *, signed: bool = True, **more: Any) -> Any:
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return ExchangeReply(status, content or b"", START if signed else None, **more)


BROKEN = "the token endpoint's reply (HTTP 200) breaks the protocol"


class TestSuccesses:
    @pytest.mark.parametrize("status", [200, 201, 202, 299])
    @pytest.mark.parametrize("verified", [True, False])
    def test_any_2xx_brings_a_token(self, status: int, *, verified: bool) -> None:
        """Cobo answers 200 to the one grant and 201 to the other."""
        token = judge(answered(status, GOOD, signed=verified), verified=verified)
        assert isinstance(token, Token)
        assert (token.access_token, token.refresh_token) == ("new", "next")
        assert token.expires_at == START + 43199

    @pytest.mark.hazard(23)
    @pytest.mark.parametrize("spend", [SPENT, None])
    def test_the_old_refresh_token_is_carried_on(self, spend: Token | None) -> None:
        """Where one was sent, and none came back."""
        body = {"access_token": "new", "expires_in": 5}
        token = judge(answered(200, body), spend=spend)
        assert isinstance(token, Token)
        assert token.refresh_token == (REFRESH if spend else None)

    @pytest.mark.hazard(39)
    @pytest.mark.parametrize("body", [GOOD, {}, b"<html>", b""])
    def test_an_unsigned_success_is_none(self, body: object) -> None:
        """Its refresh token may be spent all the same."""
        result = failure(answered(200, body, signed=False))
        assert result.outcome is Outcome.UNKNOWN
        assert isinstance(result.error, ResponseSignatureError)
        assert str(result.error) == (
            "the token endpoint's reply is not signed by Cobo's key for this environment"
        )

    @pytest.mark.parametrize("status", [199, 300])
    def test_next_to_a_success_is_none(self, status: int) -> None:
        """A reply that holds a token is none, unless its status says so, too."""
        result = failure(answered(status, GOOD))
        assert result.outcome is Outcome.UNKNOWN
        assert type(result.error) is TokenEndpointError

    @pytest.mark.hazard(26)
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "it is not JSON"),
            (b"<html>502</html>", "it is not JSON"),
            ([GOOD], "it is not a JSON object"),
            (
                {**GOOD, "access_token": ACCESS + " " + REFRESH},
                "access_token is missing or is no bearer token",
            ),
            (
                {**GOOD, "expires_in": REFRESH},
                "expires_in is not a whole number",
            ),
            ({**GOOD, "token_type": ACCESS}, "token_type is not Bearer"),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("verified", [True, False])
    def test_a_success_that_breaks_the_protocol(
        self, body: object, reason: str, *, verified: bool
    ) -> None:
        """A typed error that says what is wrong, and repeats nothing."""
        result = failure(answered(200, body), verified=verified)
        assert result.outcome is Outcome.UNKNOWN
        assert isinstance(result.error, TokenReplyError)
        assert result.error.status == 200
        assert str(result.error) == f"{BROKEN}: {reason}"

    @pytest.mark.hazard(26)
    @pytest.mark.parametrize("signed", [True, False])
    def test_a_success_that_is_too_long(self, *, signed: bool) -> None:
        """It was not read to its end, so nobody can say whether it is signed."""
        result = failure(ExchangeReply(200, None, START if signed else None))
        assert isinstance(result.error, TokenReplyError)
        assert str(result.error) == f"{BROKEN}: it is too long"


OAUTH_ERROR = {"error": "invalid_grant", "error_description": "Refresh token expired"}
COBO_ERROR = {"error_code": 1000, "error_message": "Internal error", "error_id": "e-77"}


class TestErrors:
    @pytest.mark.hazard(25)
    @pytest.mark.parametrize(
        ("status", "body", "signed", "outcome"),
        [
            *((s, OAUTH_ERROR, True, Outcome.REFUSED) for s in (400, 401, 403, 404, 410, 499)),
            *((s, b"", True, Outcome.REFUSED) for s in (400, 401)),
            *((s, OAUTH_ERROR, False, Outcome.UNKNOWN) for s in (400, 401, 403, 404, 407)),
            *((s, COBO_ERROR, True, Outcome.UNKNOWN) for s in (500, 502, 503, 504, 599)),
            *((s, b"<html>", False, Outcome.UNKNOWN) for s in (500, 502, 503, 504)),
            *((s, b"", True, Outcome.UNKNOWN) for s in (100, 301, 302, 307, 304)),
            (429, OAUTH_ERROR, True, Outcome.UNPROCESSED),
            (429, b"Too Many Requests", False, Outcome.UNPROCESSED),
            (400, {"error_code": 2026}, True, Outcome.UNPROCESSED),
            (400, {"error_code": 2010}, True, Outcome.UNPROCESSED),
            (500, {"error_code": 2026}, True, Outcome.UNPROCESSED),
            (500, {"error_code": 2026}, False, Outcome.UNKNOWN),
            (400, {"error_code": 2010}, False, Outcome.UNKNOWN),
        ],
    )
    def test_statuses_where_the_key_is_known(
        self, status: int, body: object, *, signed: bool, outcome: Outcome
    ) -> None:
        """Final only where Cobo itself says so, by a signed 4XX."""
        result = failure(answered(status, body, signed=signed))
        assert result.outcome is outcome
        refused = outcome is Outcome.REFUSED
        assert type(result.error) is (TokenRefusedError if refused else TokenEndpointError)
        assert isinstance(result.error, TokenRefusedError | TokenEndpointError)
        assert result.error.status == status
        assert f"HTTP {status}" in str(result.error)

    @pytest.mark.hazard(25)
    @pytest.mark.parametrize("status", [400, 401, 403])
    def test_without_a_key_an_error_is_believed(self, status: int) -> None:
        """Nobody can tell it from a gateway's."""
        result = failure(answered(status, OAUTH_ERROR, signed=False), verified=False)
        assert result.outcome is Outcome.REFUSED

    @pytest.mark.hazard(31)
    @pytest.mark.parametrize("off", [3600.0, -61.0])
    def test_a_401_with_the_clock_off(self, off: float) -> None:
        """Signed by Cobo, so its time is known; the key may be quite all right."""
        assert failure(answered(401, b"", seconds_off=off)).outcome is Outcome.CLOCK_OFF
        assert failure(answered(400, b"", seconds_off=off)).outcome is Outcome.REFUSED
        assert failure(answered(401, b"", seconds_off=5.0)).outcome is Outcome.REFUSED
        unsigned = answered(401, b"", signed=False)
        assert failure(unsigned).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
    def test_every_field_of_either_shape_is_kept(self, status: int) -> None:
        """Users quote them to Cobo's support; the message has them as well."""
        body = {**OAUTH_ERROR, **COBO_ERROR}
        error = failure(answered(status, body, retry_after=7.0)).error
        assert isinstance(error, TokenRefusedError | TokenEndpointError)
        assert {name: getattr(error, name) for name in body} == body
        assert error.retry_after == (None if status in {400, 401} else 7.0)
        assert failure(answered(status, body, retry_after=7.0)).retry_after == error.retry_after
        for value in body.values():
            assert str(value) in str(error)

    @pytest.mark.parametrize(
        ("status", "text"),
        [
            (429, "the token endpoint limits the rate of requests ({})"),
            (
                400,
                (
                    "Cobo refuses to issue a token ({}). Check that the organization still has the "
                    "app installed (otherwise it has to install it again), and that client ID, app "
                    "key and environment belong together"
                ),
            ),
            (503, "the token endpoint gave no usable answer ({})"),
        ],
    )
    def test_an_error_says_what_cobo_said_and_who_has_to_do_what(
        self, status: int, text: str
    ) -> None:
        """Status, code and texts in one line, after what it means and before what to do."""
        said = {"error_code": 1000, "error": "odd", "error_description": "a\nb", "error_id": "e-7"}
        in_words = "error_code 1000, error odd, error_description a?b, error_id e-7"
        error = failure(answered(status, said)).error
        assert str(error) == text.format(f"HTTP {status}, {in_words}")

    def test_what_cobo_said_is_kept_up_to_a_length(self) -> None:
        """Five hundred characters of each text, and not one more."""
        error = failure(answered(400, {"error_description": "x" * 501})).error
        assert vars(error)["error_description"] == "x" * 500

    @pytest.mark.hazard(26)
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html><h1>502 Bad Gateway</h1></html>",
            b"[]",
            b"[1, 2]",
            b"null",
            b"7",
            b'"invalid_grant"',
            b"\x00\xff\xfe",
            b"[" * 60_000,
            b'{"error":' * 10_000,
            b'{"error": 7, "error_description": ["x"], "error_code": "x", "error_id": {}}',
            b'{"error": null, "error_message": true, "error_code": false}',
            b'{"error_code": ' + b"9" * 5_000 + b"}",
            None,
        ],
        ids=lambda body: repr(body)[:40],
    )
    @pytest.mark.parametrize("status", [400, 429, 500, 503])
    def test_an_error_in_no_known_shape(self, status: int, body: bytes | None) -> None:
        """The status is what there is; the body is repeated nowhere."""
        result = failure(ExchangeReply(status, body, START))
        fields = {name: value for name, value in vars(result.error).items() if value is not None}
        assert fields == {"status": status}
        assert str(result.error).count(f"HTTP {status})") == 1

    @pytest.mark.hazard(37)
    @pytest.mark.parametrize("secret", [ACCESS, REFRESH])
    @pytest.mark.parametrize("status", [400, 429, 503])
    @pytest.mark.parametrize("name", ["error", "error_description", "error_message", "error_id"])
    def test_secrets_that_the_server_repeats_are_left_out(
        self, secret: str, status: int, name: str
    ) -> None:
        """A server that quotes the refresh token does not bring it into our logs."""
        texts = [secret, f"token '{secret}' is spent", "x" * 480 + secret, secret * 20]
        for text in texts:
            result = failure(answered(status, {name: text}))
            said = getattr(result.error, name)
            assert "[token]" in said or said == ("x" * 480 + "[token]")[:500]
            assert len(said) <= 500

    @pytest.mark.hazard(37)
    def test_tokens_that_were_not_sent_are_left_out_as_well(self) -> None:
        """``org_implicit`` sends none, but comes after a grant that did."""
        answer = answered(400, {"error_description": f"{ACCESS} {REFRESH}"})
        result = classify_exchange(
            answer, verified=True, spend=None, sent_at=START, now=START, known=SPENT
        )
        assert isinstance(result, ExchangeFailure)
        assert_clean(result)
        assert vars(result.error)["error_description"] == "[token] [token]"

    @pytest.mark.hazard(3)
    def test_an_error_stays_on_one_line(self) -> None:
        """Nobody forges lines of a log."""
        text = "a\nERROR forged\r\x1b[2J\u2028\u202e\x00"
        error = failure(answered(400, {"error_description": text})).error
        assert isinstance(error, TokenRefusedError)
        assert error.error_description == "a?ERROR forged??[2J???"
        assert str(error).isprintable()

    @pytest.mark.hazard(26)
    @fuzz(200)
    @given(
        status=st.integers(100, 599),
        body=st.none()
        | st.binary(max_size=50)
        | st.dictionaries(
            st.sampled_from([*OAUTH_ERROR, *COBO_ERROR, *GOOD]),
            st.text(max_size=10) | st.integers() | st.none() | st.sampled_from([ACCESS, REFRESH]),
        )
        .map(json.dumps)
        .map(str.encode),
        signed=st.booleans(),
        verified=st.booleans(),
        off=st.none() | st.floats(-1e6, 1e6),
    )
    def test_no_answer_raises(
        self, status: int, body: bytes | None, *, signed: bool, verified: bool, off: float | None
    ) -> None:
        """Every answer is a token or a failure without a secret."""
        answer = ExchangeReply(status, body, START if signed else None, off)
        result = judge(answer, verified=verified)
        if isinstance(result, ExchangeFailure):
            assert_clean(result)
        else:
            assert 200 <= status < 300
            assert signed or not verified


class TestFaults:
    @pytest.mark.hazard(24)
    def test_what_did_not_arrive_was_not_processed(self) -> None:
        """Only then is the refresh token as good as before."""
        error = TokenEndpointError("the token endpoint could not be reached")
        result = failure(ExchangeFault(error, unsent=True))
        assert (result.outcome, result.error) == (Outcome.UNPROCESSED, error)
        assert result.retry_after is None
        assert failure(ExchangeFault(error, unsent=False)).outcome is Outcome.UNKNOWN

    @pytest.mark.hazard(4)
    def test_what_was_redirected_is_exposed(self) -> None:
        """Whoever was at the other end has the refresh token."""
        error = RedirectedError("elsewhere")
        result = failure(ExchangeFault(error, unsent=False))
        assert (result.outcome, result.error) == (Outcome.EXPOSED, error)

    @pytest.mark.hazard(78)
    def test_what_a_cache_answered_is_no_answer(self) -> None:
        """Whatever it says: it is old. The error says whom to tell."""
        for status in (200, 400):
            result = classify_exchange(
                answered(status, GOOD),
                verified=True,
                spend=None,
                sent_at=START,
                now=START,
                cached=True,
            )
            assert isinstance(result, ExchangeFailure)
            assert_clean(result)
            assert result.outcome is Outcome.CACHED
            assert "a cache on the way answered" in str(result.error)


# ----------------------------------------------------------- from the response to what matters
KEY = SigningKey(bytes(range(32)))


def wire(clock: ManualClock, *, verified: bool = True) -> Wire:
    key = KEY.verify_key.encode().hex() if verified else None
    environment = Environment("mine", "https://a.example/v2", key)
    return Wire(environment, Ed25519Signer(SECRET), NonceSource(clock), clock)


def response(
    body: bytes = b"{}",
    status: int = 200,
    *,
    at: float = START,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    stamp = str(int(at * 1000))
    digest = sha256(sha256(body + b"|" + stamp.encode()).digest()).digest()
    signed = {"Biz-Timestamp": stamp, "Biz-Resp-Signature": KEY.sign(digest).signature.hex()}
    return httpx.Response(status, content=body, headers={**signed, **(headers or {})})


def answer_of(seen: Wire, answer: httpx.Response, body: bytes | None) -> ExchangeReply:
    """Answer at once."""
    return seen.exchange_answer(answer, body, seen.nonces.base, seen._clock.monotonic())


class TestExchangeAnswer:
    @pytest.mark.hazard(31)
    def test_a_signed_answer_tells_the_time(self) -> None:
        """The server's, and how far the nonces lag behind it."""
        answer = answer_of(wire(ManualClock(START)), response(at=START + 90), b"{}")
        assert (answer.status, answer.body) == (200, b"{}")
        assert answer.server_time == START + 90
        assert answer.seconds_off == pytest.approx(90)
        assert "{}" not in repr(answer)

    @pytest.mark.hazard(39)
    @pytest.mark.parametrize(
        ("verified", "body", "changes"),
        [
            (False, b"{}", {}),
            (True, b"[]", {}),
            (True, None, {}),
            (True, b"{}", {"Biz-Timestamp": "5"}),
            (True, b"{}", {"Biz-Timestamp": ""}),
            (True, b"{}", {"Biz-Resp-Signature": ""}),
            (True, b"{}", {"Biz-Resp-Signature": "00"}),
        ],
    )
    def test_any_other_answer_tells_none(
        self, *, verified: bool, body: bytes | None, changes: dict[str, str]
    ) -> None:
        """No key, another body, one too long, no signature, a bad one."""
        seen = wire(ManualClock(START), verified=verified)
        answer = answer_of(seen, response(headers=changes), body)
        assert (answer.server_time, answer.seconds_off) == (None, None)
        assert seen.seconds_off(response(headers=changes), body) is None

    @pytest.mark.hazard(31)
    def test_a_signed_time_that_is_no_number_corrects_nothing(self) -> None:
        """Signed it is, but it tells no time."""
        digest = sha256(sha256(b"{}|soon").digest()).digest()
        headers = {
            "Biz-Timestamp": "soon",
            "Biz-Resp-Signature": KEY.sign(digest).signature.hex(),
        }
        answer = answer_of(wire(ManualClock(START)), httpx.Response(200, headers=headers), b"{}")
        assert (answer.server_time, answer.seconds_off) == (0.0, None)

    @pytest.mark.hazard(27)
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("120", 120.0),
            (" 7 ", 7.0),
            ("0", 0.0),
            ("007", 7.0),
            ("9" * 400, 999_999_999.0),
            (formatdate(START + 90, usegmt=True), 90.0),
            (formatdate(START + 90), 90.0),
            (formatdate(START - 90, usegmt=True), 0.0),
            ("Friday, 15-Jan-27 08:01:30 GMT", 90.0),
            ("Fri Jan 15 08:01:30 2027", 90.0),
            (format_datetime(datetime.fromtimestamp(START + 90, UTC)), 90.0),
            ("Fri, 15 Jan 2027 10:01:30 +0200", 90.0),
            ("", None),
            ("   ", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("1 2", None),
            ("\N{ARABIC-INDIC DIGIT ONE}", None),
            ("Fri, 99 Jan 2027 10:01:30 GMT", None),
            ("Fri, 15 Jan 0000 10:01:30 GMT", 0.0),  # two digits, it thinks
            ("Fri, 15 Jan 99999 10:01:30 GMT", None),
            ("Fri, 15 Jan 2027 10:01:30 +9999999", None),
        ],
    )
    def test_retry_after(
        self, monkeypatch: pytest.MonkeyPatch, value: str, seconds: float | None
    ) -> None:
        """Seconds or any HTTP date, in whatever time zone this machine is."""
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        try:
            answer = answer_of(
                wire(ManualClock(START)),
                httpx.Response(429, headers=[(b"Retry-After", value.encode())]),
                b"",
            )
        finally:
            monkeypatch.undo()
            time.tzset()
        assert answer.retry_after == seconds

    @pytest.mark.hazard(27)
    def test_without_the_header_there_is_no_time_to_wait(self) -> None:
        """Backoff decides."""
        answer = answer_of(wire(ManualClock(START)), httpx.Response(429), b"")
        assert answer.retry_after is None

    @pytest.mark.hazard(26)
    @fuzz(300)
    @given(
        st.text(max_size=40)
        | st.lists(
            st.sampled_from(
                [
                    "Fri",
                    ",",
                    " ",
                    "15",
                    "Jan",
                    "2027",
                    "10:01:30",
                    "GMT",
                    "+",
                    "-",
                    "0000",
                    "9" * 20,
                ]
            ),
            max_size=9,
        ).map(" ".join)
    )
    @example("0 Jan 1 0:0:0")
    @example("1 Jan 9999 23:59:59 -9959")
    def test_no_retry_after_raises(self, value: str) -> None:
        """Whatever the header says is a number of seconds or nothing."""
        headers = [(b"Retry-After", value.encode(errors="surrogatepass"))]
        answer = answer_of(wire(ManualClock(START)), httpx.Response(429, headers=headers), b"")
        assert answer.retry_after is None or 0 <= answer.retry_after < 1e12


def test_the_cases_above_are_all_there_are() -> None:
    """Who adds a verdict or an outcome adds a test."""
    assert [verdict.name for verdict in Verdict] == [
        *("ACCEPTED", "REFUSED", "REFUSED_OR_FAILED", "FORBIDDEN", "CLOCK_OFF", "INCURABLE"),
    ]
    assert [outcome.name for outcome in Outcome] == [
        *("UNPROCESSED", "CLOCK_OFF", "UNKNOWN", "REFUSED", "EXPOSED", "CACHED"),
    ]
