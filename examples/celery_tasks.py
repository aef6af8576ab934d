"""Celery workers that pay out: one token for all of them, and no transfer twice.

Run them with ``celery --app celery_tasks worker --concurrency 4`` and these variables:

- ``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET``, ``COBO_ENV``, ``COBO_ORG_ID``: who pays.
- ``COBO_TOKEN_STORE``: where the workers share the token: ``file:/var/lib/my-app/tokens`` on one
  host, ``redis://…`` on several; the Redis that is your broker will do, if it loses nothing.
- ``CELERY_CONFIG_MODULE``: a module with Celery's own settings, the broker above all.

Whoever orders a transfer makes up its ``request_id`` and keeps it with the order::

    pay.delay(request_id=str(uuid.uuid4()), wallet_id=…, address=…, amount="1")

Cobo takes each ``request_id`` only once. So the task may be repeated as often as need be, and
this package may repeat the request, which it never does with a write unless told to. What Cobo
has refused is not asked for again: that takes a person.
"""

from __future__ import annotations

import functools

import httpx
from celery import Celery

from httpx_cobo_auth import CoboOAuth, TokenRefusedError, TokenUnavailableError

app = Celery("celery_tasks")
app.config_from_envvar("CELERY_CONFIG_MODULE")

USED_BEFORE = 30001
TOO_MANY_REQUESTS = 429


@functools.cache
def cobo() -> httpx.Client:
    """Return this process's client: made when first needed, for connections survive no fork."""
    return CoboOAuth.from_env().client(timeout=30.0)


class CoboIsDownError(Exception):
    """Cobo answered by a 5XX, or asks for patience."""


@app.task(
    autoretry_for=(httpx.TransportError, CoboIsDownError, TokenUnavailableError),
    dont_autoretry_for=(TokenRefusedError,),
    retry_backoff=True,
    max_retries=10,
    acks_late=True,
)
def pay(*, request_id: str, wallet_id: str, address: str, amount: str) -> str:
    """Send USDT to an address; gives what became of it."""
    answer = cobo().post(
        "/transactions/transfer",
        json={
            "request_id": request_id,
            "source": {"source_type": "Asset", "wallet_id": wallet_id},
            "token_id": "ETH_USDT",
            "destination": {
                "destination_type": "Address",
                "account_output": {"address": address, "amount": amount},
            },
        },
        extensions={"cobo_replay": True},
    )
    if answer.is_client_error and answer.json().get("error_code") == USED_BEFORE:
        return "sent before"
    if answer.is_server_error or answer.status_code == TOO_MANY_REQUESTS:
        raise CoboIsDownError(answer.status_code)
    return str(answer.raise_for_status().json()["transaction_id"])
