"""``examples/fastapi_app.py``: workers that share one folder, and a callback open to anybody."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth.testing import CoboSimulator

if TYPE_CHECKING:
    import httpx

    from tests.examples.conftest import Serves

WORKERS = 2


@pytest.fixture
def backend(serve: Serves) -> httpx.Client:
    """The example as it would be deployed."""
    return serve("-m", "uvicorn", "fastapi_app:api", "--workers", str(WORKERS), "--port")


@pytest.fixture
def worker(serve: Serves) -> httpx.Client:
    """One process of it alone."""
    return serve("-m", "uvicorn", "fastapi_app:api", "--port")


@pytest.fixture
def user(backend: httpx.Client, served: CoboSimulator) -> None:
    """Somebody of the organization uses its page."""
    backend.headers["Authorization"] = f"Bearer {served.user_info_token()}"


def statuses(backend: httpx.Client, method: str, paths: list[str]) -> set[int]:
    """Make requests, eight at a time, each by a connection of its own."""

    def ask(path: str) -> int:
        return backend.request(method, path, headers={"Connection": "close"}).status_code

    with ThreadPoolExecutor(8) as threads:
        return set(threads.map(ask, paths))


@pytest.mark.usefixtures("user")
def test_workers_share_a_token_and_strangers_force_nothing(
    backend: httpx.Client, served: CoboSimulator
) -> None:
    """Forty reads cost one exchange; forty callbacks no more than one for each worker."""
    wallets = f"/organizations/{served.org_id}/wallets"
    assert statuses(backend, "GET", [wallets] * 40) == {200}
    assert served.counters.exchanges == 1
    served.revoke_tokens()
    assert statuses(backend, "GET", [wallets] * 40) == {200}
    assert served.counters.exchanges == 2

    # Calls for organizations that the app does not know, and calls that are none of Cobo's.
    call = "/cobo/callback?approval_result={}&org_id={}"
    strangers = [call.format(result, uuid.uuid4()) for result in (1, 2) for _ in range(20)]
    assert statuses(backend, "POST", strangers) == {204}
    nonsense = [call.format(3, served.org_id), call.format(2, "../x"), "/cobo/callback"]
    assert statuses(backend, "POST", nonsense) == {400}
    assert statuses(backend, "POST", [call.format(1, served.org_id)] * 20) == {204}
    assert served.counters.exchanges == 2

    # However often a change is told, each worker renews once, and then not for 30 s.
    assert statuses(backend, "GET", [call.format(2, served.org_id)] * 40) == {204}
    deadline = time.monotonic() + 10.0
    while served.counters.exchanges == 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert statuses(backend, "GET", [wallets] * 40) == {200}
    assert 3 <= served.counters.exchanges <= 2 + WORKERS
    assert served.counters.spent_refresh_reused == 0


def test_trouble_is_told_as_such(worker: httpx.Client, served: CoboSimulator) -> None:
    """404 for another organization; 503, without Cobo's words, where there is no token."""
    worker.headers["Authorization"] = f"Bearer {served.user_info_token()}"
    assert worker.get(f"/organizations/{uuid.uuid4()}/wallets").status_code == 404
    served.inject("token", "answer", status=429, retry_after=100)
    told = worker.get(f"/organizations/{served.org_id}/wallets")
    assert (told.status_code, told.text) == (503, "Cobo cannot be asked at the moment")
    assert told.headers["Retry-After"] == "100"


def test_an_app_that_is_not_installed_is_told_so(
    worker: httpx.Client, served: CoboSimulator
) -> None:
    """By 409: whoever uses the page can do something about it."""
    served.uninstall()
    token = served.user_info_token()
    wallets = f"/organizations/{served.org_id}/wallets"
    answer = worker.get(wallets, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 409


def test_only_its_own_people_see_an_organizations_wallets(
    worker: httpx.Client, served: CoboSimulator
) -> None:
    """By the token of Cobo's page, which is checked whole."""
    wallets = f"/organizations/{served.org_id}/wallets"
    for claims, status in (
        ({}, 200),
        ({"org_id": str(uuid.uuid4())}, 404),
        ({"aud": "another app"}, 401),
        ({"iss": "https://elsewhere.test/"}, 401),
        ({"exp": 1}, 401),
    ):
        token = served.user_info_token(**claims)
        answer = worker.get(wallets, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status, claims
    stranger = CoboSimulator(client_id=served.client_id, org_id=served.org_id).user_info_token()
    for nonsense in (f"Bearer {stranger}", "Bearer x.y.z", ""):
        answer = worker.get(wallets, headers={"Authorization": nonsense})
        assert answer.status_code == 401


def test_events_are_taken_from_cobo_only(worker: httpx.Client, served: CoboSimulator) -> None:
    """Signed by Cobo's key, over the very bytes, and not long ago."""
    for message, status in (
        (served.webhook(), 200),
        (served.webhook({"type": "wallets.transaction.succeeded"}), 200),
        (served.webhook(tamper=True), 401),
        (served.webhook(age_s=400), 401),
    ):
        body, headers = message
        answer = worker.post("/cobo/webhook", content=body, headers=headers)
        assert answer.status_code == status
    assert worker.post("/cobo/webhook", content=b"{}").status_code == 401
