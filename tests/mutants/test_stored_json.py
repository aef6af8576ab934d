"""A stored record, read strictly: each flaw is named exactly, and what is sound is taken."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.tokens import Token
from httpx_cobo_auth.stores._checks import Secret
from httpx_cobo_auth.stores._records_json import MAX_BYTES, decode, encode

KEY = StoreKey("https://api.example/v2", "client", "organization")
TOKEN = Token(
    access_token="5ec2e7-access",
    refresh_token="5ec2e7-refresh",
    expires_at=1_800_000_000.25,
    obtained_at=1_799_956_801.25,
)
RECORD = Record(
    7,
    TOKEN,
    PendingExchange("owner", 1_799_990_000.5),
    RenewalThrottle(2, 5.0, "GET /x", (4.0, 5.0)),
)

WRONG: dict[str, object] = {
    "record": None,
    "record.generation": None,
    "record.token": 1,
    "record.token.access_token": None,
    "record.token.refresh_token": "not a bearer",
    "record.token.expires_at": None,
    "record.token.obtained_at": "5ec2e7",
    "record.token.scope": None,
    "record.token.token_type": None,
    "record.pending": 1,
    "record.pending.owner": None,
    "record.pending.begun_at": None,
    "record.throttle": None,
    "record.throttle.ineffective_count": None,
    "record.throttle.ineffective_until": None,
    "record.throttle.ineffective_cause": None,
    "record.throttle.forced_at": None,
}


def changed(place: str, value: object) -> Secret:
    """Put another value there, and a digest that fits."""
    envelope: dict[str, Any] = json.loads(encode(KEY, RECORD).data)
    *above, name = place.split(".")
    inner = envelope
    for part in above:
        inner = inner[part]
    inner[name] = value
    canonical = json.dumps(envelope["record"], sort_keys=True, separators=(",", ":"))
    envelope["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    return Secret(json.dumps(envelope).encode())


def test_what_is_not_changed_is_sound() -> None:
    """The record that the other tests change is itself taken as it was written."""
    assert decode(KEY, changed("format", 1)) == RECORD


@pytest.mark.parametrize(("place", "value"), WRONG.items(), ids=WRONG)
def test_the_flaw_is_named_and_nothing_else(place: str, value: object) -> None:
    """A field of another type is named by its own name, in one sentence without its value."""
    name = place.rpartition(".")[2]
    assert decode(KEY, changed(place, value)) == f"{name} is not as it should be"


def test_a_time_among_the_forced_ones_is_checked_as_well() -> None:
    """Each time in the list of forced renewals has to be one."""
    flaw = decode(KEY, changed("record.throttle.forced_at", [4.0, "5ec2e7"]))
    assert flaw == "forced_at is not as it should be"


def test_an_envelope_of_another_shape_is_named() -> None:
    """An envelope that lacks a field is not guessed at."""
    flaw = decode(KEY, Secret(b'{"format": 1, "digest": ""}'))
    assert flaw == "the whole is not as it should be"


def test_damage_and_owner_are_told_in_full() -> None:
    """The two flaws that a support engineer meets have texts of their own."""
    envelope = json.loads(encode(KEY, RECORD).data)
    envelope["digest"] = "0" * 64
    damaged = Secret(json.dumps(envelope).encode())
    assert decode(KEY, damaged) == "it is damaged: the digest does not fit"
    other = StoreKey(KEY.base_url, KEY.client_id, "other")
    belongs = "it belongs to another environment, client or organization"
    assert decode(other, encode(KEY, RECORD)) == belongs


def test_a_newer_format_is_told_in_full() -> None:
    """The text says that an upgrade is what helps, and which format was met."""
    flaw = decode(KEY, changed("format", 2))
    assert flaw == "it has format 2 or later; a newer version of this package wrote it"


@pytest.mark.parametrize("place", ["token.expires_at", "token.obtained_at", "pending.begun_at"])
def test_a_whole_number_is_a_time_too(place: str) -> None:
    """Another writer's JSON may have no fraction; it is read as the same time, as a float."""
    found = decode(KEY, changed(f"record.{place}", 1_799_000_000))
    assert isinstance(found, Record)
    inner: Any = found
    for name in place.split("."):
        inner = getattr(inner, name)
    assert type(inner) is float
    assert inner == 1_799_000_000


@pytest.mark.parametrize("seconds", [1e11, -1e11, 10**11, -(10**11)])
def test_the_outermost_times_are_taken(seconds: float) -> None:
    """Ten to the eleventh seconds either way of the epoch is still a time; beyond is none."""
    found = decode(KEY, changed("record.throttle.ineffective_until", seconds))
    assert isinstance(found, Record)
    assert found.throttle.ineffective_until == seconds
    farther = seconds + (0.001 if seconds > 0 else -0.001)
    beyond = decode(KEY, changed("record.throttle.ineffective_until", farther))
    assert beyond == "ineffective_until is not as it should be"


@pytest.mark.parametrize("count", [0, 2**53])
def test_the_outermost_counts_are_taken(count: int) -> None:
    """Zero and two to the fifty-third are counts."""
    found = decode(KEY, changed("record.generation", count))
    assert isinstance(found, Record)
    assert found.generation == count


def test_a_long_path_is_taken_and_other_long_text_is_not() -> None:
    """A request's path may fill the record; any other text ends at 4096 characters."""
    for place, longest in {
        "throttle.ineffective_cause": MAX_BYTES,
        "pending.owner": 4096,
        "token.scope": 4096,
        "token.token_type": 4096,
        "token.access_token": 4096,
        "token.refresh_token": 4096,
    }.items():
        name = place.rpartition(".")[2]
        assert isinstance(decode(KEY, changed(f"record.{place}", "x" * longest)), Record)
        beyond = decode(KEY, changed(f"record.{place}", "x" * (longest + 1)))
        assert beyond == f"{name} is not as it should be"
