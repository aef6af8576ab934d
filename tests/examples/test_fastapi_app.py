"""``examples/fastapi_app.py``: workers that share one folder, and a callback open to anybody."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.examples.conftest import Serves

WORKERS = 2


@pytest.fixture
def backend(serve: Serves) -> httpx.Client:
    """The example as it would be deployed."""
    return serve("-m", "uvicorn", "fastapi_app:api", "--workers", str(WORKERS), "--port")


def statuses(backend: httpx.Client, method: str, paths: list[str]) -> set[int]:
    """Make requests, eight at a time, each by a connection of its own."""

    def ask(path: str) -> int:
        return backend.request(method, path, headers={"Connection": "close"}).status_code

    with ThreadPoolExecutor(8) as threads:
        return set(threads.map(ask, paths))


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
    assert statuses(backend, "POST", [call.format(2, served.org_id)] * 40) == {204}
    deadline = time.monotonic() + 10.0
    while served.counters.exchanges == 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert statuses(backend, "GET", [wallets] * 40) == {200}
    assert 3 <= served.counters.exchanges <= 2 + WORKERS
    assert served.counters.spent_refresh_reused == 0


def test_trouble_is_told_as_such(backend: httpx.Client, served: CoboSimulator) -> None:
    """404 for an unknown organization; 503, without Cobo's words, where there is no token."""
    assert backend.get(f"/organizations/{uuid.uuid4()}/wallets").status_code == 404
    served.uninstall()
    told = backend.get(f"/organizations/{served.org_id}/wallets")
    assert (told.status_code, told.text) == (503, "Cobo cannot be asked at the moment")
