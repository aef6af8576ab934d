"""``examples/celery_tasks.py``: workers of several processes, and answers that get lost."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from httpx_cobo_auth import TokenRefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from celery.result import AsyncResult

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.examples.conftest import Starts


@pytest.fixture
def broker(variables: dict[str, str], tmp_path: Path) -> Celery:
    """Return a broker that is a folder, to the test and to the workers."""
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    settings: dict[str, Any] = {
        "broker_url": "filesystem://",
        "broker_transport_options": {
            "data_folder_in": str(tmp_path / "queue"),
            "data_folder_out": str(tmp_path / "queue"),
            "control_folder": str(tmp_path / "control"),
            "polling_interval": 0.02,
        },
        "result_backend": f"file://{tmp_path / 'results'}",
        "worker_hijack_root_logger": False,
    }
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    (tmp_path / "celery_settings.py").write_text("".join(lines), encoding="utf-8")
    variables["CELERY_CONFIG_MODULE"] = "celery_settings"
    return Celery(changes=settings)


def test_payments_share_a_token_and_none_is_made_twice(
    served: CoboSimulator, broker: Celery, start: Starts
) -> None:
    """One exchange for two processes; a lost answer or a dead token repeats no transfer."""
    arguments = "worker --concurrency 2 --without-gossip --without-mingle --without-heartbeat"
    start("-m", "celery", "--app", "celery_tasks", *arguments.split())
    wallet_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{served.org_id}/1"))

    def pay() -> AsyncResult[str]:
        order = {"request_id": str(uuid.uuid4()), "wallet_id": wallet_id}
        order |= {"address": f"0x{'EE' * 20}", "amount": "1"}
        return broker.send_task("celery_tasks.pay", kwargs=order)

    def outcome(payment: AsyncResult[str]) -> str:
        return payment.get(timeout=180, interval=0.02)

    assert len(set(map(outcome, [pay() for _ in range(8)]))) == 8
    assert served.counters.exchanges == 1

    # The transfer is made, and then the answer is lost. The task is repeated, the transfer not.
    with served.inject("api", "drop"):
        assert outcome(pay()) == "sent before"
    # The token dies, which Cobo calls a 500. The request is repeated.
    served.revoke_tokens()
    assert outcome(pay()) != "sent before"
    assert served.counters.executed_writes == 10
    assert served.counters.exchanges == 2

    # The app is uninstalled. That takes a person: the task fails at once, and is not repeated.
    served.uninstall()
    with pytest.raises(TokenRefusedError, match="install"):
        outcome(pay())
    assert served.counters.executed_writes == 10
