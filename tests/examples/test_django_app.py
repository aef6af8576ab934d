"""``examples/django_app.py``: views in many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.held import until

if TYPE_CHECKING:
    import httpx

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.examples.conftest import Serves


@pytest.fixture
def site(serve: Serves, variables: dict[str, str]) -> httpx.Client:
    """The example, by Django's own server."""
    variables["DJANGO_SECRET_KEY"] = "of no worth"
    return serve("django_app.py", "runserver", "--noreload")


def test_views_share_a_token(site: httpx.Client, served: CoboSimulator) -> None:
    """Forty views in eight threads: one exchange, and one more after the token was revoked."""

    def ask(_number: int) -> int:
        return len(site.get("/wallets").raise_for_status().json()["data"])

    for exchanges in (1, 2):
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(ask, range(40))) == {3}
        assert served.counters.exchanges == exchanges
        served.revoke_tokens()


def test_a_view_says_when_to_come_again(site: httpx.Client, served: CoboSimulator) -> None:
    """Cobo's ``Retry-After`` at the token endpoint becomes the view's own, with 503."""
    served.inject("token", "answer", status=429, retry_after=100)
    told = site.get("/wallets")
    assert (told.status_code, told.headers["Retry-After"]) == (503, "100")


def test_an_app_that_is_not_installed_is_told_so(site: httpx.Client, served: CoboSimulator) -> None:
    """By 409: whoever uses the page can do something about it."""
    served.uninstall()
    assert site.get("/wallets").status_code == 409


def test_cobos_calls_are_taken(site: httpx.Client, served: CoboSimulator) -> None:
    """A change asks for a new token, once, by GET or POST; events only if they are signed."""
    assert site.get("/wallets").status_code == 200
    changed = f"/cobo/callback?approval_result=2&org_id={served.org_id}"
    assert {site.request(method, changed).status_code for method in ("GET", "POST")} == {204}
    until(lambda: served.counters.exchanges == 2)
    assert site.get("/cobo/callback").status_code == 400

    body, headers = served.webhook()
    assert site.post("/cobo/webhook", content=body, headers=headers).status_code == 200
    assert site.post("/cobo/webhook", content=body + b" ", headers=headers).status_code == 401
    assert served.counters.exchanges == 2
