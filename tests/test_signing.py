"""Signing: keys, nonces, and headers that equal the official SDK's bit for bit."""

# ruff: noqa: ANN401 - arguments of wrong types are tested; the SDK is untyped

from __future__ import annotations

import copy
import importlib
import json
import pickle
import random
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, quote, urlencode

import pytest
import urllib3.util
from hypothesis import HealthCheck, assume, example, given
from hypothesis import strategies as st
from nacl.signing import SigningKey, VerifyKey

import httpx_cobo_auth
from httpx_cobo_auth import (
    ConfigurationError,
    Ed25519Signer,
    Environment,
    Signer,
    SignerError,
    UnsignableRequestError,
)
from httpx_cobo_auth._protocol.nonces import NonceSource, nonces_of
from httpx_cobo_auth._protocol.signing import (
    canonical_query,
    request_digest,
    signature_headers,
    signer_from,
    verified_time,
)
from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import CoboAuth, CoboOAuth, PortalApp, httpx
from tests.fuzzing import fuzz

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"
KEY = "5987dedc180167b7ab1d27e6009e5065d10d764cd85d7b64f8c968ca40326e28"
BASE = "https://api.dev.cobo.com/v2"
PACKAGE = Path(httpx_cobo_auth.__path__[0])

many = fuzz(150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def double_sha256(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def package_locals(error: BaseException) -> str:
    """Return what a tracker that records locals sends of the package's frames."""
    shown: list[str] = []
    todo = [traceback.TracebackException.from_exception(error, capture_locals=True)]
    while todo:
        recorded = todo.pop()
        todo += [linked for linked in (recorded.__cause__, recorded.__context__) if linked]
        for frame in recorded.stack:
            if PACKAGE in Path(frame.filename).parents:
                shown += [f"{name} = {value}" for name, value in (frame.locals or {}).items()]
    assert shown, "no frame of the package"
    return "\n".join(shown)


USES: list[Callable[[Any], object]] = [
    Ed25519Signer,
    signer_from,
    lambda bad: CoboAuth(api_secret=bad, environment="dev"),
    lambda bad: CoboOAuth(client_id="c", app_secret=bad, org_id="o", environment="dev"),
    lambda bad: PortalApp(client_id="c", app_secret=bad, environment="dev"),
]


class TestKeys:
    def test_the_example_of_the_documentation_is_one_pair(self) -> None:
        """The documented secret gives the documented key, and its signature verifies."""
        signer = Ed25519Signer(SECRET)
        digest = sha256(b"anything").digest()
        assert signer.public_key == KEY
        assert len(signer.sign(digest)) == 64
        assert VerifyKey(bytes.fromhex(KEY)).verify(digest, signer.sign(digest)) == digest

    def test_capitals_in_a_secret_make_no_difference(self) -> None:
        """Hex digits are hex digits."""
        assert Ed25519Signer(SECRET.upper()).public_key == KEY

    @pytest.mark.hazard(37)
    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param("", id="empty"),
            pytest.param(SECRET[:-1], id="short"),
            pytest.param(SECRET + "0", id="long"),
            pytest.param(SECRET + "\n", id="newline"),
            pytest.param(f"'{SECRET}'", id="quotes"),
            pytest.param(f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n", id="PEM"),
            pytest.param(" " + SECRET, id="blank"),
            pytest.param("0x" + SECRET, id="0x"),
            pytest.param(SECRET[:-1] + "g", id="no-hex"),
            pytest.param(SECRET[:-1] + "\N{ARABIC-INDIC DIGIT ONE}", id="no-ascii"),
            pytest.param(bytes.fromhex(SECRET), id="bytes"),
            pytest.param(SECRET.encode(), id="hex-bytes"),
            pytest.param(bytearray.fromhex(SECRET), id="bytearray"),
            pytest.param(int(SECRET, 16), id="int"),
            pytest.param(None, id="None"),
            pytest.param([SECRET], id="list"),
            pytest.param(SigningKey(bytes.fromhex(SECRET)), id="SigningKey"),
        ],
    )
    @pytest.mark.parametrize(
        "use", USES, ids=["Ed25519Signer", "signer_from", "CoboAuth", "CoboOAuth", "PortalApp"]
    )
    def test_a_bad_secret_is_refused_and_shown_nowhere(
        self, use: Callable[[Any], object], bad: Any
    ) -> None:
        """Hazard 37: what was expected is said; nothing of what was given is."""
        with pytest.raises(ConfigurationError) as raised:
            use(bad)
        assert isinstance(raised.value, ValueError)
        assert str(raised.value).startswith("the secret (app_secret, api_secret) must be an ")
        shown = f"{raised.value!r} {raised.value} {vars(raised.value)}"
        for text in (shown, package_locals(raised.value)):
            for part in (SECRET[:24], SECRET[24:48], str(int(SECRET, 16)), "\\x06\\xf7\\x88"):
                assert part not in text.lower()

    @pytest.mark.hazard(37)
    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            ("", "is empty"),
            (f"{SECRET}\n", "has a line break (newline)"),
            (f"{SECRET}\r\n", "has a line break (newline)"),
            (f" {SECRET}", "has white space"),
            (f"{SECRET[:32]} {SECRET[32:]}", "has white space"),
            (f"0x{SECRET}", "begins with 0x"),
            (f"0X{SECRET[2:]}", "begins with 0x"),
            (f'"{SECRET}"', "has quotation marks"),
            (f"{SECRET}'", "has quotation marks"),
            ("-----BEGIN PRIVATE KEY-----\nMC4CAQ\n", "is a PEM file"),
            (SECRET[:-1], "has 63 characters"),
            (f"{SECRET}{SECRET}", "has 128 characters"),
            (f"{SECRET[:-1]}g", "has other characters than 0-9 and a-f"),
            (bytes.fromhex(SECRET), "is bytes, not text: use .hex() or .decode()"),
            (bytearray(32), "is bytearray, not text"),
            (7, "is of the type int, not text"),
            (None, "is of the type NoneType, not text"),
        ],
    )
    def test_what_is_wrong_with_a_secret_is_said(self, bad: Any, said: str) -> None:
        """And whose secret it is: not one that Cobo's Portal shows."""
        with pytest.raises(ConfigurationError) as refused:
            Ed25519Signer(bad)
        message = str(refused.value)
        assert f"what was given {said}" in message
        assert message.startswith("the secret (app_secret, api_secret) must be an Ed25519 seed of")
        assert "that you generated; Cobo knows only the public key" in message
        assert "Portal shows" not in message

    @pytest.mark.hazard(37)
    def test_a_signer_shows_its_public_key_only(self) -> None:
        """Hazard 37: in repr, str and format; it has no vars."""
        signer = Ed25519Signer(SECRET)
        assert repr(signer) == str(signer) == f"{signer}" == f"Ed25519Signer(public_key='{KEY}')"
        assert not hasattr(signer, "__dict__")

    @pytest.mark.hazard(37)
    @pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_a_signer_is_not_duplicated(self, duplicate: Callable[[object], object]) -> None:
        """Hazard 37: a copy would hold the secret in the clear."""
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            duplicate(Ed25519Signer(SECRET))

    def test_a_signer_of_ones_own_serves_as_well(self) -> None:
        """A key in a KMS: the library sees the digest and the signature, never the key."""

        class Kms:
            """What a program writes around its key service."""

            def __init__(self) -> None:
                self._key = SigningKey.generate()
                self.seen: list[bytes] = []

            @property
            def public_key(self) -> str:
                return self._key.verify_key.encode().hex()

            def sign(self, digest: bytes) -> bytes:
                self.seen.append(digest)
                return self._key.sign(digest).signature

        kms = Kms()
        assert isinstance(kms, Signer)
        assert signer_from(kms) is kms
        signed = signed_by(CoboAuth(api_secret=kms, environment="dev"), "GET", f"{BASE}/wallets")
        text = f"GET|/v2/wallets|{signed.headers['Biz-Api-Nonce']}||".encode()
        assert kms.seen == [double_sha256(text)]
        signature = bytes.fromhex(signed.headers["Biz-Api-Signature"])
        VerifyKey(bytes.fromhex(kms.public_key)).verify(kms.seen[0], signature)
        assert signed.headers["Biz-Api-Key"] == kms.public_key

    @pytest.mark.parametrize("hiccup", [ConnectionError, TimeoutError, RuntimeError])
    def test_a_signer_that_fails_once_is_asked_once_more(self, hiccup: type[Exception]) -> None:
        """Nothing was sent, so no harm is done; any other error, or a second one, is told."""
        signer = Failing(hiccup())
        auth = CoboAuth(api_secret=signer, environment="dev")
        assert signed_by(auth, "GET", f"{BASE}/wallets").headers["Biz-Api-Signature"]
        twice: list[Exception] = [hiccup(), hiccup()]
        for failures in (twice, [LookupError()]):
            signer.failures = [*failures]
            with pytest.raises(SignerError, match=type(failures[-1]).__name__):
                signed_by(auth, "GET", f"{BASE}/wallets")

    def test_a_signers_own_typed_error_passes_as_it_is(self) -> None:
        """It says better what is wrong."""
        error = SignerError("the HSM is sealed")
        with pytest.raises(SignerError) as caught:
            signed_by(
                CoboAuth(api_secret=Failing(error), environment="dev"), "GET", f"{BASE}/wallets"
            )
        assert caught.value is error


class Failing(Ed25519Signer):
    """Fails so often."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__(SECRET)
        self.failures = [*failures]

    def sign(self, digest: bytes) -> bytes:
        if self.failures:
            raise self.failures.pop(0)
        return super().sign(digest)


class SteppedClock:
    """A clock whose wall and monotonic readings are set apart."""

    def __init__(self, wall: float = 1_800_000_000.0, monotonic: float = 500.0) -> None:
        self.wall = wall
        self.mono = monotonic

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono


class TestNonces:
    def test_nonces_are_milliseconds_since_the_epoch(self) -> None:
        """As all of Cobo's SDKs send them."""
        assert NonceSource(SteppedClock()).next() == 1_800_000_000_000

    def test_the_first_nonce_is_the_time_itself(self) -> None:
        """However early that is; and so is the first after a correction, which forgets the rest."""
        assert NonceSource(SteppedClock(0.0015)).next() == 1
        source = NonceSource(SteppedClock())
        source.next()
        source.correct_by(0.0015 - 1_800_000_000.0)
        assert [source.next(), source.next()] == [1, 2]

    @pytest.mark.hazard(9)
    def test_a_clock_that_stands_still_gives_no_nonce_twice(self) -> None:
        """Hazard 9: 100,000 nonces drawn by eight threads are 100,000 numbers, each rising."""
        source = NonceSource(SteppedClock())

        def draw(_: int) -> list[int]:
            return [source.next() for _ in range(12_500)]

        with ThreadPoolExecutor(8) as pool:
            drawn = list(pool.map(draw, range(8)))
        assert len({nonce for nonces in drawn for nonce in nonces}) == 100_000
        assert all(nonces == sorted(nonces) for nonces in drawn)

    @pytest.mark.hazard(9)
    def test_nonces_follow_the_clock_once_it_has_caught_up(self) -> None:
        """Hazard 9: a burst runs ahead by as much as it needed, and no longer."""
        clock = SteppedClock()
        source = NonceSource(clock)
        burst = [source.next() for _ in range(10)]
        assert burst == list(range(burst[0], burst[0] + 10))
        clock.mono += 0.005
        assert source.next() == burst[-1] + 1
        clock.mono += 1
        assert source.next() == burst[0] + 1005

    @pytest.mark.hazard(31)
    @pytest.mark.parametrize("off", [3600.0, -3600.0, 61.5])
    def test_a_correction_counts_on_from_the_servers_time(self, off: float) -> None:
        """Hazard 31: forwards and back; afterwards they rise again."""
        source = NonceSource(SteppedClock())
        source.next()
        server_time = 1_800_000_000.0 + off
        assert source.seconds_behind(server_time) == pytest.approx(off)
        source.correct_by(source.seconds_behind(server_time))
        assert source.seconds_behind(server_time) == pytest.approx(0)
        nonces = [source.next() for _ in range(3)]
        assert nonces == pytest.approx([server_time * 1000] * 3, abs=3)
        assert nonces == sorted(set(nonces))

    @pytest.mark.hazard(31)
    def test_of_many_who_see_it_one_corrects(self) -> None:
        """Hazard 31: two requests refused for the same clock do not correct it twice."""
        source = NonceSource(SteppedClock())
        base, server_time = source.base, 1_800_003_600.0
        late = [source.seconds_behind(server_time, base) for _ in range(2)]
        for seconds in late:
            source.correct_by(seconds, base)
        assert source.seconds_behind(server_time) == pytest.approx(0)
        assert source.seconds_behind(server_time, base) == pytest.approx(3600)
        assert source.base != base

    @pytest.mark.hazard(31)
    def test_a_nonce_drawn_during_a_correction_does_not_undo_it(self) -> None:
        """Hazard 31: a thread that read the clock before must not carry the old time over."""

        class Hesitant(SteppedClock):
            """Reads the time, then hesitates in one thread."""

            def __init__(self) -> None:
                super().__init__()
                self.slow: threading.Thread | None = None
                self.reading, self.go_on = threading.Event(), threading.Event()

            def monotonic(self) -> float:
                now = super().monotonic()
                if threading.current_thread() is self.slow:
                    self.reading.set()
                    assert self.go_on.wait(30)
                return now

        clock = Hesitant()
        source = NonceSource(clock)
        clock.slow = slow = threading.Thread(target=source.next)
        slow.start()
        assert clock.reading.wait(30)
        corrector = threading.Thread(target=source.correct_by, args=(-3600.0,))
        corrector.start()
        corrector.join(0.05)  # either it waits for the other, or it has come first
        clock.go_on.set()
        slow.join()
        corrector.join()
        assert source.next() == pytest.approx((1_800_000_000 - 3600) * 1000, abs=5)

    @pytest.mark.hazard(9)
    def test_all_objects_with_one_key_draw_from_one_source(self) -> None:
        """Hazard 9: auth objects made anew for every request give no millisecond twice."""
        clock, signer = SteppedClock(), Ed25519Signer(SECRET)
        other = Environment("other", "https://other.example/v2")
        source = nonces_of(signer, other, clock)
        assert nonces_of(Ed25519Signer(SECRET), other, clock) is source
        assert nonces_of(signer, Environment("x", f"{other.base_url}/"), clock) is source
        assert nonces_of(signer, other, SteppedClock()) is not source
        assert nonces_of(signer, Environment("x", "https://x.example"), clock) is not source
        auths = [
            CoboAuth(api_secret=SECRET, environment=other, clock=clock),
            CoboAuth(api_secret=signer, environment=other, clock=clock),
            CoboOAuth(client_id="c", app_secret=SECRET, org_id="o", environment=other, clock=clock),
        ]
        url = "https://other.example/v2/x"
        nonces = [next(auth.sync_auth_flow(httpx.Request("GET", url))) for auth in auths * 3]
        assert len({request.headers["Biz-Api-Nonce"] for request in nonces}) == 9


class TestQuery:
    @pytest.mark.parametrize(
        ("query", "canonical"),
        [
            (b"", b""),
            (b"a=b", b"a=b"),
            (b"a=b&c=d+e.~-_", b"a=b&c=d+e.~-_"),
            (b"a", b""),
            (b"a=", b""),
            (b"a=&b=1&c", b"b=1"),
            (b"&&a=1&&", b"a=1"),
            (b"chain_ids=BTC,ETH", b"chain_ids=BTC%2CETH"),
            (b"q=a%20b", b"q=a+b"),
            (b"q=a+b", b"q=a+b"),
            (b"q=%2b", b"q=%2B"),
            (b"q=%7E%41", b"q=~A"),
            (b"=v", b"=v"),
            (b"a=b=c", b"a=b%3Dc"),
            (b"a;b=c", b"a%3Bb=c"),
            (b"a=%", b"a=%25"),
            (b"a=2&a=1&b=3&a=2", b"a=2&a=1&b=3&a=2"),
            (b"q=%C3%A9%E2%82%AC", b"q=%C3%A9%E2%82%AC"),
            (b"a=%00", b"a=%00"),
        ],
    )
    def test_the_query_takes_the_sdks_form(self, query: bytes, canonical: bytes) -> None:
        """Blank values fall away; repeated parameters keep their order."""
        assert canonical_query(query) == canonical

    @many
    @given(st.binary(max_size=60).map(lambda raw: quote(raw, safe="=&+;,!*'()").encode()))
    @example(b"a=%ED%A0%80")
    def test_the_canonical_form_says_the_same_or_is_refused(self, query: bytes) -> None:
        """Nothing is lost but blank values, and a second time changes nothing."""
        try:
            said = parse_qsl(query.decode(), errors="strict")
        except UnicodeDecodeError:
            with pytest.raises(UnsignableRequestError) as refused:
                canonical_query(query)
            assert refused.value.__suppress_context__
        else:
            canonical = canonical_query(query)
            assert parse_qsl(canonical.decode()) == said
            assert canonical_query(canonical) == canonical
            assert b"|" not in canonical

    @pytest.mark.parametrize("query", [b"a=%FF", b"%C3=1", b"a=%ED%A0%80", b"a=\xc3\xa9"])
    def test_a_query_that_cannot_be_decoded_is_refused(self, query: bytes) -> None:
        """The SDK would send a replacement character instead; that is another request."""
        with pytest.raises(UnsignableRequestError) as refused:
            canonical_query(query)
        assert str(refused.value) == (
            "the query must be percent-encoded UTF-8, or it cannot be signed as it is sent"
        )


header_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=140)


HYPHENATED = {"Biz-Timestamp": "1", "Biz-Resp-Signature": "aa"}
UNDERSCORED = {"BIZ_TIMESTAMP": "2", "BIZ_RESP_SIGNATURE": "bb"}


@pytest.mark.hazard(73)
@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (HYPHENATED, ("1", "aa")),
        (UNDERSCORED, ("2", "bb")),
        (UNDERSCORED | HYPHENATED, ("1", "aa")),
        ({**UNDERSCORED, "Biz-Timestamp": "1"}, ("2", "bb")),
        ({**UNDERSCORED, **HYPHENATED, "Biz-Timestamp": ""}, ("2", "bb")),
        ({"Biz-Timestamp": "1, 1", "Biz-Resp-Signature": "aa,aa"}, ("1", "aa")),
        ({"Biz-Timestamp": "1, 2", "Biz-Resp-Signature": "aa"}, ("1, 2", "aa")),
        ({"Biz-Timestamp": "1", "BIZ_RESP_SIGNATURE": "bb"}, (None, None)),
        ({"Biz-Timestamp": "1"}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_both_spellings_are_read_the_hyphenated_one_first(
    headers: dict[str, str], found: tuple[str | None, str | None]
) -> None:
    """Hazard 73: a pair of one spelling, whole; in any case of its letters."""
    assert signature_headers(headers.get) == found
    assert signature_headers(httpx.Headers(headers).get) == found
    shouted = {name.upper(): value for name, value in headers.items()}
    assert signature_headers(httpx.Headers(shouted).get) == found


class TestResponseSignature:
    key = SigningKey(bytes(range(32)))
    response_key = key.verify_key.encode().hex()

    def signature(self, body: bytes, timestamp: str) -> str:
        return self.key.sign(double_sha256(body + b"|" + timestamp.encode())).signature.hex()

    @pytest.mark.parametrize(
        ("timestamp", "seconds"),
        [
            ("1800000000123", 1_800_000_000.123),
            ("1800000000", 1_800_000_000.0),
            ("99999999999", 99_999_999_999.0),  # seconds, three thousand years from now
            ("100000000000", 100_000_000.0),  # twelve digits: milliseconds, from 1973 on
            ("7", 7.0),
            ("0", 0.0),
            ("soon", 0.0),
            ("-5", 0.0),
            ("1.5", 0.0),
            ("\N{ARABIC-INDIC DIGIT ONE}", 0.0),
            ("9" * 6000, 99_999_999_999_999_999.999),
        ],
    )
    def test_a_signed_time_is_seconds_or_nothing_to_go_by(
        self, timestamp: str, seconds: float
    ) -> None:
        """Milliseconds and seconds are told apart; whatever is no number gives 0.0."""
        signature = self.signature(b"body", timestamp)
        assert verified_time(self.response_key, b"body", timestamp, signature) == seconds

    @pytest.mark.hazard(39)
    def test_an_answer_signed_otherwise_has_no_time(self) -> None:
        """Hazard 39: other body, other time, other key, no hex, too short, nothing at all."""
        good = self.signature(b"body", "1")
        other = SigningKey(bytes(32)).sign(double_sha256(b"body|1")).signature.hex()
        assert verified_time(self.response_key, b"body", "1", good) == 1.0
        for body, timestamp, signature in [
            (b"Body", "1", good),
            (b"body", "2", good),
            (b"body|1", "", good),
            (b"body", "1", other),
            (b"body", "1", "xyz"),
            (b"body", "1", good[:-2]),
            (b"body", "1", ""),
            (b"body", None, good),
            (b"body", "1", None),
        ]:
            assert verified_time(self.response_key, body, timestamp, signature) is None
        assert verified_time("00", b"body", "1", good) is None

    @many
    @given(header_text, header_text)
    def test_no_header_breaks_the_check(self, timestamp: str, signature: str) -> None:
        """Whatever comes is answered by None, never by an exception."""
        assert verified_time(self.response_key, b"{}", timestamp, signature) is None


# ------------------------------------------------------------------------- the official SDK
waas: Any = importlib.import_module("cobo_waas2")
sdk_helper: Any = importlib.import_module("cobo_waas2.crypto.signing_helper")


def signed_by(auth: CoboAuth | CoboOAuth, method: str, url: str, **more: Any) -> httpx.Request:
    """Return the request as it is first sent."""
    flow = auth.sync_auth_flow(httpx.Request(method, url, **more))
    request = next(flow)
    flow.close()
    return request


def biz(headers: Any) -> dict[str, str]:
    return {name: headers[name] for name in ("Biz-Api-Key", "Biz-Api-Nonce", "Biz-Api-Signature")}


class Sdk:
    """The SDK as it is; only its clock and its socket are ours."""

    def __init__(self, host: str = BASE) -> None:
        self.nonce = 0
        configuration = waas.Configuration(api_private_key=SECRET, host=host)
        self.client: Any = waas.ApiClient(configuration)
        self.sent: list[tuple[str, str, dict[str, str], object]] = []
        self.client.rest_client.request = self._request

    def time(self) -> Any:
        """Seconds that give exactly the nonce wanted, without a rounding error."""
        return Fraction(self.nonce, 1000)

    def _request(
        self, method: str, url: str, *, headers: dict[str, str], body: object = None, **_: object
    ) -> None:
        self.sent.append((method, url, dict(headers), body))

    def url_of(self, path: str, path_params: dict[str, str], query: list[tuple[str, Any]]) -> str:
        """Return the URL that the SDK's API classes would ask for."""
        _, url, *_ = self.client.param_serialize("GET", path, path_params, query)
        return cast("str", url)

    def send(self, method: str, url: str, body: object, nonce: str) -> tuple[str, dict[str, str]]:
        """Have a request sent with that nonce; give target on the wire, and headers."""
        self.nonce = int(nonce)
        self.client.call_api(method, url, {}, body)
        _, sent_url, headers, _ = self.sent.pop()
        return urllib3.util.parse_url(sent_url).request_uri, biz(headers)


@pytest.fixture(scope="module")
def sdk() -> Iterator[Sdk]:
    sdk = Sdk()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sdk_helper, "time", SimpleNamespace(time=sdk.time))
        yield sdk


@pytest.fixture(scope="module")
def plain() -> CoboAuth:
    return CoboAuth(api_secret=SECRET, environment="dev", clock=ManualClock())


@pytest.fixture(scope="module")
def oauth() -> CoboOAuth:
    """An auth that has a token, at an address that the SDK knows, too."""
    clock = ManualClock()
    simulator = CoboSimulator(clock=clock)
    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=Environment("dev", BASE, simulator.environment.response_key),
        clock=clock,
    )
    with httpx.Client(transport=simulator) as client:
        auth.token(client)
    return auth


odd_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text(
    "/?#&=%+ ;,:@|\\\"'<>[]{}~*!$()^`.-_\t\n\x00éß€😀", max_size=12
)
segments = odd_text.filter(lambda text: text not in {"", ".", ".."})
values = odd_text | st.integers() | st.booleans() | st.floats(allow_nan=False) | st.lists(odd_text)
parameters = st.dictionaries(
    st.sampled_from(["limit", "before", "after", "chain_ids", "wallet_id"]), values, max_size=3
)
bodies = st.dictionaries(odd_text, values | st.none(), min_size=1, max_size=3)


class TestLikeTheSdk:
    @pytest.mark.hazard(7)
    @many
    @given(
        method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        first=segments,
        second=segments,
        query=parameters,
        body=bodies | st.none(),
    )
    def test_requests_of_its_api_classes(
        self,
        sdk: Sdk,
        plain: CoboAuth,
        oauth: CoboOAuth,
        method: str,
        first: str,
        second: str,
        query: dict[str, Any],
        body: dict[str, Any] | None,
    ) -> None:
        """Hazard 7: path and query parameters and JSON of any kind give the same headers."""
        if method in {"GET", "HEAD"}:
            body = None  # the SDK would sign it, but not send it
        names = {"wallet_id": first, "token_id": second}
        url = sdk.url_of("/wallets/{wallet_id}/tokens/{token_id}", names, list(query.items()))
        content = None if body is None else json.dumps(body).encode()
        for auth in (plain, oauth):
            ours = signed_by(auth, method, url, content=content)
            theirs = sdk.send(method, url, body, ours.headers["Biz-Api-Nonce"])
            assert (ours.url.raw_path.decode(), biz(ours.headers)) == theirs

    @pytest.mark.hazard(7)
    @many
    @given(
        path=st.lists(st.binary(max_size=8).map(lambda raw: quote(raw, safe="!$&'()*+,=:@~"))).map(
            lambda parts: "".join(f"/{part}" for part in parts if part not in {".", ".."})
        ),
        query=st.text(
            st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="#"), max_size=30
        )
        | st.text("ab=&%+ ;,é25CF", max_size=30),
    )
    @example(path="", query="a=&b=%")
    @example(path="/x", query="=1&&b")
    def test_urls_of_any_kind(self, sdk: Sdk, plain: CoboAuth, path: str, query: str) -> None:
        """Hazard 7: odd characters and blank parameters give the same target, and headers."""
        pairs = parse_qsl(query)
        assume(len({name for name, _ in pairs}) == len(pairs))  # it keeps the last one only
        try:
            parse_qsl(query, errors="strict")
        except UnicodeDecodeError:
            assume(condition=False)  # it sends a replacement character instead
        url = f"{BASE}{path}?{query}" if query else BASE + path
        ours = signed_by(plain, "GET", url)
        theirs = sdk.send("GET", url, None, ours.headers["Biz-Api-Nonce"])
        assert (ours.url.raw_path.decode(), biz(ours.headers)) == theirs

    @pytest.mark.hazard(7)
    @many
    @given(
        body=st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(str.encode),
        query=st.dictionaries(odd_text, odd_text.filter(bool), max_size=3),
        method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]),
    )
    def test_utf8_bodies(
        self, sdk: Sdk, plain: CoboAuth, method: str, query: dict[str, str], body: bytes
    ) -> None:
        """Hazard 7: whatever text a body has, and whatever names a query."""
        url = f"{BASE}/transactions" + (f"?{urlencode(query)}" if query else "")
        ours = signed_by(plain, method, url, content=body)
        sdk.nonce = int(ours.headers["Biz-Api-Nonce"])
        theirs: dict[str, str] = sdk_helper.SignHelper.generate_headers(
            signer=sdk.client.configuration.signer,
            body=body,
            method=method,
            params=query,
            path="/v2/transactions",
        )
        assert biz(ours.headers) == theirs

    @many
    @given(st.binary(max_size=40), st.text("GETPOSabc", min_size=1), st.binary(max_size=40))
    def test_the_digest_of_text(self, path: bytes, method: str, body: bytes) -> None:
        """The text is joined as documented, bytes untouched."""
        text = b"|".join((method.encode(), path, b"7", b"a=b", body))
        assert request_digest(method, path, "7", b"a=b", body) == double_sha256(text)

    @pytest.mark.parametrize("spend", [False, True], ids=["org_implicit", "refresh_token"])
    def test_exchanges(self, sdk: Sdk, clock: ManualClock, *, spend: bool) -> None:
        """Both requests to the token endpoint are the SDK's: method, URL, body, headers."""
        simulator = CoboSimulator(clock=clock)
        environment = Environment("dev", BASE, simulator.environment.response_key)
        auth = CoboOAuth(
            client_id="app+1 &x",
            app_secret=SECRET,
            org_id="e3986401-4aec-480a-973d-e775a4518413",
            environment=environment,
            clock=clock,
        )
        simulator.client_id = auth.client_id
        sent: list[tuple[httpx.Request, bytes]] = []

        def record(request: httpx.Request) -> httpx.Response:
            sent.append((request, request.content))  # It is emptied later.
            return simulator.handle_request(request)

        with httpx.Client(transport=httpx.MockTransport(record)) as client:
            token = auth.token(client)
            if spend:
                auth.renew(client)
        ours, content = sent[-1]
        oauth_api = waas.OAuthApi(sdk.client)
        sdk.nonce = int(ours.headers["Biz-Api-Nonce"])
        arguments: tuple[Any, ...] = (auth.client_id, auth.org_id, "org_implicit")
        serialize = oauth_api._get_token_serialize
        if spend:
            serialize = oauth_api._refresh_token_serialize
            form = waas.RefreshTokenRequest(
                client_id=auth.client_id,
                grant_type="refresh_token",
                refresh_token=token.refresh_token,
            )
            arguments = (form,)
        sdk.client.call_api(*serialize(*arguments))
        method, url, headers, body = sdk.sent.pop()
        assert (ours.method, str(ours.url)) == (method, url)
        assert content == (json.dumps(body).encode() if body else b"")
        assert biz(ours.headers) == biz(headers)
        assert "Authorization" not in ours.headers

    def test_thousands_of_odd_queries_are_sent_as_signed_and_survive_re_encoding(
        self, sdk: Sdk, plain: CoboAuth
    ) -> None:
        """Hazard 7: what is sent is what was signed; decoded and encoded again it is the same.

        So by ``urllib``, and by the Python SDK, which re-encodes what it is given.
        """
        odd = random.Random(20261126)  # noqa: S311 - the same queries each time
        alphabet = [*"ab=&&==%+ ;,:@/?'\"<>[]{}|\\^`~!$()*.-_0", "%20", "%2B", "%26", "%3D", "%7E"]
        alphabet += ["%C3%A9", "\u00e9", "\u20ac", "\U0001f600", "a=1&a=2&", "x=&"]
        tried = repeated = 0
        while tried < 5000:
            text = "".join(odd.choices(alphabet, k=odd.randrange(1, 14)))
            try:
                request = signed_by(plain, "GET", f"{BASE}/x?{text}")
            except UnsignableRequestError:
                continue
            tried += 1
            path, _, sent = request.url.raw_path.partition(b"?")
            nonce = request.headers["Biz-Api-Nonce"]
            digest = request_digest("GET", path, nonce, sent, b"")
            signature = bytes.fromhex(request.headers["Biz-Api-Signature"])
            VerifyKey(bytes.fromhex(KEY)).verify(digest, signature)
            pairs = parse_qsl(sent.decode())
            assert urlencode(pairs).encode() == sent
            assert canonical_query(sent) == sent
            if len({name for name, _ in pairs}) < len(pairs):
                repeated += 1  # of these the SDK keeps the last one only
                continue
            target, headers = sdk.send("GET", f"{BASE}/x?{sent.decode()}", None, nonce)
            assert target.encode() == request.url.raw_path
            assert headers == biz(request.headers)
        assert repeated > 100

    def test_repeated_keys_stay_and_odd_characters_of_a_path_are_signed_as_sent(
        self, plain: CoboAuth
    ) -> None:
        """As documented: order and number of parameters, percent-encoding of the path."""
        request = signed_by(plain, "GET", f"{BASE}/w/a%2Fb c\u00e9?id=2&id=1&x=&id=2")
        assert request.url.raw_path == b"/v2/w/a%2Fb%20c%C3%A9?id=2&id=1&id=2"
        nonce = request.headers["Biz-Api-Nonce"]
        path, _, query = request.url.raw_path.partition(b"?")
        signature = bytes.fromhex(request.headers["Biz-Api-Signature"])
        digest = request_digest("GET", path, nonce, query, b"")
        VerifyKey(bytes.fromhex(KEY)).verify(digest, signature)

    def test_a_query_that_the_sdk_would_falsify_is_refused(self, sdk: Sdk, plain: CoboAuth) -> None:
        """It sends U+FFFD in place of what it cannot decode; here nothing is sent."""
        target, _ = sdk.send("GET", f"{BASE}/x?a=%FF", None, "1")
        assert target == "/v2/x?a=%EF%BF%BD"
        with pytest.raises(UnsignableRequestError):
            signed_by(plain, "GET", f"{BASE}/x?a=%FF")
