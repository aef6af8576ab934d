"""``portal.client()``: one client for many organizations, as safe as one organization's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth import ConfigurationError
from httpx_cobo_auth.errors import UnsafeRequestError
from tests.family import PortalApp, httpx
from tests.held import until

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator, ManualClock

OTHER_ORG = "0b6ddf19-083c-4bd1-8ca9-366eb0dec427"


@pytest.fixture
def app(running: CoboSimulator) -> PortalApp:
    """Installed by two organizations."""
    running.add_org(OTHER_ORG)
    return PortalApp(**{name: of for name, of in given(running).items() if name != "org_id"})


def given(simulator: CoboSimulator) -> dict[str, Any]:
    return dict(simulator.credentials)


def test_each_request_says_whose_it_is(app: PortalApp, running: CoboSimulator) -> None:
    """Each organization gets a token of its own, by paths below the base URL."""
    with app.client(transport=running) as client:
        for org_id in (running.org_id, OTHER_ORG):
            client.get("/wallets", auth=app.org(org_id)).raise_for_status()
            client.post("/echo", auth=app.org(org_id)).raise_for_status()
    assert running.counters.implicits == 2
    assert running.counters.rejected == 0


@pytest.mark.anyio
async def test_in_tasks_too(app: PortalApp, running: CoboSimulator) -> None:
    """On both event loops."""
    async with app.async_client(transport=running) as client:
        for org_id in (running.org_id, OTHER_ORG):
            (await client.get("/wallets", auth=app.org(org_id))).raise_for_status()
        with pytest.raises(UnsafeRequestError, match=r"auth=app\.org"):
            await client.get("/wallets")
    assert running.counters.implicits == 2


def test_one_that_does_not_is_refused(app: PortalApp, running: CoboSimulator) -> None:
    """Before anything is sent; who wants no auth at all says ``None``."""
    with app.client(transport=running) as client:
        with pytest.raises(UnsafeRequestError, match=r"auth=app\.org"):
            client.get("/wallets")
        assert running.counters.requests == 0
        assert client.get("/wallets", auth=None).status_code == 401


def test_renewals_run_on_their_own_through_it(
    app: PortalApp, running: CoboSimulator, ticking: ManualClock
) -> None:
    """As through the client of one organization."""
    auth = app.org(running.org_id)
    with app.client(transport=running) as client:
        client.get("/wallets", auth=auth).raise_for_status()
        ticking.advance(running.token_lifetime - 60)
        client.get("/wallets", auth=auth).raise_for_status()
        until(lambda: running.counters.refreshes == 1)


def test_it_follows_no_redirect(app: PortalApp, running: CoboSimulator) -> None:
    """The credentials would go along."""
    running.inject("api", status=302, headers={"Location": "https://elsewhere.example/"})
    with app.client(transport=running) as client:
        assert client.get("/wallets", auth=app.org(running.org_id)).status_code == 302
        with pytest.raises(UnsafeRequestError, match="redirect"):
            client.get("/wallets", auth=app.org(running.org_id), follow_redirects=True)


@pytest.mark.parametrize("option", ["auth", "base_url", "follow_redirects"])
def test_what_makes_it_safe_cannot_be_chosen(app: PortalApp, option: str) -> None:
    """Sync and async."""
    for make in (app.client, app.async_client):
        with pytest.raises(ConfigurationError, match=option):
            make(**{option: True})


def test_the_tokens_of_two_organizations_are_kept_fresh_apart(
    app: PortalApp, running: CoboSimulator, ticking: ManualClock
) -> None:
    """One that fails does not keep the other from its renewal."""
    with app.client(transport=running) as client:
        for org_id in (running.org_id, OTHER_ORG):
            client.get("/wallets", auth=app.org(org_id)).raise_for_status()
        running.uninstall(OTHER_ORG)
        ticking.advance(running.token_lifetime - 60)
        with app.keep_fresh(client):
            until(lambda: running.counters.refreshes >= 1)
    assert isinstance(client, httpx.Client)
