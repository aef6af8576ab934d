"""Credentials go to one origin and nowhere else; who asks for another is told before any I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from httpx_cobo_auth import (
    Environment,
    MemoryStore,
    RedirectedError,
    UnsafeRequestError,
    UnsignableRequestError,
    WrongOriginError,
)
from httpx_cobo_auth._protocol.nonces import NonceSource
from httpx_cobo_auth._protocol.signing import Ed25519Signer
from httpx_cobo_auth._runtime.requests import Wire
from httpx_cobo_auth.clock import SystemClock
from tests.family import CoboAuth, CoboOAuth, httpx
from tests.fuzzing import fuzz

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from httpx_cobo_auth._protocol.records import Record, StoreKey
    from httpx_cobo_auth.testing import CoboSimulator

SECRET = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"
API = "https://api.cobo.com/v2"
PORT = "https://api.cobo.com:8443/v2"
V6 = "http://[::1]:8000/v2"
V4 = "http://127.0.0.1:8000/v2"
LOCAL = "http://localhost/v2"
PUNYCODE = "https://xn--bcher-kva.example/v2"

WRONG: dict[str, tuple[str, str]] = {
    "another host": (API, "https://evil.example/v2/x"),
    "another environment": (API, "https://api.dev.cobo.com/v2/x"),
    "scheme": (API, "http://api.cobo.com/v2/x"),
    "scheme with the port": (API, "http://api.cobo.com:443/v2/x"),
    "websocket": (API, "wss://api.cobo.com/v2/x"),
    "port": (API, "https://api.cobo.com:444/v2/x"),
    "the other scheme's port": (API, "https://api.cobo.com:80/v2/x"),
    "default port for another": (PORT, "https://api.cobo.com/v2/x"),
    "explicit default port for another": (PORT, "https://api.cobo.com:443/v2/x"),
    "sub-domain": (API, "https://x.api.cobo.com/v2/x"),
    "parent domain": (API, "https://cobo.com/v2/x"),
    "as a prefix": (API, "https://api.cobo.com.evil.example/v2/x"),
    "as a suffix": (API, "https://evilapi.cobo.com/v2/x"),
    "hyphen": (API, "https://api-cobo.com/v2/x"),
    "cut short": (API, "https://api.cobo.co/v2/x"),
    "trailing dot": (API, "https://api.cobo.com./v2/x"),
    "user": (API, "https://user@api.cobo.com/v2/x"),
    "user and password": (API, "https://user:hunter2@api.cobo.com/v2/x"),
    "host as user": (API, "https://api.cobo.com@evil.example/v2/x"),
    "host and port as user": (API, "https://api.cobo.com:443@evil.example/v2/x"),
    "host and path as user": (API, "https://api.cobo.com%2Fv2@evil.example/v2/x"),
    "backslash": (API, "https://evil.example\\@api.cobo.com/v2/x"),
    "host in the fragment": (API, "https://evil.example#@api.cobo.com/v2/x"),
    "host in the query": (API, "https://evil.example?@api.cobo.com/v2/x"),
    "host in the path": (API, "https://evil.example/@api.cobo.com/v2/x"),
    "blank before": (API, "https://%20api.cobo.com/v2/x"),
    "percent-encoded dot": (API, "https://api%2Ecobo.com/v2/x"),
    "zero byte": (API, "https://api.cobo.com%00.evil.example/v2/x"),
    "Cyrillic look-alike": (API, "https://\N{CYRILLIC SMALL LETTER A}pi.cobo.com/v2/x"),
    "look-alike in punycode": (API, "https://xn--pi-7kc.cobo.com/v2/x"),
    "dotless i": (API, "https://ap\N{LATIN SMALL LETTER DOTLESS I}.cobo.com/v2/x"),
    "no scheme": (API, "//api.cobo.com/v2/x"),
    "no host": (API, "/v2/x"),
    "empty host": (API, "https:///api.cobo.com/v2/x"),
    "host as scheme": (API, "api.cobo.com:443/v2/x"),
    "IPv6 in full": (V6, "http://[0:0:0:0:0:0:0:1]:8000/v2/x"),
    "IPv6 with zeros": (V6, "http://[::0001]:8000/v2/x"),
    "IPv4 in IPv6": (V4, "http://[::ffff:127.0.0.1]:8000/v2/x"),
    "IPv4 for IPv6": (V6, "http://127.0.0.1:8000/v2/x"),
    "IPv6 without port": (V6, "http://[::1]/v2/x"),
    "unspecified address": (V6, "http://[::]:8000/v2/x"),
    "name for IPv6": (V6, "http://localhost:8000/v2/x"),
    "name for IPv4": (V4, "http://localhost:8000/v2/x"),
    "short IPv4": (V4, "http://127.1:8000/v2/x"),
    "IPv4 as a number": (V4, "http://2130706433:8000/v2/x"),
    "IPv4 in hex": (V4, "http://0x7f.0.0.1:8000/v2/x"),
    "IPv4 and a dot": (V4, "http://127.0.0.1.:8000/v2/x"),
    "https for loopback": (V4, "https://127.0.0.1:8000/v2/x"),
    "another loopback": (V4, "http://127.0.0.2:8000/v2/x"),
    "name and a dot": (LOCAL, "http://localhost./v2/x"),
    "IDN, unaccented": (PUNYCODE, "https://bucher.example/v2/x"),
}

RIGHT: dict[str, tuple[str, str]] = {
    "as it stands": (API, "https://api.cobo.com/v2/x"),
    "outside of the base path": (API, "https://api.cobo.com/graphql"),
    "explicit default port": (API, "https://api.cobo.com:443/v2/x"),
    "empty port": (API, "https://api.cobo.com:/v2/x"),
    "capitals": (API, "HTTPS://API.Cobo.COM/v2/x"),
    "at sign in the path": (API, "https://api.cobo.com/v2/@evil.example"),
    "URL in the path": (API, "https://api.cobo.com//evil.example/x"),
    "URL in the query": (API, "https://api.cobo.com/?u=https://evil.example"),
    "backslash in the path": (API, "https://api.cobo.com/\\evil.example"),
    "port": (PORT, "https://api.cobo.com:8443/v2/x"),
    "IPv6": (V6, "http://[::1]:8000/v2/x"),
    "IPv4": (V4, "http://127.0.0.1:8000/v2/x"),
    "default port of http": (LOCAL, "http://LocalHost:80/v2/x"),
    "IDN in punycode": (PUNYCODE, PUNYCODE),
    "IDN in letters": (PUNYCODE, "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example/"),
}


class NoTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Nothing must get here."""

    def handle_request(self, request: httpx.Request) -> NoReturn:
        pytest.fail(f"sent to {request.url}")

    async def handle_async_request(self, request: httpx.Request) -> NoReturn:
        pytest.fail(f"sent to {request.url}")


class NoStore(MemoryStore):
    """Nobody must look into it."""

    def load(self, key: StoreKey) -> Record | None:
        pytest.fail(f"looked for {key}")


def auths(base: str) -> list[CoboAuth | CoboOAuth]:
    environment = Environment("mine", base)
    return [
        CoboAuth(api_secret=SECRET, environment=environment),
        CoboOAuth(
            client_id="c",
            app_secret=SECRET,
            org_id="o",
            environment=environment,
            store=NoStore(),
        ),
    ]


@pytest.mark.hazard(5)
@pytest.mark.parametrize("name", WRONG)
def test_another_origin_is_refused(name: str) -> None:
    """Hazard 5: before any I/O, for reads and writes; the body is not consumed."""
    base, url = WRONG[name]
    for auth in auths(base):
        body = iter([b"body"])
        with httpx.Client(auth=auth, transport=NoTransport()) as client:
            with pytest.raises(WrongOriginError, match="must not be sent") as refused:
                client.post(url, content=body)
            with pytest.raises(WrongOriginError):
                client.get(url)
        assert next(body) == b"body"
        assert "hunter2" not in f"{refused.value!r}"
        assert base in str(refused.value)


@pytest.mark.hazard(5)
@pytest.mark.parametrize("name", WRONG)
async def test_another_origin_is_refused_to_async_clients(name: str) -> None:
    """Hazard 5: on both event loops."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"body"

    base, url = WRONG[name]
    for auth in auths(base):
        body = chunks()
        async with httpx.AsyncClient(auth=auth, transport=NoTransport()) as client:
            with pytest.raises(WrongOriginError, match="must not be sent"):
                await client.post(url, content=body)
        assert await anext(body) == b"body"
        await cast("Any", body).aclose()


@pytest.mark.hazard(5)
@pytest.mark.parametrize("name", RIGHT)
def test_the_same_origin_in_other_words_is_let_through(name: str) -> None:
    """Hazard 5: case, the default port, IDN either way; what is in the path does not matter."""
    base, url = RIGHT[name]
    sent: list[httpx.URL] = []

    def record(request: httpx.Request) -> httpx.Response:
        sent.append(request.url)
        return httpx.Response(200)

    plain, _ = auths(base)
    with httpx.Client(auth=plain, transport=httpx.MockTransport(record)) as client:
        client.get(url)
    (seen,) = sent
    wanted = httpx.URL(base)
    assert (seen.scheme, seen.raw_host, seen.port) == (wanted.scheme, wanted.raw_host, wanted.port)


@pytest.mark.hazard(5)
def test_safe_clients_send_nothing_elsewhere() -> None:
    """Hazard 5: what looks like another host, relative to the base URL, is a path there."""
    _, oauth = auths(API)
    assert isinstance(oauth, CoboOAuth)
    with oauth.client(transport=NoTransport()) as client:
        for url in ("https://evil.example/x", "http://api.cobo.com/v2/x"):
            with pytest.raises(WrongOriginError):
                client.get(url)
        for url in ("//evil.example/x", "/x", "x", "@evil.example", "\\\\evil.example/x"):
            request = client.build_request("GET", url)
            assert (request.url.scheme, request.url.host) == ("https", "api.cobo.com")


@pytest.mark.hazard(5)
def test_a_request_changed_on_the_way_is_refused() -> None:
    """Hazard 5: a hook of the client's that redirects a request takes no credentials along."""

    def divert(request: httpx.Request) -> None:
        request.url = httpx.URL("https://evil.example/x")

    for auth in auths(API):
        request = httpx.Request("GET", f"{API}/x")
        divert(request)
        with pytest.raises(WrongOriginError):
            next(auth.sync_auth_flow(request))
        assert not [name for name in request.headers if name.startswith("biz")]


# ----------------------------------------------------------------------------------- fuzzing
hosts = st.sampled_from(
    ["api.cobo.com", "API.cobo.com", "evil.example", "[::1]", "127.0.0.1", "", "cobo.com", "é.com"]
)
pieces = st.one_of(
    hosts,
    st.sampled_from(
        ["https:", "http:", "//", "/", "@", ":", "443", "8000", "?", "#", "\\", ".", "%"]
    ),
    st.text("ab.:@/\\%[]#?;\u3002\uff0e\uff0f\u2100", max_size=4),
)
urls = st.lists(pieces, max_size=8).map("".join) | st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["https", "http", "HTTPS"]),
    st.sampled_from(["", "u@", "u:p@", "@", ":@", "api.cobo.com@"]),
    hosts,
    st.sampled_from(["", ":", ":443", ":80", ":8000", ".", ":0443", "@evil.example"]),
    st.sampled_from(["", "/", "/v2/x", "?q", "#f", "\\x", "/../..", "//evil.example"]),
)


@pytest.mark.hazard(5)
@fuzz(500)
@given(url=urls, base=st.sampled_from([API, PORT, V6, V4]))
@example(url="https://@api.cobo.com/", base=API)
def test_whatever_passes_goes_to_the_origin(url: str, base: str) -> None:
    """Hazard 5: judged by another parser, and by what the transport connects to."""
    wire = Wire(
        Environment("mine", base), Ed25519Signer(SECRET), NonceSource(SystemClock()), SystemClock()
    )
    try:
        request = httpx.Request("GET", url)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        return
    wanted = urlsplit(base)
    try:
        wire.check_origin(request)
    except WrongOriginError:
        seen, passes = request.url, False
        assert (seen.scheme, seen.host, seen.port) != wire.environment.origin or seen.userinfo
    else:
        seen, passes = request.url, True
    if passes:
        judged = urlsplit(str(seen))
        ports = {"https": 443, "http": 80}
        assert (judged.scheme, judged.hostname) == (wanted.scheme, wanted.hostname)
        assert (judged.port or ports[judged.scheme]) == (wanted.port or ports[wanted.scheme])
        assert not judged.username
        assert not judged.password
        assert seen.raw_host.decode() == wanted.hostname
        assert request.headers["Host"].lower() == wanted.netloc


# --------------------------------------------------------------------------------- redirects
@pytest.fixture
def auth(simulator: CoboSimulator) -> CoboOAuth:
    return CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        clock=simulator.clock,
    )


@pytest.fixture
def sent() -> list[httpx.Request]:
    return []


@pytest.fixture
def world(simulator: CoboSimulator, sent: list[httpx.Request]) -> httpx.MockTransport:
    """Cobo at its address; anybody at all others."""

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if request.url.host == "cobo.test":
            return simulator.handle_request(request)
        return httpx.Response(200, json={})

    return httpx.MockTransport(handle)


def url_of(simulator: CoboSimulator, path: str) -> str:
    return simulator.environment.base_url + path


@pytest.mark.hazard(4)
def test_safe_clients_follow_no_redirect(
    simulator: CoboSimulator,
    auth: CoboOAuth,
    world: httpx.MockTransport,
    sent: list[httpx.Request],
) -> None:
    """Hazard 4: the redirect itself is the answer; the other origin hears nothing."""
    simulator.inject("api", "redirect", url="https://evil.example/x")
    with auth.client(transport=world) as client:
        assert client.get("/wallets").status_code == 307
    assert {request.url.host for request in sent} == {"cobo.test"}


@pytest.mark.hazard(4)
def test_a_followed_redirect_to_another_origin_is_noticed(
    simulator: CoboSimulator, auth: CoboOAuth, world: httpx.MockTransport
) -> None:
    """Hazard 4: a typed error, and the token is replaced before it is used again."""
    with httpx.Client(auth=auth, transport=world, follow_redirects=True) as client:
        before = auth.token(client)
        simulator.inject("api", "redirect", url="https://evil.example/x")
        with pytest.raises(RedirectedError, match=r"evil\.example") as noticed:
            client.get(url_of(simulator, "/wallets"))
        assert noticed.value.__suppress_context__
        assert client.get(url_of(simulator, "/wallets")).status_code == 200
        assert auth.token(client).access_token != before.access_token


@pytest.mark.hazard(4)
def test_a_redirect_that_comes_back_is_noticed_too(
    simulator: CoboSimulator, auth: CoboOAuth, world: httpx.MockTransport
) -> None:
    """Hazard 4: every hop counts, not only the last."""

    def detour(request: httpx.Request) -> httpx.Response:
        if request.url.host == "evil.example":
            return httpx.Response(307, headers={"Location": url_of(simulator, "/echo")})
        return world.handle_request(request)

    transport = httpx.MockTransport(detour)
    with httpx.Client(auth=auth, transport=transport, follow_redirects=True) as client:
        auth.token(client)
        simulator.inject("api", "redirect", url="https://evil.example/x")
        with pytest.raises(RedirectedError, match=r"evil\.example"):
            client.get(url_of(simulator, "/wallets"))


@pytest.mark.hazard(4)
def test_a_redirect_within_the_origin_is_let_be(
    simulator: CoboSimulator, auth: CoboOAuth, world: httpx.MockTransport
) -> None:
    """Hazard 4: no credentials go anywhere new; the answer is the caller's, whatever it is."""
    with httpx.Client(auth=auth, transport=world, follow_redirects=True) as client:
        auth.token(client)
        simulator.inject("api", "redirect", url=url_of(simulator, "/elsewhere"))
        simulator.inject("/v2/elsewhere", "answer", status=418)
        response = client.get(url_of(simulator, "/wallets"))
    # Signed for another path, the second hop is a bad signature: httpx signs no redirect.
    assert (response.status_code, len(response.history)) == (401, 1)


@pytest.mark.hazard(4)
def test_a_redirected_exchange_is_noticed(
    simulator: CoboSimulator, auth: CoboOAuth, world: httpx.MockTransport
) -> None:
    """Hazard 4: even within the origin; what came of it is not used."""
    simulator.inject("token", "redirect", url="https://evil.example/x")
    with httpx.Client(auth=auth, transport=world, follow_redirects=True) as client:
        with pytest.raises(RedirectedError, match="exchange"):
            client.get(url_of(simulator, "/wallets"))
        assert client.get(url_of(simulator, "/wallets")).status_code == 200


@pytest.mark.hazard(4)
async def test_redirects_are_noticed_by_async_clients(
    simulator: CoboSimulator, auth: CoboOAuth
) -> None:
    """Hazard 4: on both event loops."""

    async def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "cobo.test":
            return await simulator.handle_async_request(request)
        return httpx.Response(200, json={})

    transport = httpx.MockTransport(handle)
    async with httpx.AsyncClient(auth=auth, transport=transport, follow_redirects=True) as client:
        await auth.atoken(client)
        simulator.inject("api", "redirect", url="https://evil.example/x")
        with pytest.raises(RedirectedError):
            await client.get(url_of(simulator, "/wallets"))
    simulator.inject("api", "redirect", url="https://evil.example/x")
    async with auth.async_client(transport=transport) as client:
        assert (await client.get("/wallets")).status_code == 307


@pytest.mark.hazard(4)
@pytest.mark.parametrize("follow", [False, True])
def test_history_that_is_no_redirect_means_nothing(
    simulator: CoboSimulator, auth: CoboOAuth, *, follow: bool
) -> None:
    """Hazard 4: replays and exchanges lie in the history as well."""
    with httpx.Client(auth=auth, transport=simulator, follow_redirects=follow) as client:
        auth.token(client)
        simulator.revoke_tokens()
        response = client.get(url_of(simulator, "/wallets"))
    assert response.status_code == 200
    assert [past.status_code for past in response.history] == [500]


def test_both_refusals_are_one_kind() -> None:
    """Who only wants to know that nothing was sent catches one class."""
    kinds: set[type[BaseException]] = set()
    for auth in auths(API):
        other = httpx.Request("GET", "https://evil.example")
        target = httpx.Request("GET", API, extensions={"target": b"/"})
        for request in (other, target):
            with pytest.raises(UnsafeRequestError) as refused:
                next(auth.sync_auth_flow(request))
            kinds.add(type(refused.value))
    assert kinds == {WrongOriginError, UnsignableRequestError}
