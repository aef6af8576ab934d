"""Answers are Cobo's, or they are refused before their body reaches the caller."""

# ruff: noqa: ANN401 - options and faults are handed through

from __future__ import annotations

import contextlib
import gzip
import importlib
import ssl
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from nacl.signing import SigningKey

from httpx_cobo_auth import (
    ConfigurationError,
    Ed25519Signer,
    Environment,
    ResponseSignatureError,
    Timeouts,
    TokenUnavailableError,
)
from httpx_cobo_auth._protocol.nonces import NonceSource
from httpx_cobo_auth._runtime.requests import Wire
from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import CoboAuth, CoboOAuth, PortalApp, httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from httpx_cobo_auth.testing import FaultKind

SECRET = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading certificates takes longer than a test
FAULTS: dict[str, dict[str, Any]] = {
    "tampered": {"kind": "tamper"},
    "unsigned": {"kind": "unsigned"},
    "tampered error": {"kind": "tamper", "status": 404},
    "tampered 401": {"kind": "tamper", "status": 401, "effect": False},
    "tampered 500": {"kind": "tamper", "status": 500, "body": {"error_code": 1000}},
    "another body": {"kind": "tamper", "body": {"data": "planted"}},
    "unsigned body": {"kind": "unsigned", "body": "planted"},
    "garbage": {"kind": "garbage", "signed": False},
    "unsigned 204": {"kind": "unsigned", "status": 204},
}
PASSING: dict[str, tuple[int, dict[str, Any]]] = {
    "as it should be": (200, {"kind": "delay"}),
    "signed garbage": (200, {"kind": "garbage"}),
    "signed error": (400, {"kind": "answer", "status": 400}),
    "502 of a proxy": (502, {"kind": "answer", "status": 502, "body": "<html>", "signed": False}),
    "404 of a proxy": (404, {"kind": "answer", "status": 404, "signed": False}),
    "429 of a proxy": (429, {"kind": "answer", "status": 429, "signed": False}),
    "redirect of a proxy": (307, {"kind": "redirect", "url": "https://a.example", "signed": False}),
    "signed 204": (204, {"kind": "delay", "status": 204}),
}


def oauth(simulator: CoboSimulator, **options: Any) -> CoboOAuth:
    return CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=options.pop("environment", simulator.environment),
        clock=simulator.clock,
        timeouts=Timeouts(exchange=0.05),
        **options,
    )


def plain(simulator: CoboSimulator) -> CoboAuth:
    simulator.add_api_key(Ed25519Signer("11" * 32).public_key)
    return CoboAuth(
        api_secret="11" * 32,
        environment=simulator.environment,
        clock=simulator.clock,
        verify_responses=True,
    )


KINDS: list[Callable[[CoboSimulator], CoboAuth | CoboOAuth]] = [
    lambda simulator: oauth(simulator, verify_responses=True),
    plain,
]
both_kinds = pytest.mark.parametrize("kind", KINDS, ids=["CoboOAuth", "CoboAuth"])


@contextlib.contextmanager
def client_of(simulator: CoboSimulator, auth: CoboAuth | CoboOAuth) -> Generator[httpx.Client]:
    """Return a client with a token, so that the next answer is one of the API."""
    base_url = simulator.environment.base_url
    with httpx.Client(auth=auth, base_url=base_url, transport=simulator) as client:
        assert client.get("/wallets").status_code == 200
        yield client


@pytest.mark.hazard(39)
@both_kinds
@pytest.mark.parametrize("name", FAULTS)
def test_what_is_not_cobos_is_refused(
    simulator: CoboSimulator, kind: Callable[[CoboSimulator], CoboAuth], name: str
) -> None:
    """Read or streamed, the body does not reach the caller."""
    with client_of(simulator, kind(simulator)) as client:
        with simulator.inject("api", times=None, **FAULTS[name]) as fault:
            with pytest.raises(ResponseSignatureError, match="signed; it may be forged") as no:
                client.get("/wallets")
            with (
                pytest.raises(ResponseSignatureError),
                client.stream("GET", "/wallets"),
            ):
                pytest.fail("the caller got it")
            assert fault.hits == 2
        assert "planted" not in f"{no.value!r}"
        assert client.get("/wallets").status_code == 200


@pytest.mark.hazard(39)
@both_kinds
@pytest.mark.parametrize("name", FAULTS)
async def test_what_is_not_cobos_is_refused_to_tasks(
    simulator: CoboSimulator, kind: Callable[[CoboSimulator], CoboAuth], name: str
) -> None:
    """On both event loops."""
    base_url = simulator.environment.base_url
    async with httpx.AsyncClient(
        auth=kind(simulator), base_url=base_url, transport=simulator
    ) as client:
        await client.get("/wallets")
        with simulator.inject("api", times=None, **FAULTS[name]):
            with pytest.raises(ResponseSignatureError, match="signed; it may be forged"):
                await client.get("/wallets")
            with pytest.raises(ResponseSignatureError):
                async with client.stream("GET", "/wallets"):
                    pytest.fail("the caller got it")


@pytest.mark.hazard(39)
@both_kinds
@pytest.mark.parametrize("name", PASSING)
def test_what_is_cobos_or_an_error_on_the_way_passes(
    simulator: CoboSimulator, kind: Callable[[CoboSimulator], CoboAuth], name: str
) -> None:
    """An unsigned error is that HTTP error, whatever its status."""
    status, fault = PASSING[name]
    with client_of(simulator, kind(simulator)) as client:
        simulator.inject("api", times=2, **fault)
        response = client.get("/wallets")
        assert response.status_code == status
        with client.stream("GET", "/wallets") as streamed:
            assert streamed.status_code == status
            body = b"".join(streamed.iter_bytes())
        assert (len(body) > 0) == (status != 204)
        assert response.content == body or status not in {200, 502}


@pytest.mark.hazard(39)
@both_kinds
@pytest.mark.parametrize("name", PASSING)
async def test_the_same_passes_to_tasks(
    simulator: CoboSimulator, kind: Callable[[CoboSimulator], CoboAuth], name: str
) -> None:
    """On both event loops."""
    status, fault = PASSING[name]
    base_url = simulator.environment.base_url
    async with httpx.AsyncClient(
        auth=kind(simulator), base_url=base_url, transport=simulator
    ) as client:
        await client.get("/wallets")
        simulator.inject("api", times=2, **fault)
        assert (await client.get("/wallets")).status_code == status
        async with client.stream("GET", "/wallets") as streamed:
            assert streamed.status_code == status
            assert (len(await streamed.aread()) > 0) == (status != 204)


@pytest.mark.hazard(39)
@both_kinds
def test_answers_without_a_body(
    simulator: CoboSimulator, kind: Callable[[CoboSimulator], CoboAuth]
) -> None:
    """HEAD and 204 are signed over nothing, and that is verified."""
    with client_of(simulator, kind(simulator)) as client:
        assert client.head("/echo").status_code == 200
        kinds: list[FaultKind] = ["unsigned", "tamper"]
        for fault in kinds:
            simulator.inject("api", fault)
            with pytest.raises(ResponseSignatureError):
                client.head("/echo")


@pytest.mark.hazard(39)
@pytest.mark.parametrize("status", [401, 500])
def test_an_unsigned_refusal_is_mended_as_ever(simulator: CoboSimulator, status: int) -> None:
    """It passes as that error; what it says about the token may be true."""
    with client_of(simulator, oauth(simulator, verify_responses=True)) as client:
        simulator.inject("api", status=status, error_code=1000, signed=False)
        response = client.get("/wallets")
        assert response.status_code == 200
        assert [past.status_code for past in response.history] == [status]


@pytest.mark.hazard(33, 39)
def test_a_refused_answer_does_not_repeat_a_write(simulator: CoboSimulator) -> None:
    """It ran, or nobody knows; the error says what is wrong with the answer."""
    with client_of(
        simulator, oauth(simulator, verify_responses=True, replay_writes=True)
    ) as client:
        simulator.inject("api", "tamper")
        with pytest.raises(ResponseSignatureError, match="HTTP 201"):
            client.post("/transactions/transfer", json={"request_id": "1"})
        assert simulator.counters.executed_writes == 1
        assert client.get("/wallets").status_code == 200
        assert simulator.counters.exchanges == 1


@pytest.mark.hazard(39)
@pytest.mark.parametrize("size", [0, 64 * 1024, 64 * 1024 + 1, 3_000_000])
def test_any_size_is_verified(simulator: CoboSimulator, size: int) -> None:
    """A stream is read to its end first, however long it is."""
    with client_of(simulator, oauth(simulator, verify_responses=True)) as client:
        simulator.inject("api", "delay", body=b"x" * size, times=2)
        assert client.get("/wallets").content == b"x" * size
        with client.stream("GET", "/wallets") as streamed:
            assert streamed.read() == b"x" * size
        simulator.inject("api", "tamper", body=b"x" * size)
        with pytest.raises(ResponseSignatureError):
            client.get("/wallets")


@pytest.mark.hazard(39)
def test_over_a_socket(simulator: CoboSimulator) -> None:
    """The same over a real one, by a client of ``auth.client()``."""
    with simulator.serve():
        auth = oauth(simulator, verify_responses=True)
        with auth.client(verify=NO_TLS) as client:
            assert client.get("/wallets").status_code == 200
            simulator.inject("api", "tamper")
            with pytest.raises(ResponseSignatureError):
                client.get("/wallets")
            with client.stream("GET", "/wallets") as streamed:
                assert b"".join(streamed.iter_bytes()).startswith(b"{")


# ---------------------------------------------------------------------- when it is not asked
@pytest.mark.hazard(39)
@pytest.mark.parametrize("kind", ["tamper", "unsigned"])
def test_unasked_answers_are_not_verified(simulator: CoboSimulator, kind: Any) -> None:
    """It costs streaming, so it is the caller's choice."""
    with client_of(simulator, oauth(simulator)) as client:
        simulator.inject("api", kind)
        assert client.get("/wallets").status_code == 200


@pytest.mark.hazard(39)
@pytest.mark.parametrize("kind", ["tamper", "unsigned"])
@pytest.mark.parametrize("safe", [True, False], ids=["client()", "auth="])
def test_token_answers_are_always_verified(
    simulator: CoboSimulator, kind: Any, *, safe: bool
) -> None:
    """Where the environment has a key, asked or not."""
    auth = oauth(simulator)
    client = (
        auth.client(transport=simulator)
        if safe
        else httpx.Client(auth=auth, base_url=simulator.environment.base_url, transport=simulator)
    )
    with client:
        with (
            simulator.inject("token", kind, times=None),
            pytest.raises((ResponseSignatureError, TokenUnavailableError), match="signed"),
        ):
            client.get("/wallets")
        assert simulator.counters.requests == 0
        assert client.get("/wallets").status_code == 200


@pytest.mark.hazard(39)
async def test_token_answers_are_always_verified_for_tasks(simulator: CoboSimulator) -> None:
    """On both event loops."""
    async with oauth(simulator).async_client(transport=simulator) as client:
        with (
            simulator.inject("token", "tamper", times=None),
            pytest.raises((ResponseSignatureError, TokenUnavailableError), match="signed"),
        ):
            await client.get("/wallets")
        assert (await client.get("/wallets")).status_code == 200


def test_without_a_key_nothing_is_verified(simulator: CoboSimulator) -> None:
    """An environment of one's own without a response key works, and says so by having none."""
    environment = Environment("mine", simulator.environment.base_url)
    auth = oauth(simulator, environment=environment)
    simulator.inject("token", "unsigned")
    simulator.inject("api", "tamper")
    with auth.client(transport=simulator) as client:
        assert client.get("/wallets").status_code == 200


def test_verifying_needs_a_key() -> None:
    """Whoever asks for it where it cannot be done is told at once."""
    environment = Environment("mine", "https://a.example")
    with pytest.raises(ConfigurationError, match="response_key"):
        CoboAuth(api_secret=SECRET, environment=environment, verify_responses=True)
    with pytest.raises(ConfigurationError, match="response_key"):
        PortalApp(client_id="c", app_secret=SECRET, environment=environment, verify_responses=True)


# ------------------------------------------------------------------------------------ as the SDK
KEY = SigningKey(bytes(range(32)))


def double_sha256(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def sdk_refuses(status: int, body: bytes, headers: httpx.Headers) -> bool:
    """Ask the official SDK, with our key in place of Cobo's."""
    waas: Any = importlib.import_module("cobo_waas2")
    key = KEY.verify_key.encode().hex()
    answer = SimpleNamespace(status=status, reason="", data=body)
    answer.getheaders, answer.getheader = lambda: headers, headers.get
    client = SimpleNamespace(configuration=SimpleNamespace(resp_pubkey=key), deserialize=None)
    try:
        waas.ApiClient.response_deserialize(client, answer, {})
    except waas.ApiException as error:
        return "resp signature" in str(error.reason)
    except ValueError:
        return True  # no hex: it fails in its own way
    return False


@pytest.mark.hazard(39)
@pytest.mark.parametrize(
    "status", [200, 201, 204, 299, 302, 307, 400, 401, 403, 404, 429, 500, 502]
)
def test_the_sdk_decides_the_same(status: int) -> None:
    """Every status, signed well, badly, in part, not at all."""
    environment = Environment("mine", "https://a.example", KEY.verify_key.encode().hex())
    clock = ManualClock()
    wire = Wire(environment, Ed25519Signer(SECRET), NonceSource(clock), clock)
    body = '{"é": 1}'.encode()
    good = KEY.sign(double_sha256(body + b"|123")).signature.hex()
    decided: list[bool] = []
    for timestamp in ("123", "124", "", None):
        for signature in (good, good.upper(), good[::-1], "00", "xyz", "", None):
            pairs = [("Biz-Timestamp", timestamp), ("Biz-Resp-Signature", signature)]
            headers = httpx.Headers([(name, value) for name, value in pairs if value is not None])
            response = httpx.Response(status, content=body, headers=headers)
            try:
                wire.verify(response, body)
            except ResponseSignatureError:
                refused = True
            else:
                refused = False
            assert refused == sdk_refuses(status, body, headers), (timestamp, signature)
            decided.append(refused)
    assert True in decided
    assert False in decided


@pytest.mark.hazard(39)
def test_packed_answers_are_verified_unpacked(simulator: CoboSimulator) -> None:
    """A proxy on the way may pack what Cobo has signed."""

    def pack(request: httpx.Request) -> httpx.Response:
        answer = simulator.handle_request(request)
        content = answer.read()
        headers = {**answer.headers, "Content-Encoding": "gzip"}
        headers.pop("content-length")
        return httpx.Response(answer.status_code, content=gzip.compress(content), headers=headers)

    auth = oauth(simulator, verify_responses=True)
    with auth.client(transport=httpx.MockTransport(pack)) as client:
        assert client.get("/wallets").json()["data"]
