"""One spelling for one organization: tokens, renewals and callbacks are kept by it."""

from __future__ import annotations

import re
import uuid

from httpx_cobo_auth.errors import ConfigurationError

__all__ = ["canonical_org_id"]

_UUID = re.compile(
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}", re.ASCII | re.IGNORECASE
)


def canonical_org_id(value: str | uuid.UUID) -> str:
    """Return an organization's ID as it is kept and sent.

    Cobo's IDs are UUIDs, returned in lower case and with dashes, however they are spelled. Text
    that is none is returned as it is.

    Raises:
        ConfigurationError: it is neither text nor a UUID, or it is empty, has white space around
            it, or holds characters that cannot be printed.

    """
    if isinstance(value, uuid.UUID):
        return str(value)
    _require_text(value)
    if not value:
        message = "org_id is empty; it must be the UUID of an organization"
        raise ConfigurationError(message)
    if not value.isprintable() or value != value.strip():
        message = (
            f"org_id {value!r} has white space around it or unprintable characters in it; it "
            "must be the UUID of an organization"
        )
        raise ConfigurationError(message)
    return str(uuid.UUID(value)) if _UUID.fullmatch(value) else value


def _require_text(value: object) -> None:
    if not isinstance(value, str):
        message = f"org_id must be text or a uuid.UUID, not {type(value).__name__}"
        raise ConfigurationError(message)
