"""What Cobo sends to an app: webhook events and callback messages."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

from httpx_cobo_auth.testing._wire import body_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx_cobo_auth.testing._protocol import ResponseSigner

__all__ = ["SignedMessage", "signed_message", "transaction_event"]


class SignedMessage(NamedTuple):
    """A webhook event or callback message, as it arrives at an app by POST."""

    body: bytes
    """The raw bytes that are signed."""
    headers: dict[str, str]
    """Content type, time and signature; these two in both spellings that are in use."""


def signed_message(
    event: object, signer: ResponseSigner, at_s: float, *, tamper: bool
) -> SignedMessage:
    """Sign an event: bytes, text, or anything for JSON."""
    body = body_of(event)
    signed = signer.headers(body, at_s, tamper=tamper)
    return SignedMessage(body, {"Content-Type": "application/json", **dict(signed)})


def transaction_event(
    transaction: Mapping[str, object], url: str, now_s: float
) -> dict[str, object]:
    """Return an event in the shape of the official SDK's ``WebhookEvent``."""
    return {
        "event_id": str(uuid.uuid4()),
        "url": url,
        "created_timestamp": int(now_s * 1000),
        "type": "wallets.transaction.created",
        "data": {"data_type": "Transaction", **transaction},
    }
