"""No secret shows anywhere, whatever happens in the life of a token.

Lives are led at log level DEBUG, through good days and all kinds of bad ones. Then everything
that came of them is searched for the app's secret and for every token ever issued.
"""

# ruff: noqa: ANN401 - options are handed through

from __future__ import annotations

import base64
import contextlib
import copy
import io
import logging
import pickle
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import httpx_cobo_auth
from httpx_cobo_auth import (
    CoboAuthError,
    Ed25519Signer,
    MemoryStore,
    SignerError,
    StoreUnavailableError,
    Timeouts,
    Token,
    TokenEndpointError,
    TokenRefusedError,
    TokenReplyError,
)
from httpx_cobo_auth.events import TokenChanged
from tests.family import CoboAuth, CoboOAuth, PortalApp, httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from typing import Literal

    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth.events import Event
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock

PACKAGE = Path(httpx_cobo_auth.__path__[0])
NOT_OURS = PACKAGE / "testing"  # the simulator knows all the secrets
HALF_A_DAY = 12 * 3600.0


# ------------------------------------------------------------------------- what can be looked at
def secrets_of(simulator: CoboSimulator) -> set[str]:
    """Return every secret there is, in every form in which it might show."""
    book = simulator._core.tokens
    tokens = {*book._access, *book._refresh}
    seed = bytes.fromhex(simulator.app_secret)
    forms = {simulator.app_secret, repr(seed)[2:-1], base64.b64encode(seed).decode()}
    return tokens | forms | {text[:24] for text in tokens | {simulator.app_secret}}


def texts_of(thing: object) -> Iterator[str]:
    """Return what is shown of an object of ours, and of all that can be reached by ``vars``."""
    seen: set[int] = set()
    todo: list[object] = [thing]
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield from (repr(item), str(item), f"{item}")
        if isinstance(item, dict):
            todo += list(cast("Mapping[object, object]", item).items())
        elif isinstance(item, list | tuple | set | frozenset):
            todo += cast("Iterable[object]", item)
        elif type(item).__module__.startswith("httpx_cobo_auth") and hasattr(item, "__dict__"):
            todo.append(vars(item))


def texts_of_error(error: BaseException) -> Iterator[str]:
    """Return what an error tracker that records locals sends, in so far as it is ours."""
    todo: list[BaseException | None] = [error]
    while todo:
        item = todo.pop()
        if item is None:
            continue
        todo += [item.__cause__, item.__context__]
        yield from (repr(item), str(item), repr(item.args), repr(vars(item)))
        recorded = traceback.TracebackException.from_exception(item, capture_locals=True)
        yield "".join(recorded.format_exception_only())
        for frame in recorded.stack:
            path = Path(frame.filename)
            if PACKAGE in path.parents and NOT_OURS not in path.parents:
                yield f"{frame.filename}:{frame.lineno} {frame.locals}"


def texts_of_response(response: httpx.Response) -> Iterator[str]:
    """Return all bodies, of answers and requests, that a caller can get hold of."""
    todo = [response]
    while todo:
        item = todo.pop()
        todo += item.history
        yield from (repr(item), item.content.decode("latin-1"))
        yield from (repr(item.request), item.request.content.decode("latin-1"))
        yield str(item.request.url)


@dataclass
class Life:
    """One auth object, and everything that came of using it."""

    simulator: CoboSimulator
    clock: ManualClock
    errors: list[BaseException] = field(default_factory=list[BaseException])
    responses: list[httpx.Response] = field(default_factory=list[httpx.Response])
    events: list[Event] = field(default_factory=list["Event"])
    records: list[logging.LogRecord] = field(default_factory=list[logging.LogRecord])
    written: io.StringIO = field(default_factory=io.StringIO)

    def auth(self, **options: Any) -> CoboOAuth:
        return CoboOAuth(
            client_id=self.simulator.client_id,
            app_secret=options.pop("app_secret", self.simulator.app_secret),
            org_id=self.simulator.org_id,
            environment=self.simulator.environment,
            clock=self.clock,
            timeouts=Timeouts(exchange=0.05, early_exchange=0.05, drain=0.0, lock=0.0, grace=0.0),
            on_event=options.pop("on_event", self.events.append),
            **options,
        )

    @contextlib.contextmanager
    def minding(self, *expected: type[Exception]) -> Generator[None]:
        """Take note of the error that may come, or must."""
        kinds = expected or (CoboAuthError, httpx.TransportError)
        try:
            yield
        except kinds as error:
            self.errors.append(error)
        else:
            assert not expected, f"no {expected}"

    def keep(self, response: httpx.Response) -> httpx.Response:
        self.responses.append(response)
        return response

    def search(self, *things: object) -> None:
        """Fail where a secret shows."""
        texts = [text for thing in (*things, self.events) for text in texts_of(thing)]
        texts += [text for error in self.errors for text in texts_of_error(error)]
        texts += [text for response in self.responses for text in texts_of_response(response)]
        texts += [repr(vars(record)) for record in self.records]
        texts += [self.written.getvalue()]
        secrets = secrets_of(self.simulator)
        assert len(secrets) > 3
        for text in texts:
            for secret in secrets:
                assert secret not in text, text


class Noting(logging.Handler):
    """Keeps records as they are, and as they are written down."""

    def __init__(self, life: Life) -> None:
        super().__init__(logging.DEBUG)
        self.life = life
        self.writer = logging.StreamHandler(life.written)
        self.writer.setFormatter(logging.Formatter(logging.BASIC_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        self.life.records.append(record)
        self.life.written.write(self.writer.format(record) + "\n")


@pytest.fixture
def life(
    simulator: CoboSimulator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Life]:
    """A life whose log is written at level DEBUG."""
    life = Life(simulator, clock)
    logger = logging.getLogger("httpx_cobo_auth")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [Noting(life)])
    logger.setLevel(logging.DEBUG)
    yield life
    logger.setLevel(logging.NOTSET)


WAYS = pytest.mark.parametrize("safe", [True, False], ids=["client()", "auth="])


def client_of(auth: CoboOAuth, transport: Any, *, safe: bool, **options: Any) -> httpx.Client:
    if safe:
        return auth.client(transport=transport, **options)
    base_url = auth.environment.base_url
    return httpx.Client(auth=auth, base_url=base_url, transport=transport, **options)


def async_client_of(auth: CoboOAuth, transport: Any, *, safe: bool) -> httpx.AsyncClient:
    if safe:
        return auth.async_client(transport=transport)
    return httpx.AsyncClient(auth=auth, base_url=auth.environment.base_url, transport=transport)


def token_of(auth: CoboOAuth) -> Token:
    held = auth._session.account.known.held
    assert held is not None
    return held.token


# ------------------------------------------------------------------------------ good days, bad days
TROUBLE: dict[str, dict[str, Any]] = {
    "503": {"kind": "answer", "status": 503},
    "429": {"kind": "answer", "status": 429, "retry_after": 7},
    "502 of a proxy": {"kind": "answer", "status": 502, "body": "<html>", "signed": False},
    "400": {"kind": "answer", "status": 400},
    "400 of a proxy": {"kind": "answer", "status": 400, "signed": False},
    "drop": {"kind": "drop"},
    "hang": {"kind": "hang"},
    "refuse": {"kind": "refuse"},
    "tamper": {"kind": "tamper"},
    "unsigned": {"kind": "unsigned"},
    "garbage": {"kind": "garbage"},
    "huge": {"kind": "huge"},
    "redirect": {"kind": "redirect", "url": "https://cobo.test/v2/oauth/token?x=y"},
    "list": {"kind": "delay", "body": [1]},
    "mistyped": {"kind": "delay", "body": {"access_token": 7, "expires_in": -1}},
    "packed badly": {"kind": "delay", "headers": {"Content-Encoding": "gzip"}},
}


@pytest.mark.hazard(2, 3, 37)
@WAYS
def test_on_good_days(life: Life, *, safe: bool) -> None:
    """First token, renewals of every kind, refusals that are mended."""
    auth, simulator = life.auth(), life.simulator
    with client_of(auth, simulator, safe=safe) as client:
        life.keep(client.get("/wallets"))
        life.keep(client.post("/transactions/transfer", json={"request_id": "1"}))
        life.clock.advance(HALF_A_DAY - 1000)  # STALE
        life.keep(client.get("/wallets"))
        life.clock.advance(2 * HALF_A_DAY)  # EXPIRED
        life.keep(client.post("/transactions/transfer", json={"request_id": "2"}))
        simulator.revoke_tokens()
        life.keep(client.get("/wallets"))
        simulator.revoke_tokens()
        life.keep(client.post("/transactions/transfer", json={"request_id": "3"}))
        life.clock.advance(3600)
        life.keep(client.get("/wallets"))
        simulator.expire_refresh_token()
        token = auth.renew(client)
        auth.forget()
        life.keep(client.get("/wallets"))
        life.search(auth, token, client.auth, auth.environment, auth._app, auth._session)
    assert [response.status_code for response in life.responses].count(500) == 1
    changes = [event for event in life.events if isinstance(event, TokenChanged)]
    assert len(changes) == simulator.counters.issued >= 6
    assert len(life.records) >= len(life.events)


@pytest.mark.hazard(2, 3, 37)
@WAYS
@pytest.mark.parametrize("name", TROUBLE)
@pytest.mark.parametrize("state", ["MISSING", "STALE", "EXPIRED"])
def test_when_the_token_endpoint_fails(life: Life, name: str, state: str, *, safe: bool) -> None:
    """Whatever the failure, and whatever is at stake."""
    auth, simulator = life.auth(), life.simulator
    trouble: Any = TROUBLE[name]
    with (
        client_of(auth, simulator, safe=safe, follow_redirects=True)
        if not safe
        else client_of(auth, simulator, safe=safe) as client
    ):
        if state != "MISSING":
            life.keep(client.get("/wallets"))
            life.clock.advance(HALF_A_DAY - 1000 if state == "STALE" else HALF_A_DAY)
        with simulator.inject("token", times=None, **trouble):
            for _ in range(3):
                with life.minding():
                    life.keep(client.get("/wallets"))
                with life.minding():
                    life.keep(client.post("/transactions/transfer", json={"request_id": "1"}))
            with life.minding():
                auth.renew(client)
        life.search(auth, client.auth)
    assert life.errors


@pytest.mark.hazard(37)
@WAYS
def test_when_the_server_quotes_the_token(life: Life, *, safe: bool) -> None:
    """In every field that an error has, at every status."""
    auth, simulator = life.auth(), life.simulator
    with client_of(auth, simulator, safe=safe) as client:
        for status in (400, 401, 429, 500, 503):
            life.keep(client.get("/wallets"))
            token = token_of(auth)
            quoted = f"{token.access_token}, {token.refresh_token}: not valid"
            names = ("error", "error_description", "error_message", "error_id")
            body = {**dict.fromkeys(names, quoted), "error_code": 1}
            life.clock.advance(HALF_A_DAY)
            with simulator.inject("token", status=status, body=body, times=None):
                for _ in range(2):
                    with life.minding():
                        life.keep(client.get("/wallets"))
            life.clock.advance(3600)
        life.search(auth)
    assert any("[token]" in str(error) for error in life.errors)


@pytest.mark.hazard(37)
@WAYS
def test_when_the_app_is_uninstalled(life: Life, *, safe: bool) -> None:
    """Nor when Cobo refuses for good."""
    auth, simulator = life.auth(), life.simulator
    with client_of(auth, simulator, safe=safe) as client:
        life.keep(client.get("/wallets"))
        simulator.uninstall()
        for _ in range(3):
            life.clock.advance(HALF_A_DAY)
            with life.minding(TokenRefusedError):
                client.get("/wallets")
        simulator.install()
        life.clock.advance(60)
        life.keep(client.get("/wallets"))
        life.search(auth)


@pytest.mark.hazard(2, 3, 37)
@WAYS
@pytest.mark.parametrize("verify", [False, True])
def test_when_the_api_fails(life: Life, *, verify: bool, safe: bool) -> None:
    """Refusals of every kind, answers that break."""
    auth, simulator = life.auth(verify_responses=verify), life.simulator
    with client_of(auth, simulator, safe=safe) as client:
        for status, code in [
            (401, 2024),
            (401, 2021),
            (403, 2025),
            (500, 1000),
            (500, 7),
            (429, 1),
        ]:
            with simulator.inject("api", status=status, error_code=code, times=None):
                life.keep(client.get("/wallets"))
                life.keep(client.post("/transactions/transfer", json={"request_id": "1"}))
            life.clock.advance(HALF_A_DAY)
        for kind in ("drop", "hang", "refuse", "tamper", "unsigned", "garbage"):
            simulator.inject("api", cast("Any", kind))
            with life.minding():
                life.keep(client.get("/wallets"))
        for url in ("https://evil.example/x", "/x?a=%FF"):
            with life.minding(CoboAuthError):
                client.get(url)
        life.search(auth)
    assert len(life.errors) >= 5


class Quoting(httpx.BaseTransport):
    """Raises what httpcore raises for a reply without its blank line: with the reply in it."""

    def __init__(self, simulator: CoboSimulator) -> None:
        self.simulator = simulator
        self.quotes = True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self.simulator.handle_request(request)
        if self.quotes and request.url.path.endswith("/oauth/token"):
            message = f"illegal header line: {bytearray(response.read())}"
            raise httpx.RemoteProtocolError(message)
        return response


@pytest.mark.hazard(59)
def test_when_a_transport_quotes_the_reply(life: Life) -> None:
    """Its type is told, and its text is not; tokens in it may live for a month."""
    auth, transport = life.auth(), Quoting(life.simulator)
    with client_of(auth, transport, safe=True) as client:
        with life.minding(TokenEndpointError):
            client.get("/wallets")
        transport.quotes = False
        life.clock.advance(60)
        life.keep(client.get("/wallets"))
        life.clock.advance(HALF_A_DAY)
        transport.quotes = True
        with life.minding(TokenEndpointError):
            client.get("/wallets")
        life.search(auth)
    assert all("RemoteProtocolError" in str(error) for error in life.errors)


@pytest.mark.hazard(60)
@pytest.mark.parametrize("kind", ["drop", "hang"])
def test_when_an_exchange_breaks_off_in_a_call(life: Life, kind: Literal["drop", "hang"]) -> None:
    """httpx's own error has the exchange's request, which is emptied by then."""
    auth, simulator = life.auth(), life.simulator
    with client_of(auth, simulator, safe=False) as client:
        life.keep(client.get("/wallets"))
        refresh_token = token_of(auth).refresh_token
        assert refresh_token is not None
        life.clock.advance(HALF_A_DAY)
        simulator.inject("token", kind, method="POST")
        with pytest.raises(httpx.TransportError) as raised:
            client.get("/wallets")
        assert refresh_token.encode() in simulator.log[-1].body
        request = raised.value.request
        shown = [repr(vars(request)), repr(vars(request.stream)), repr(request.headers.raw)]
        assert refresh_token not in f"{shown} {request.url} {request.read()!r}"
        life.keep(client.get("/wallets")).raise_for_status()


class FailingStore(MemoryStore):
    """Fails as it is told, with an error of its own."""

    failing = ""

    def _check(self, name: str) -> None:
        if name in self.failing:
            message = "the disk is full"
            raise OSError(message)

    def load(self, key: StoreKey) -> Record | None:
        self._check("load")
        return super().load(key)

    def save(self, key: StoreKey, record: Record, *, expected: Version) -> None:
        self._check("save")
        super().save(key, record, expected=expected)

    def try_lock(self, key: StoreKey, *, ttl: float) -> Any:
        self._check("lock")
        return super().try_lock(key, ttl=ttl)


@pytest.mark.hazard(19, 37)
@WAYS
@pytest.mark.parametrize("failing", ["load", "save", "lock", "load save lock"])
def test_when_the_store_fails(life: Life, failing: str, *, safe: bool) -> None:
    """The record in hand is not shown, nor by the error's cause."""
    store = FailingStore()
    auth, simulator = life.auth(store=store), life.simulator
    with client_of(auth, simulator, safe=safe) as client:
        life.keep(client.get("/wallets"))
        store.failing = failing
        for passing in (HALF_A_DAY - 1000, HALF_A_DAY, 60.0):
            life.clock.advance(passing)
            with life.minding():
                life.keep(client.get("/wallets"))
            with life.minding():
                auth.renew(client)
            with life.minding():
                auth.forget()
        life.search(auth, store)
    assert [error for error in life.errors if isinstance(error, StoreUnavailableError)]
    assert "the disk is full" in life.written.getvalue() or life.errors


class FailingSigner:
    """A key service that is sometimes down."""

    def __init__(self, secret: str) -> None:
        self._signer = Ed25519Signer(secret)
        self.public_key = self._signer.public_key
        self.works_for = 10**6

    def sign(self, digest: bytes) -> bytes:
        self.works_for -= 1
        if self.works_for < 0:
            message = "the key service is down"
            raise RuntimeError(message)
        return self._signer.sign(digest)


@pytest.mark.hazard(37)
@WAYS
@pytest.mark.parametrize("signatures", range(4))
def test_when_the_signer_fails(life: Life, signatures: int, *, safe: bool) -> None:
    """At the first token, at the spending of a refresh token, at the replay."""
    simulator = life.simulator
    signer = FailingSigner(simulator.app_secret)
    auth = life.auth(app_secret=signer)
    with client_of(auth, simulator, safe=safe) as client:
        signer.works_for = signatures % 2
        with life.minding(SignerError):
            client.get("/wallets")
        signer.works_for = 10**6
        life.keep(client.get("/wallets"))
        simulator.revoke_tokens()
        life.clock.advance(60)
        signer.works_for = signatures
        with life.minding(*[SignerError] * (signatures < 3)):
            life.keep(client.post("/echo", content=b"x", extensions={"cobo_replay": True}))
        life.clock.advance(HALF_A_DAY)
        signer.works_for = 0
        with life.minding(SignerError):
            client.get("/wallets")
        signer.works_for = 10**6
        life.keep(client.get("/wallets"))
        life.search(auth, signer)
    assert simulator.counters.spent_refresh_reused == 0


@pytest.mark.hazard(3)
@WAYS
def test_when_a_handler_raises(life: Life, *, safe: bool) -> None:
    """The log says so, with a traceback, and without a secret."""

    def handler(event: Event) -> None:
        message = f"cannot handle {event}"
        raise ValueError(message)

    auth = life.auth(on_event=handler)
    with client_of(auth, life.simulator, safe=safe) as client:
        life.keep(client.get("/wallets"))
        life.keep(client.get("/wallets"))
        life.search(auth)
    assert "cannot handle TokenAcquired" in life.written.getvalue()


# httpx streams are nested generators: who leaves one early under trio is warned, whoever it is.
@pytest.mark.hazard(2, 3, 37)
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@WAYS
@pytest.mark.parametrize("name", [None, *TROUBLE])
async def test_in_tasks(life: Life, name: str | None, *, safe: bool) -> None:
    """asyncio and trio, good days and bad ones."""
    auth, simulator = life.auth(), life.simulator
    async with async_client_of(auth, simulator, safe=safe) as client:
        life.keep(await client.get("/wallets"))
        life.clock.advance(HALF_A_DAY)
        trouble: Any = TROUBLE[name] if name else {"kind": "delay"}
        with simulator.inject("token", times=None, **trouble):
            for _ in range(2):
                with life.minding():
                    life.keep(await client.get("/wallets"))
                with life.minding():
                    life.keep(await client.post("/echo", content=b"x"))
            with life.minding():
                await auth.arenew(client)
        life.clock.advance(60)
        simulator.revoke_tokens()
        with life.minding():
            life.keep(await client.get("/wallets"))
        with life.minding():
            await auth.aforget()
        life.search(auth, client.auth)


@pytest.mark.hazard(37)
@WAYS
def test_with_cobo_auth(life: Life, *, safe: bool) -> None:
    """The API key's secret, likewise."""
    del safe
    simulator = life.simulator
    secret = "00" * 31 + "01"
    simulator.add_api_key(Ed25519Signer(secret).public_key)
    simulator.issue_token()
    auth = CoboAuth(api_secret=secret, environment=simulator.environment, clock=life.clock)
    simulator.app_secret = secret  # searched for from here on
    with httpx.Client(
        auth=auth, base_url=simulator.environment.base_url, transport=simulator
    ) as client:
        life.keep(client.get("/wallets"))
        simulator.inject("api", "refuse")
        with life.minding(httpx.ConnectError):
            client.get("/wallets")
        with life.minding(CoboAuthError):
            client.get("https://evil.example/x")
        life.search(auth, client.auth, auth._session)


# ------------------------------------------------------------------------------ history, exchanges
@pytest.mark.hazard(2, 40)
@WAYS
def test_no_exchange_is_left_in_the_history(life: Life, *, safe: bool) -> None:
    """Refusals that were replayed are there, token answers are not."""
    auth, simulator = life.auth(), life.simulator
    with client_of(auth, simulator, safe=safe) as client:
        first = client.get("/wallets")
        assert (first.status_code, first.history) == (200, [])
        simulator.revoke_tokens()
        mended = client.get("/wallets")
        assert [past.status_code for past in mended.history] == [500]
        assert [past.history for past in mended.history] == [[]]
        life.clock.advance(HALF_A_DAY)
        simulator.inject("api", status=401)
        renewed = client.get("/wallets")
        assert [past.status_code for past in renewed.history] == [401]
        for response in (first, mended, renewed):
            for past in (response, *response.history):
                assert "oauth" not in str(past.request.url)


# ---------------------------------------------------------------------------- pickles and copies
def app_of(simulator: CoboSimulator, clock: ManualClock) -> PortalApp:
    return PortalApp(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        environment=simulator.environment,
        clock=clock,
    )


DUPLICATING: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    *(lambda thing, p=p: pickle.dumps(thing, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
]


@pytest.mark.hazard(37)
def test_what_holds_a_secret_is_not_duplicated(life: Life) -> None:
    """Pickling and copying fail, and the error says why."""
    simulator = life.simulator
    app = app_of(simulator, life.clock)
    auth = app.org(simulator.org_id)
    key = CoboAuth(api_secret=simulator.app_secret, environment="dev")
    for thing in (app, auth, key, Ed25519Signer(simulator.app_secret)):
        for duplicate in DUPLICATING:
            with pytest.raises(TypeError, match=f"{type(thing).__name__} cannot be pickled") as no:
                duplicate(thing)
            life.errors.append(no.value)
    with auth.client(transport=simulator) as client:
        client.get("/wallets")
        for duplicate in DUPLICATING:
            with pytest.raises(TypeError, match="Auth cannot be pickled or copied"):
                duplicate(client.auth)
        life.search(app, auth, key, client.auth)


@pytest.mark.hazard(37)
def test_what_holds_tokens_is_not_pickled(life: Life) -> None:
    """A token copies to itself; neither it, nor what it lies in, is pickled."""
    auth, store = life.auth(), MemoryStore()
    with auth.client(transport=life.simulator) as client:
        token = auth.token(client)
    record = auth._session._store.load(auth._session.account.key)
    for thing in (token, record, auth._session.account.known.held, store):
        for duplicate in DUPLICATING[2:]:
            with pytest.raises(TypeError, match="cannot"):
                duplicate(thing)
    assert copy.copy(token) is copy.deepcopy(token) is token
    life.search(auth, token, record, copy.deepcopy(record))


@pytest.mark.hazard(3, 38)
def test_what_is_told_can_be_sent_on(life: Life) -> None:
    """Events, errors, environments and timeouts pickle, without a secret."""
    auth, simulator = life.auth(), life.simulator
    with auth.client(transport=simulator) as client:
        client.get("/wallets")
        life.clock.advance(HALF_A_DAY)
        with simulator.inject("token", "garbage", times=None):
            for _ in range(2):
                with pytest.raises(TokenEndpointError):
                    client.get("/wallets")
        with simulator.inject("token", "tamper"), life.minding():
            client.get("/wallets")
    things: list[Any] = [*life.events, auth.environment, Timeouts(), TokenReplyError("x", status=5)]
    for thing in things:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            pickled = pickle.dumps(thing, protocol)
            twin = pickle.loads(pickled)  # noqa: S301
            assert type(twin) is type(thing)
            assert repr(twin) == repr(thing)
            for secret in secrets_of(simulator):
                assert secret.encode() not in pickled
    assert {type(event).__name__ for event in life.events} >= {"TokenAcquired", "RenewalFailed"}
    life.search(things)


def test_the_search_finds_what_is_there(life: Life) -> None:
    """Or none of the tests above says anything."""
    life.keep(httpx.Response(200, text="fine", request=httpx.Request("GET", "https://a")))
    life.simulator.issue_token()
    life.search()
    secret = next(iter(life.simulator._core.tokens._refresh))
    for leak in (
        lambda: life.events.append(cast("Any", [secret])),
        lambda: life.errors.append(ValueError(f"x{secret}")),
        lambda: life.written.write(f"<{secret[:24]}>"),
        lambda: life.responses[0].history.append(
            httpx.Response(200, json={"a": secret}, request=httpx.Request("GET", "https://a"))
        ),
    ):
        cast("Callable[[], None]", leak)()
        with pytest.raises(AssertionError):
            life.search()
        life.events.clear()
        life.errors.clear()
        life.written.truncate(0)
        life.responses[0].history.clear()
    life.search()
