"""``examples/django_app.py``: views in many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

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
