"""Tokens rotate as Cobo's do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulated import OTHER_ORG, App

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock


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

    def test_a_reply_can_do_without_expires_in(self, app: App) -> None:
        """The documentation marks no field as required; the token lives as long as set."""
        app.simulator.tell_expires_in = False
        first = app.implicit().json()
        second = app.refresh(first["refresh_token"]).json()
        for reply in (first, second):
            assert {*reply} == {"access_token", "refresh_token", "scope", "token_type"}
        assert app.status(second["access_token"]) == 200

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
