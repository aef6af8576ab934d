"""A record as JSON: strictly read, checked for damage, bound to the key that it belongs to.

::

    {"format": 2, "digest": "<SHA-256 of the record>", "record": {"key": …, "token": …, …}}

The digest finds damage that is still JSON, such as one character of a token. The key inside
keeps a file that was moved to another organization's place from being taken for its own.
Whoever changes what ``record`` holds, counts ``format`` up; older versions refuse it then.
Format 1, of version 0.1, is read as well: its refresh token may be all that an organization has.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from typing import Any, NoReturn, cast

from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey, TokenTrust, Trust
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.tokens import Token
from httpx_cobo_auth.stores._checks import Secret

__all__ = ["MAX_BYTES", "decode", "encode", "key_of"]

MAX_BYTES = 256 * 1024
"""No record is longer; what is, need not even be read."""

_FORMAT = 2
_OLD_FORMAT = 1
_MAX_COUNT = 2**53
_MAX_TIME_S = 1e11
_MAX_TEXT = 4096
_MAX_ENTRIES = 4096
_LEVELS = {level.value for level in Trust if level is not Trust.UNKNOWN}
# As replies of the token endpoint are read: anything else could break out of the header.
_NAMES = (
    *("key", "generation", "revision", "token", "pending"),
    *("trust", "attempts", "throttle", "server_ahead"),
)
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def encode(key: StoreKey | None, record: Record) -> Secret:
    """Return the JSON of a record; bound to the key, if one is given."""
    trust, throttle = record.trust, record.throttle
    content: dict[str, Any] = {
        "key": asdict(key) if key is not None else None,
        "generation": record.generation,
        "revision": record.revision,
        "token": asdict(record.token) if record.token is not None else None,
        "pending": asdict(record.pending) if record.pending is not None else None,
        "trust": {"level": trust.level.value, "kind": trust.kind, "at": trust.at},
        "attempts": asdict(record.attempts),
        "throttle": {
            "ineffective": [{"kind": kind, **asdict(wait)} for kind, wait in throttle.ineffective],
            "forced_at": throttle.forced_at,
        },
        "server_ahead": record.server_ahead,
    }
    envelope = {"format": _FORMAT, "digest": _digest(content), "record": content}
    return Secret(json.dumps(envelope).encode())


def decode(key: StoreKey | None, secret: Secret) -> Record | str:
    """Return the record or, as text without any of it, what is wrong with the JSON.

    The record must be bound to the key; to any or none, where that is ``None``. It does not
    raise, because a traceback would hold the tokens.
    """
    try:
        return _decoded(key, secret.data)
    except _FlawError as flaw:
        return str(flaw)
    except (ValueError, RecursionError):
        return "it is not JSON"


def key_of(secret: Secret) -> StoreKey | None:
    """Return the key that a record is bound to; ``None`` where the JSON is wrong."""
    if isinstance(decode(None, secret), str):
        return None
    stored: Any = json.loads(secret.data)["record"]["key"]
    return StoreKey(**stored) if stored is not None else None


class _FlawError(Exception):
    """What is wrong; it does not leave this module."""


def _decoded(key: StoreKey | None, data: bytes) -> Record:
    envelope: Any = json.loads(data, parse_constant=_refuse_constant)
    version = cast("dict[str, object]", envelope).get("format") if _is_object(envelope) else None
    if _is_whole(version) and cast("int", version) > _FORMAT:
        message = f"it has format {_FORMAT + 1} or later; a newer version of this package wrote it"
        raise _FlawError(message)
    fields = _fields("the whole", envelope, "format", "digest", "record")
    if not _is_whole(version) or version not in (_OLD_FORMAT, _FORMAT):
        message = "its format is unknown"
        raise _FlawError(message)
    record = fields["record"]
    if fields["digest"] != _digest(record):
        message = "it is damaged: the digest does not fit"
        raise _FlawError(message)
    if version == _OLD_FORMAT:
        return _old_record(key, record)
    content = _fields("record", record, *_NAMES)
    _check_key(key, content["key"])
    revision, pending = content["revision"], content["pending"]
    return Record(
        _count("generation", content["generation"]),
        _token(content["token"]) if content["token"] is not None else None,
        _pending("pending", pending) if pending is not None else None,
        _throttle(content["throttle"]),
        _trust(content["trust"]),
        _backoff("attempts", content["attempts"]),
        _text("revision", revision) if revision is not None else None,
        _time("server_ahead", content["server_ahead"]),
    )


def _old_record(key: StoreKey | None, record: object) -> Record:
    content = _fields("record", record, "key", "generation", "token", "note", "spacing")
    _check_key(key, content["key"])
    note = content["note"]
    return Record(
        _count("generation", content["generation"]),
        _token(content["token"]) if content["token"] is not None else None,
        _pending("note", note) if note is not None else None,
    )


def _check_key(key: StoreKey | None, stored: object) -> None:
    if key is None:
        if stored is not None:
            fields = _fields("key", stored, "base_url", "client_id", "org_id")
            for name, value in fields.items():
                _text(name, value)
    elif stored != asdict(key):
        message = "it belongs to another environment, client or organization"
        raise _FlawError(message)


def _token(value: object) -> Token:
    names = ("access_token", "refresh_token", "expires_at", "obtained_at", "scope", "token_type")
    fields = _fields("token", value, *names)
    refresh = fields["refresh_token"]
    return Token(
        access_token=_bearer("access_token", fields["access_token"]),
        refresh_token=_bearer("refresh_token", refresh) if refresh is not None else None,
        expires_at=_time("expires_at", fields["expires_at"]),
        obtained_at=_time("obtained_at", fields["obtained_at"]),
        scope=_text("scope", fields["scope"]),
        token_type=_text("token_type", fields["token_type"]),
    )


def _pending(what: str, value: object) -> PendingExchange:
    fields = _fields(what, value, "owner", "begun_at")
    return PendingExchange(_text("owner", fields["owner"]), _time("begun_at", fields["begun_at"]))


def _trust(value: object) -> TokenTrust:
    fields = _fields("trust", value, "level", "kind", "at")
    level = _text("level", fields["level"])
    if level not in _LEVELS:
        _wrong("level")
    return TokenTrust(Trust(level), _text("kind", fields["kind"]), _time("at", fields["at"]))


def _backoff(what: str, value: object) -> Backoff:
    fields = _fields(what, value, "failures", "until")
    return Backoff(_count("failures", fields["failures"]), _time("until", fields["until"]))


def _throttle(value: object) -> RenewalThrottle:
    fields = _fields("throttle", value, "ineffective", "forced_at")
    return RenewalThrottle(
        tuple(_ineffective(entry) for entry in _list("ineffective", fields["ineffective"])),
        tuple(_time("forced_at", at) for at in _list("forced_at", fields["forced_at"])),
    )


def _ineffective(value: object) -> tuple[str, Backoff]:
    fields = _fields("ineffective", value, "kind", "failures", "until")
    backoff = {name: fields[name] for name in ("failures", "until")}
    return _text("kind", fields["kind"]), _backoff("ineffective", backoff)


def _list(what: str, value: object) -> list[object]:
    if not isinstance(value, list) or len(cast("list[object]", value)) > _MAX_ENTRIES:
        _wrong(what)
    return cast("list[object]", value)


def _fields(what: str, value: object, *names: str) -> dict[str, Any]:
    """Return the fields of an object that has exactly these."""
    if not isinstance(value, dict) or cast("dict[str, Any]", value).keys() != set(names):
        _wrong(what)
    return cast("dict[str, Any]", value)


def _count(what: str, value: object) -> int:
    if not _is_whole(value) or not 0 <= cast("int", value) <= _MAX_COUNT:
        _wrong(what)
    return cast("int", value)


def _time(what: str, value: object) -> float:
    # The comparison is false for NaN, and exact for whole numbers too large for a float.
    if not (isinstance(value, float) or _is_whole(value)) or not (
        -_MAX_TIME_S <= cast("float", value) <= _MAX_TIME_S
    ):
        _wrong(what)
    return float(cast("float", value))


def _text(what: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        _wrong(what)
    return value


def _bearer(what: str, value: object) -> str:
    text = _text(what, value)
    if _BEARER.fullmatch(text) is None:
        _wrong(what)
    return text


def _wrong(what: str) -> NoReturn:
    message = f"{what} is not as it should be"
    raise _FlawError(message)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _digest(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _refuse_constant(_name: str) -> NoReturn:
    # NaN and Infinity, which are no JSON.
    raise ValueError
