"""The simulator is as strict as Cobo: it judges everything else, so it is judged here."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import multiprocessing
import socket
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.lowlevel
import pytest
from nacl.signing import SigningKey, VerifyKey

from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from httpx_cobo_auth.testing import FaultKind

pytestmark = pytest.mark.anyio

DOCUMENTED_KEY = "5987dedc180167b7ab1d27e6009e5065d10d764cd85d7b64f8c968ca40326e28"
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
        text = f"{method}|{path}|{nonce}|{query}|".encode() + body
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


@pytest.fixture
def app(simulator: CoboSimulator) -> App:
    return App(simulator)


@pytest.fixture
def bearer(simulator: CoboSimulator) -> str:
    return simulator.issue_token().access_token


@pytest.fixture
def base(simulator: CoboSimulator) -> Iterator[str]:
    """Address of the simulator behind a real socket."""
    with simulator.serve() as environment:
        yield environment.base_url.removesuffix("/v2")


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what a thread of the server will do."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def error_code(response: httpx.Response) -> object:
    return response.json()["error_code"]


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
    def test_a_missing_header_is_named_by_2022(self, app: App, bearer: str, missing: str) -> None:
        """Without one of the three headers nothing is let in."""
        request = app.request("GET", "/v2/echo", bearer=bearer)
        del request.headers[missing]
        response = app.simulator.handle_request(request)
        response.read()
        assert (response.status_code, error_code(response)) == (401, 2022)
        assert app.simulator.counters.rejected == 1

    def test_a_doubled_header_counts_as_missing(self, app: App, bearer: str) -> None:
        """Two nonces leave open which one was signed."""
        request = app.request("GET", "/v2/echo", bearer=bearer)
        request.headers = httpx.Headers([*request.headers.multi_items(), ("biz-api-nonce", "1")])
        response = app.simulator.handle_request(request)
        response.read()
        assert (response.status_code, error_code(response)) == (401, 2022)

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
        assert (response.status_code, error_code(response)) == (401, 2023)
        assert app.simulator.counters.bad_signatures == 1

    def test_a_signature_that_is_no_hex_is_refused(self, app: App, bearer: str) -> None:
        """Nonsense in the header is a bad signature, not a crash."""
        request = app.request("GET", "/v2/echo", bearer=bearer)
        request.headers["Biz-Api-Signature"] = "no hex"
        response = app.simulator.handle_request(request)
        response.read()
        assert (response.status_code, error_code(response)) == (401, 2023)

    @pytest.mark.parametrize("offset_s", [-61, 61])
    def test_a_nonce_far_from_the_clock_is_refused(
        self, app: App, bearer: str, offset_s: int
    ) -> None:
        """The error names the timestamp, as the status table of the documentation does."""
        nonce = str(int((app.simulator.clock.time() + offset_s) * 1000))
        headers = app.headers("GET", "/v2/echo", bearer=bearer, nonce=nonce)
        with httpx.Client(transport=app.simulator) as client:
            response = client.get(f"{UNREACHABLE}/v2/echo", headers=headers)
        assert (response.status_code, error_code(response)) == (401, 2024)
        assert "timestamp" in response.json()["error_message"]

    @pytest.mark.parametrize("nonce", ["abc", "-1", "1.5", "²"])
    def test_a_nonce_is_made_of_digits(self, app: App, bearer: str, nonce: str) -> None:
        """All SDKs send milliseconds; the simulator takes nothing else by default."""
        response = self._with_nonce(app, bearer, nonce)
        assert (response.status_code, error_code(response)) == (401, 2024)

    def test_nonces_can_be_any_text_if_so_set(self, app: App, bearer: str) -> None:
        """Newer pages of the documentation allow any random string."""
        app.simulator.check_nonce = False
        assert [self._with_nonce(app, bearer, "abc").status_code for _ in "12"] == [200, 200]

    def test_a_nonce_is_good_for_one_request(self, app: App, bearer: str) -> None:
        """A second use, as by a transport that retries, is refused and counted."""
        nonce = app.nonce()
        first, second = (self._with_nonce(app, bearer, nonce) for _ in "12")
        assert first.status_code == 200
        assert (second.status_code, error_code(second)) == (401, 2024)
        assert app.simulator.counters.nonce_reused == 1

    def test_old_nonces_are_forgotten(
        self, app: App, clock: ManualClock, bearer: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A long run does not collect nonces that are refused for their age anyway."""
        monkeypatch.setattr("httpx_cobo_auth.testing._protocol._NONCES_KEPT", 2)
        for _ in range(4):
            assert app.status(bearer) == 200
            clock.advance(100)
        assert len(app.simulator._core.gate._nonces[app.public_key]) <= 3

    def _with_nonce(self, app: App, bearer: str, nonce: str) -> httpx.Response:
        headers = app.headers("GET", "/v2/echo", bearer=bearer, nonce=nonce)
        with httpx.Client(transport=app.simulator) as client:
            return client.get(
                f"{UNREACHABLE}/v2/echo",
                headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            )

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

    def _verify(self, simulator: CoboSimulator, response: httpx.Response) -> None:
        key = VerifyKey(bytes.fromhex(simulator.environment.response_key or ""))
        text = response.content + b"|" + response.headers["Biz-Timestamp"].encode()
        key.verify(double_sha256(text), bytes.fromhex(response.headers["Biz-Resp-Signature"]))


class TestTokenEndpoint:
    def test_org_implicit_gives_a_token_that_works(self, app: App) -> None:
        """The reply has the documented fields, and its token opens API paths."""
        response = app.implicit()
        token = response.json()
        assert response.status_code == 200
        assert (token["token_type"], token["scope"], token["expires_in"]) == ("Bearer", "", 43199)
        assert len(token["access_token"]) == 64
        assert app.status(token["access_token"]) == 200
        counters = app.simulator.counters
        assert (counters.exchanges, counters.implicits, counters.issued) == (1, 1, 1)

    def test_a_refresh_rotates_both_tokens(self, app: App) -> None:
        """The old access token dies at once, the new one works."""
        old = app.implicit().json()
        response = app.refresh(old["refresh_token"])
        new = response.json()
        assert response.is_success
        assert {*new.values()}.isdisjoint({old["access_token"], old["refresh_token"]})
        assert (app.status(old["access_token"]), app.status(new["access_token"])) == (500, 200)
        assert app.simulator.counters.refreshes == 1

    def test_the_old_access_token_may_outlive_rotation(self, app: App) -> None:
        """With ``rotation_kills`` off both tokens work."""
        app.simulator.rotation_kills = False
        old = app.implicit().json()
        app.refresh(old["refresh_token"])
        assert app.status(old["access_token"]) == 200
        app.simulator.revoke_tokens()
        assert app.status(old["access_token"]) == 500

    def test_a_spent_refresh_token_kills_the_chain(self, app: App) -> None:
        """Sent again it ends all tokens of the organization, and is counted."""
        old = app.implicit().json()
        new = app.refresh(old["refresh_token"]).json()
        again = app.refresh(old["refresh_token"])
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        assert app.status(new["access_token"]) == 500
        assert app.refresh(new["refresh_token"]).status_code == 400
        assert app.simulator.counters.spent_refresh_reused == 1

    def test_a_spent_refresh_token_may_be_refused_alone(self, app: App) -> None:
        """With ``reuse_revokes`` off the chain lives on."""
        app.simulator.reuse_revokes = False
        old = app.implicit().json()
        new = app.refresh(old["refresh_token"]).json()
        assert app.refresh(old["refresh_token"]).status_code == 400
        assert app.status(new["access_token"]) == 200

    def test_org_implicit_spends_the_earlier_refresh_token(self, app: App) -> None:
        """A new chain ends the one before."""
        old = app.implicit().json()
        app.implicit()
        assert app.status(old["access_token"]) == 500
        assert app.refresh(old["refresh_token"]).status_code == 400
        assert app.simulator.counters.spent_refresh_reused == 1

    def test_access_tokens_expire(self, app: App, clock: ManualClock) -> None:
        """After ``token_lifetime`` seconds a token is dead, and not a moment before."""
        app.simulator.token_lifetime = 10
        token = app.implicit().json()
        clock.step(3600)  # setting the wall clock ends no token
        clock.advance(9.9)
        assert (token["expires_in"], app.status(token["access_token"])) == (10, 200)
        clock.advance(0.1)
        assert app.status(token["access_token"]) == 500

    def test_refresh_tokens_expire_after_30_days(self, app: App, clock: ManualClock) -> None:
        """An expired refresh token is refused, but was not spent."""
        token = app.implicit().json()
        clock.advance(30 * 24 * 3600)
        assert app.refresh(token["refresh_token"]).json()["error"] == "invalid_grant"
        assert app.simulator.counters.spent_refresh_reused == 0

    def test_a_refresh_token_can_be_expired_at_will(self, app: App) -> None:
        """The access token lives on, and ``org_implicit`` still serves."""
        token = app.implicit().json()
        app.simulator.expire_refresh_token()
        assert app.refresh(token["refresh_token"]).status_code == 400
        assert app.status(token["access_token"]) == 200
        assert app.implicit().status_code == 200

    def test_an_organization_that_uninstalled_the_app_gets_nothing(self, app: App) -> None:
        """Old tokens die at once and stay dead after another installation."""
        token = app.implicit().json()
        app.simulator.uninstall()
        assert app.implicit().status_code == 403
        refused = app.refresh(token["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")
        app.simulator.install()
        assert app.status(token["access_token"]) == 500
        assert app.refresh(token["refresh_token"]).status_code == 400
        assert app.implicit().status_code == 200

    def test_an_unknown_organization_gets_nothing(self, app: App) -> None:
        """Nobody has installed the app there."""
        assert app.implicit(org_id=OTHER_ORG).status_code == 403

    @pytest.mark.parametrize(
        ("changes", "status", "error"),
        [
            ({"client_id": "x"}, 401, "invalid_client"),
            ({"grant_type": "password"}, 400, "unsupported_grant_type"),
            ({"org_id": ""}, 400, "invalid_request"),
        ],
    )
    def test_a_wrong_form_is_refused(
        self, app: App, changes: dict[str, str], status: int, error: str
    ) -> None:
        """With OAuth's error name and a description."""
        response = app.implicit(**changes)
        assert (response.status_code, response.json()["error"]) == (status, error)
        assert response.json()["error_description"]

    @pytest.mark.parametrize("content", [["no object"], None, {"refresh_token": 5}])
    def test_a_wrong_body_is_refused(self, app: App, content: object) -> None:
        """Whatever is posted: an OAuth error, and no crash."""
        response = app.send("POST", "/v2/oauth/token", content)
        assert (response.status_code, response.json()["error"]) == (401, "invalid_client")

    def test_a_refresh_token_of_the_wrong_kind_is_refused(self, app: App) -> None:
        """Neither another type nor an unknown string is a refresh token."""
        assert app.refresh(5).json()["error"] == "invalid_request"
        assert app.refresh("unknown").json()["error"] == "invalid_grant"

    def test_other_methods_are_refused(self, app: App) -> None:
        """The endpoint knows GET and POST."""
        assert app.send("PUT", "/v2/oauth/token", {}).status_code == 405

    def test_an_api_key_gets_no_token(self, simulator: CoboSimulator) -> None:
        """Org Access Tokens are for the app's key."""
        user = App(simulator, "22" * 32)
        simulator.add_api_key(user.public_key)
        assert user.implicit().json()["error"] == "invalid_client"

    def test_a_bad_signature_is_told_in_both_shapes(self, simulator: CoboSimulator) -> None:
        """No source says which of them the endpoint uses, so clients meet both."""
        error = App(simulator, "11" * 32).implicit().json()
        assert (error["error"], error["error_code"]) == ("invalid_client", 2024)
        assert simulator.counters.exchanges == 1
        assert simulator.counters.rejected == 0


class TestBearer:
    @pytest.mark.parametrize(("status", "code"), [(500, 1000), (401, 2021)])
    def test_a_dead_token_shows_as_set(
        self, app: App, bearer: str, status: Literal[500, 401], code: int
    ) -> None:
        """As 500 with 1000, as documented, or as 401; a write is counted as bounced."""
        app.simulator.expired_status = status
        app.simulator.revoke_tokens()
        read = app.send("GET", "/v2/echo", bearer=bearer)
        write = app.send("POST", "/v2/echo", bearer=bearer)
        assert (read.status_code, error_code(read), write.status_code) == (status, code, status)
        counters = app.simulator.counters
        assert (counters.requests, counters.rejected, counters.bounced_writes) == (2, 2, 1)
        assert counters.executed_writes == 0

    @pytest.mark.parametrize("authorization", [None, "Basic {}", "Bearer", "Bearer x", "{}"])
    def test_only_a_bearer_opens(self, app: App, bearer: str, authorization: str | None) -> None:
        """No header, another scheme or another token do not."""
        request = app.request("GET", "/v2/echo")
        if authorization is not None:
            request.headers["Authorization"] = authorization.format(bearer)
        assert app.simulator.handle_request(request).status_code == 500

    def test_an_api_key_needs_no_token(self, simulator: CoboSimulator) -> None:
        """Plain Cobo Auth: the signature says which organization it is."""
        simulator.add_org(OTHER_ORG)
        user = App(simulator, "22" * 32)
        simulator.add_api_key(user.public_key, OTHER_ORG)
        assert user.send("GET", "/v2/echo").json()["org_id"] == OTHER_ORG

    def test_an_organization_has_to_be_added_first(self, simulator: CoboSimulator) -> None:
        """A mistyped ID is a mistake of the test, told at once."""
        with pytest.raises(ValueError, match="add_org"):
            simulator.issue_token(OTHER_ORG)

    def test_the_token_determines_the_organization(self, app: App, bearer: str) -> None:
        """What a request gets and what the log says follow the token."""
        app.simulator.add_org(OTHER_ORG)
        other = app.implicit(org_id=OTHER_ORG).json()["access_token"]
        got = [
            app.send("GET", "/v2/echo", bearer=token).json()["org_id"] for token in (bearer, other)
        ]
        assert got == [app.simulator.org_id, OTHER_ORG]
        assert [entry.org_id for entry in app.simulator.log] == [OTHER_ORG, *got]

    def test_a_request_can_say_which_organization_it_expects(self, app: App, bearer: str) -> None:
        """A mix-up is refused and counted."""
        for expected, status in ((app.simulator.org_id, 200), (OTHER_ORG, 400)):
            request = app.request("GET", "/v2/echo", bearer=bearer)
            request.headers["X-Expected-Org"] = expected
            assert app.simulator.handle_request(request).status_code == status
        assert app.simulator.counters.wrong_org == 1


class TestWaas:
    def test_wallets_come_in_pages(self, app: App, bearer: str) -> None:
        """``after`` leads forwards, ``before`` back, and the ends are marked by nothing."""
        first = app.send("GET", "/v2/wallets?limit=2", bearer=bearer).json()
        after = first["pagination"]["after"]
        second = app.send("GET", f"/v2/wallets?limit=2&after={after}", bearer=bearer).json()
        before = second["pagination"]["before"]
        back = app.send("GET", f"/v2/wallets?limit=2&before={before}", bearer=bearer).json()
        assert [len(page["data"]) for page in (first, second, back)] == [2, 1, 2]
        assert (first["pagination"]["before"], second["pagination"]["after"]) == ("", "")
        assert back == first

    @pytest.mark.parametrize("query", ["limit=0", "limit=51", "limit=x", "after=x", "before=x"])
    def test_a_wrong_page_is_refused(self, app: App, bearer: str, query: str) -> None:
        """With 400, whatever is wrong with it."""
        assert app.send("GET", f"/v2/wallets?{query}", bearer=bearer).status_code == 400

    def test_a_created_wallet_can_be_read(self, app: App, bearer: str) -> None:
        """What was created is listed and found, percent-encoded or not."""
        created = app.send("POST", "/v2/wallets", {"name": "New"}, bearer=bearer)
        wallet = created.json()
        path = "/v2/wallets/" + "".join(f"%{ord(letter):02x}" for letter in wallet["wallet_id"])
        assert created.status_code == 201
        assert app.send("GET", path, bearer=bearer).json() == wallet
        assert wallet in app.send("GET", "/v2/wallets", bearer=bearer).json()["data"]

    def test_chains_are_listed(self, app: App, bearer: str) -> None:
        """A read that is the same for everybody."""
        chains = app.send("GET", "/v2/wallets/chains", bearer=bearer).json()
        assert {chain["chain_id"] for chain in chains["data"]} >= {"BTC", "ETH"}

    def test_a_transfer_is_made_once(self, app: App, bearer: str) -> None:
        """A second use of the ``request_id`` is refused with 30001 and counted."""
        transfer = {"request_id": str(uuid.uuid4())}
        path = "/v2/transactions/transfer"
        first, second = (app.send("POST", path, transfer, bearer=bearer) for _ in "12")
        made = first.json()
        assert (first.status_code, made["status"]) == (201, "Submitted")
        assert (second.status_code, error_code(second)) == (400, 30001)
        listed = app.send("GET", "/v2/transactions", bearer=bearer).json()["data"]
        found = app.send("GET", f"/v2/transactions/{made['transaction_id']}", bearer=bearer).json()
        assert listed == [found]
        counters = app.simulator.counters
        assert (counters.executed_writes, counters.duplicate_request_ids) == (1, 1)

    def test_a_request_id_belongs_to_its_organization(self, app: App, bearer: str) -> None:
        """Two organizations may choose the same one."""
        app.simulator.add_org(OTHER_ORG)
        for token in (bearer, app.simulator.issue_token(OTHER_ORG).access_token):
            response = app.send(
                "POST", "/v2/transactions/transfer", {"request_id": "r"}, bearer=token
            )
            assert response.status_code == 201

    @pytest.mark.parametrize("content", [None, {"request_id": 5}, {"request_id": "r", "source": 5}])
    def test_a_broken_transfer_is_refused(self, app: App, bearer: str, content: object) -> None:
        """And nothing is executed."""
        response = app.send("POST", "/v2/transactions/transfer", content, bearer=bearer)
        assert response.status_code == 400
        assert app.simulator.counters.executed_writes == 0

    def test_another_organizations_wallet_cannot_be_seen(self, app: App, bearer: str) -> None:
        """It is not found, and the attempt is counted."""
        app.simulator.add_org(OTHER_ORG)
        other = app.simulator.issue_token(OTHER_ORG).access_token
        wallet = app.send("GET", "/v2/wallets", bearer=other).json()["data"][0]
        response = app.send("GET", f"/v2/wallets/{wallet['wallet_id']}", bearer=bearer)
        assert response.status_code == 404
        assert app.simulator.counters.wrong_org == 1

    @pytest.mark.parametrize("target", ["/v2/nothing", "/v1/wallets", "/", "/v2/wallets/unknown"])
    def test_an_unknown_path_is_not_found(self, app: App, bearer: str, target: str) -> None:
        """With an error in Cobo's shape, ``error_id`` included."""
        response = app.send("GET", target, bearer=bearer)
        assert response.status_code == 404
        assert {*response.json()} == {"error_code", "error_message", "error_id"}

    def test_head_has_no_body(self, app: App, bearer: str) -> None:
        """As HTTP has it."""
        response = app.send("HEAD", "/v2/echo", bearer=bearer)
        assert (response.status_code, response.content) == (200, b"")


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
        """At the token endpoint a 4XX has OAuth's shape, a 5XX Cobo's too."""
        app.simulator.inject("token", status=400)
        app.simulator.inject("token", status=502)
        assert app.implicit().json()["error"] == "invalid_grant"
        assert error_code(app.implicit()) == 5000
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


class TestHold:
    def test_a_held_exchange_has_taken_effect(self, app: App) -> None:
        """Between effect and answer the test may do as it likes."""
        with ThreadPoolExecutor() as pool:
            with app.simulator.hold("token") as hold:
                answer = pool.submit(app.implicit)
                hold.wait_arrived()
                assert hold.arrived.is_set()
                assert app.simulator.counters.issued == 1
                assert not answer.done()
            assert answer.result(10).status_code == 200
        assert app.implicit().status_code == 200  # the hold is over

    async def test_a_held_task_leaves_the_loop_free(self, app: App, bearer: str) -> None:
        """Any number may be held; others pass."""
        answers: list[int] = []
        hold = app.simulator.hold("/v2/echo", method="GET")
        async with httpx.AsyncClient(transport=app.simulator) as client:

            async def read(method: str) -> None:
                response = await client.send(app.request(method, "/v2/echo", bearer=bearer))
                answers.append(response.status_code)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read, "GET")
                tasks.start_soon(read, "GET")
                await hold.await_arrived(2)
                await read("POST")
                assert answers == [200]
                hold.release()
        assert (answers, hold.count) == ([200, 200, 200], 2)

    def test_a_hold_counts_towards_the_read_timeout(self, app: App, bearer: str) -> None:
        """As it would over a socket."""
        headers = app.headers("GET", "/v2/echo", bearer=bearer)
        with (
            app.simulator.hold(),
            httpx.Client(transport=app.simulator, timeout=0.01) as client,
            pytest.raises(httpx.ReadTimeout),
        ):
            client.get(f"{UNREACHABLE}/v2/echo", headers=headers)

    async def test_a_task_gives_up_waiting_too(self, app: App, bearer: str) -> None:
        """The same without blocking the event loop."""
        headers = app.headers("GET", "/v2/echo", bearer=bearer)
        async with httpx.AsyncClient(transport=app.simulator, timeout=0.01) as client:
            with app.simulator.hold(), pytest.raises(httpx.ReadTimeout):
                await client.get(f"{UNREACHABLE}/v2/echo", headers=headers)

    async def test_waiting_for_a_hold_has_an_end(self, simulator: CoboSimulator) -> None:
        """A request that never comes is an error of the test, in finite time."""
        hold = simulator.hold("token")
        with pytest.raises(TimeoutError, match="0 of 1"):
            hold.wait_arrived(timeout_s=0.01)
        with pytest.raises(TimeoutError):
            await hold.await_arrived(timeout_s=0.01)


class TestTransport:
    async def test_each_family_gets_its_own_answers(self, app: App, bearer: str) -> None:
        """Response and errors are of the family that asked; any host will do."""
        with httpx.Client(transport=app.simulator) as client:
            response = client.get(
                "https://a.test/v2/echo", headers=app.headers("GET", "/v2/echo", bearer=bearer)
            )
            assert isinstance(response, httpx.Response)
            app.simulator.inject(kind="drop")
            with pytest.raises(httpx.ReadError):
                client.get(
                    "https://b.test/v2/echo", headers=app.headers("GET", "/v2/echo", bearer=bearer)
                )
        async with httpx.AsyncClient(transport=app.simulator) as client:
            headers = app.headers("POST", "/v2/echo", b"12", bearer=bearer)
            response = await client.post("https://c.test/v2/echo", headers=headers, content=b"12")
            assert isinstance(response, httpx.Response)
            assert response.json()["body_sha256"] == hashlib.sha256(b"12").hexdigest()

    def test_answers_come_unread(self, app: App, bearer: str) -> None:
        """As from a network: whoever wants the body has to read it."""
        response = app.simulator.handle_request(app.request("GET", "/v2/echo", bearer=bearer))
        with pytest.raises(httpx.ResponseNotRead):
            _ = response.content
        assert response.headers["Content-Length"] == str(len(response.read()))

    async def test_async_clients_yield_to_others(self, app: App, bearer: str) -> None:
        """A request lets other tasks run, as one over a network does."""
        ran: list[str] = []

        async def other() -> None:
            await anyio.lowlevel.checkpoint()
            ran.append("other")

        async with (
            httpx.AsyncClient(transport=app.simulator) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(other)
            for _ in range(3):
                await client.send(app.request("GET", "/v2/echo", bearer=bearer))
            assert ran == ["other"]

    def test_the_log_tells_what_was_sent(self, app: App, bearer: str) -> None:
        """The bytes of every request, and what became of it."""
        app.send("POST", "/v2/echo?a=%2C", {"b": 1}, bearer=bearer)
        (entry,) = app.simulator.log
        assert (entry.method, entry.target, entry.body) == ("POST", b"/v2/echo?a=%2C", b'{"b": 1}')
        assert (entry.status, entry.org_id) == (200, app.simulator.org_id)
        assert entry.at == app.simulator.clock.time()
        assert (b"Authorization", f"Bearer {bearer}".encode()) in entry.headers

    def test_no_repr_shows_a_secret(self, app: App) -> None:
        """Neither the simulator's nor those of its records."""
        issued = app.simulator.issue_token()
        app.refresh(issued.refresh_token)
        app.status(issued.access_token)
        shown = repr((app.simulator, app.simulator.log, app.simulator.counters, issued))
        shown += repr((app.simulator.inject(body=issued.access_token), app.simulator.hold()))
        for secret in (*issued[:2], app.simulator.app_secret):
            assert secret not in shown
        assert "https://cobo.test/v2" in shown


class TestClock:
    def test_a_manual_clock_stands_still(self) -> None:
        """Both readings move by what the test adds, and by nothing else."""
        clock = ManualClock(1000.0)
        before = clock.monotonic()
        clock.advance(5)
        clock.step(-100)
        assert (clock.time(), clock.monotonic() - before) == (905.0, 5.0)
        assert repr(clock) == "ManualClock(905.0, running=False)"

    def test_a_running_clock_adds_real_time(self) -> None:
        """By default from the machine's time on; the monotonic reading never goes back."""
        clock = ManualClock(running=True)
        assert abs(clock.time() - time.time()) < 5
        readings = [clock.monotonic() for _ in range(1000)]
        assert readings == sorted(readings)
        assert readings[-1] > readings[0]

    def test_time_does_not_run_backwards(self) -> None:
        """Only the wall clock may be set back."""
        with pytest.raises(ValueError, match="step"):
            ManualClock().advance(-1)

    def test_the_simulators_own_clock_runs(self) -> None:
        """So that sockets and other processes meet a server whose time is theirs."""
        assert "running=True" in repr(CoboSimulator().clock)


class TestServer:
    def test_it_verifies_the_bytes_of_the_socket(self, app: App, bearer: str, base: str) -> None:
        """Odd but legal targets arrive as they were sent."""
        for target in (
            "/v2/echo/%41%2f~",
            "/v2/echo?a=b+c&&d=%zz&",
            "/v2/echo//x?",
            "/v2/echo?a?b",
        ):
            path, _, query = target.partition("?")
            body = self._get(base, app, target, bearer)
            assert (body["path"], body["query"]) == (path, query)

    def _get(self, base: str, app: App, target: str, bearer: str) -> dict[str, str]:
        head = "".join(
            f"{name}: {value}\r\n"
            for name, value in app.headers("GET", target, bearer=bearer).items()
        )
        head += "Connection: close\r\n\r\n"
        answer = self._talk(base, f"GET {target} HTTP/1.1\r\n{head}".encode())
        body: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return body

    def _talk(self, base: str, sent: bytes) -> bytes:
        host, _, port = base.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(sent)
            return b"".join(iter(functools.partial(connection.recv, 65536), b""))

    def test_it_keeps_connections_alive(self, app: App, bearer: str, base: str) -> None:
        """One connection serves many requests, fixed and chunked bodies alike."""
        with httpx.Client() as client:
            ports: set[object] = set()
            for content in (b"", b"fixed", [b"chun", b"ked"]):
                body = content if isinstance(content, bytes) else b"".join(content)
                headers = app.headers("POST", "/v2/echo", body, bearer=bearer)
                response = client.post(f"{base}/v2/echo", headers=headers, content=content)
                assert response.json()["body_sha256"] == hashlib.sha256(body).hexdigest()
                stream = response.extensions["network_stream"]
                ports.add(stream.get_extra_info("client_addr"))
        assert len(ports) == 1

    def test_it_answers_without_delay(self, app: App, bearer: str, base: str) -> None:
        """No delayed acknowledgement: a hundred requests take no 40 ms each."""
        with httpx.Client() as client:
            started = time.perf_counter()
            for _ in range(100):
                client.send(app.request("GET", "/v2/echo", bearer=bearer, base=base))
        assert time.perf_counter() - started < 3

    def test_it_speaks_http_1_0_and_expect(self, app: App, bearer: str, base: str) -> None:
        """An old client's connection is closed; a careful one is told to go on."""
        head = "".join(
            f"{name}: {value}\r\n"
            for name, value in app.headers("POST", "/v2/echo", b"x", bearer=bearer).items()
        )
        head += "Content-Length: 1\r\nExpect: 100-continue\r\n\r\nx"
        answer = self._talk(base, f"POST /v2/echo HTTP/1.0\r\n{head}".encode())
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")

    def test_it_reads_chunk_extensions_and_trailers(self, app: App, bearer: str, base: str) -> None:
        """Whatever HTTP/1.1 allows around a chunk is no part of the body."""
        head = "".join(
            f"{name}: {value}\r\n"
            for name, value in app.headers("POST", "/v2/echo", b"ab", bearer=bearer).items()
        )
        head += "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        chunks = "1;x=y\r\na\r\n1\r\nb\r\n0\r\nTrailer: z\r\n\r\n"
        answer = self._talk(base, f"POST /v2/echo HTTP/1.1\r\n{head}{chunks}".encode())
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")

    @pytest.mark.parametrize(
        "sent",
        [
            b"nonsense\r\n\r\n",
            b"GET /v2/echo HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET /v2/echo HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"GET /v2/echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        ],
    )
    def test_it_survives_what_is_no_http(
        self, app: App, bearer: str, base: str, sent: bytes
    ) -> None:
        """With 400, and the next client is served."""
        assert self._talk(base, sent).startswith(b"HTTP/1.1 400 ")
        with httpx.Client() as client:
            assert client.send(app.request("GET", "/v2/echo", bearer=bearer, base=base)).is_success

    @pytest.mark.parametrize(
        "sent",
        [b"GET /v2", b"GET / HTTP/1.1\r\nHost", b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"],
    )
    def test_it_survives_half_a_request(self, base: str, sent: bytes) -> None:
        """A client that goes away in the middle leaves nothing behind."""
        host, _, port = base.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")

    def test_it_serves_300_connections_at_once(self, app: App, bearer: str, base: str) -> None:
        """All of them are open at the same time, none is turned away."""
        with app.simulator.hold() as hold, ThreadPoolExecutor(300) as pool:

            def read() -> int:
                # Plain HTTP: spare 300 loads of the CA bundle.
                with httpx.Client(timeout=60, trust_env=False, verify=False) as client:
                    request = app.request("GET", "/v2/echo", bearer=bearer, base=base)
                    return client.send(request).status_code

            answers = [pool.submit(read) for _ in range(300)]
            hold.wait_arrived(300, timeout_s=60)
            hold.release()
            assert {answer.result(60) for answer in answers} == {200}
        assert app.simulator.counters.requests == 300

    @pytest.mark.parametrize(("kind", "executed"), [("drop", 1), ("refuse", 0)])
    def test_connections_break(
        self, app: App, bearer: str, base: str, kind: Literal["drop", "refuse"], executed: int
    ) -> None:
        """After the effect or before it, with a reset."""
        app.simulator.inject(kind=kind)
        with httpx.Client() as client, pytest.raises(httpx.ReadError):
            client.send(app.request("POST", "/v2/echo", bearer=bearer, base=base))
        assert app.simulator.counters.executed_writes == executed

    def test_a_hanging_request_ends_with_the_fault(self, app: App, bearer: str, base: str) -> None:
        """It is accepted and not answered until the fault is removed."""
        fault = app.simulator.inject(kind="hang")
        with httpx.Client(timeout=0.05) as client, pytest.raises(httpx.ReadTimeout):
            client.request(
                "GET", f"{base}/v2/echo", headers=app.headers("GET", "/v2/echo", bearer=bearer)
            )
        fault.remove()
        assert fault.hits == 1

    def test_shutdown_does_not_wait_for_anybody(self, app: App, bearer: str) -> None:
        """Idle, held, hanging and delayed connections end with the server, at once."""
        before = app.simulator.environment
        app.simulator.inject("/v2/echo/hang", "hang")
        app.simulator.inject("/v2/echo/late", "delay", delay_s=60)
        hold = app.simulator.hold("/v2/echo/held")
        with ThreadPoolExecutor() as pool, httpx.Client() as idle:
            with app.simulator.serve() as environment:
                base = environment.base_url.removesuffix("/v2")
                assert app.simulator.environment is environment
                idle.send(app.request("GET", "/v2/echo", bearer=bearer, base=base))

                def read(target: str) -> str:
                    with httpx.Client(timeout=60) as client:
                        try:
                            client.send(app.request("GET", target, bearer=bearer, base=base))
                        except httpx.TransportError as error:
                            return type(error).__name__
                        return "answered"

                reads = [pool.submit(read, f"/v2/echo/{name}") for name in ("hang", "late", "held")]
                hold.wait_arrived()
                wait_until(lambda: app.simulator.counters.requests == 4)
                started = time.monotonic()
            assert time.monotonic() - started < 5
            assert "answered" not in [answer.result(10) for answer in reads]
        assert app.simulator.environment is before

    def test_a_late_answer_arrives(self, app: App, bearer: str, base: str) -> None:
        """A delay over a socket delays one answer."""
        app.simulator.inject(kind="delay", delay_s=0.01)
        with httpx.Client() as client:
            assert client.send(app.request("GET", "/v2/echo", bearer=bearer, base=base)).is_success

    def test_it_can_come_back_on_its_port(self, app: App, bearer: str) -> None:
        """An outage, and then the same address again."""
        with app.simulator.serve() as environment:
            port = environment.origin[2]
        with app.simulator.serve(port=port or 0) as environment:
            base = environment.base_url.removesuffix("/v2")
            with httpx.Client() as client:
                request = app.request("GET", "/v2/echo", bearer=bearer, base=base)
                assert client.send(request).is_success

    def test_it_serves_other_processes(self, app: App, bearer: str, base: str) -> None:
        """Another process needs nothing but the address."""
        spawn = multiprocessing.get_context("spawn")
        headers = app.headers("GET", "/v2/echo", bearer=bearer)
        with spawn.Pool(1) as pool:
            response = pool.apply(httpx.get, (f"{base}/v2/echo",), {"headers": headers})
        assert response.json()["org_id"] == app.simulator.org_id
        assert app.simulator.counters.requests == 1

    def test_threads_are_counted_right(self, app: App, bearer: str) -> None:
        """No count is lost, however many ask at once."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(app.status, [bearer] * 400))
        finally:
            sys.setswitchinterval(interval)
        assert {*answers} == {200}
        assert app.simulator.counters.requests == 400
