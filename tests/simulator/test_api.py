"""Bearers, wallets, transactions."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Literal

import pytest

from tests.simulated import OTHER_ORG, App, error_code

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator


class TestBearer:
    @pytest.mark.parametrize(("status", "code"), [(500, 1000), (401, 2025)])
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

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (None, 30028),
            ({"request_id": ""}, 30028),
            ({"request_id": 5}, 30028),
            ({"request_id": "r", "source": 5}, 2006),
        ],
    )
    def test_a_broken_transfer_is_refused(
        self, app: App, bearer: str, content: object, code: int
    ) -> None:
        """30028 without a ``request_id``; and nothing is executed."""
        response = app.send("POST", "/v2/transactions/transfer", content, bearer=bearer)
        assert (response.status_code, error_code(response)) == (400, code)
        assert app.simulator.counters.executed_writes == 0

    def test_another_organizations_wallet_cannot_be_seen(self, app: App, bearer: str) -> None:
        """It is refused with 4001, and the attempt is counted."""
        app.simulator.add_org(OTHER_ORG)
        other = app.simulator.issue_token(OTHER_ORG).access_token
        wallet = app.send("GET", "/v2/wallets", bearer=other).json()["data"][0]
        response = app.send("GET", f"/v2/wallets/{wallet['wallet_id']}", bearer=bearer)
        assert (response.status_code, error_code(response)) == (403, 4001)
        assert app.simulator.counters.wrong_org == 1

    @pytest.mark.parametrize(
        ("method", "target", "code"),
        [
            ("GET", "/v2/nothing", 2021),
            ("GET", "/v1/wallets", 2021),
            ("GET", "/", 2021),
            ("GET", "/v2/wallets/", 2021),
            ("GET", "/v2/transactions/", 2021),
            ("GET", "/v2//wallets", 2021),
            ("DELETE", "/v2/wallets", 2021),
            ("GET", "/v2/wallets/unknown", 2028),
            ("GET", "/v2/transactions/unknown", 2028),
        ],
    )
    def test_what_is_not_there_is_not_found(
        self, app: App, bearer: str, method: str, target: str, code: int
    ) -> None:
        """2021 for path, slash or method, 2028 for the object; in Cobo's shape, with an ID."""
        response = app.send(method, target, bearer=bearer)
        assert (response.status_code, error_code(response)) == (404, code)
        assert {*response.json()} == {"error_code", "error_message", "error_id"}

    def test_head_has_no_body(self, app: App, bearer: str) -> None:
        """As HTTP has it."""
        response = app.send("HEAD", "/v2/echo", bearer=bearer)
        assert (response.status_code, response.content) == (200, b"")
