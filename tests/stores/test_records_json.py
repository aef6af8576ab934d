"""What is read back is the right record, or a line about what is wrong with it."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey, TokenTrust, Trust
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.tokens import Token
from httpx_cobo_auth.stores._checks import Secret
from httpx_cobo_auth.stores._records_json import decode, encode, key_of
from tests.fuzzing import fuzz

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = StoreKey("https://api.example/v2", "client", "organization")
RECORD = Record(
    7,
    Token(
        access_token="5ec2e7-access",
        refresh_token="5ec2e7-refresh",
        expires_at=1_800_000_000.25,
        obtained_at=1_799_956_801.25,
    ),
    PendingExchange("owner", 1_799_990_000.5),
    RenewalThrottle(
        (("GET /v2/wallets", Backoff(2, 1_799_990_060.0)),), (1_799_990_000.0, 1_799_990_030.0)
    ),
    TokenTrust(Trust.REFUSED, "GET /v2/wallets", 1_799_990_000.75),
    Backoff(3, 1_799_990_120.5),
    "revision",
    -7_200.5,
)
GOOD = encode(KEY, RECORD).data

TIMES = st.floats(-1e11, 1e11)
BEARERS = st.from_regex(r"[A-Za-z0-9._~+/-]{1,80}={0,2}", fullmatch=True)
BACKOFFS = st.builds(Backoff, st.integers(0, 2**53), TIMES)
RECORDS = st.builds(
    Record,
    st.integers(0, 2**53),
    st.none()
    | st.builds(
        Token,
        access_token=BEARERS,
        refresh_token=st.none() | BEARERS,
        expires_at=TIMES,
        obtained_at=TIMES,
        scope=st.text(max_size=20),
        token_type=st.sampled_from(["Bearer", "bearer"]),
    ),
    st.none() | st.builds(PendingExchange, st.text(max_size=40), TIMES),
    st.builds(
        RenewalThrottle,
        st.lists(st.tuples(st.text(max_size=60), BACKOFFS), max_size=3).map(tuple),
        st.lists(TIMES, max_size=5).map(tuple),
    ),
    st.builds(
        TokenTrust,
        st.sampled_from([Trust.TRUSTED, Trust.REFUSED, Trust.EXPOSED]),
        st.text(max_size=60),
        TIMES,
    ),
    BACKOFFS,
    st.none() | st.text(max_size=40),
    TIMES,
)


def read(data: bytes) -> Record | str:
    return decode(KEY, Secret(data))


def signed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Change the good record and give it a digest that fits."""
    envelope = json.loads(GOOD)
    change(envelope["record"])
    canonical = json.dumps(envelope["record"], sort_keys=True, separators=(",", ":"))
    envelope["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    return json.dumps(envelope).encode()


def flaw(data: bytes) -> str:
    """Return what is wrong, after looking that it tells no secret."""
    found = read(data)
    assert isinstance(found, str)
    assert "5ec2e7" not in found
    return found


@pytest.mark.hazard(23)
@given(RECORDS)
@fuzz(300)
def test_every_record_comes_back_as_it_was(record: Record) -> None:
    """Any record, whatever is known of its token, survives being written and read."""
    assert decode(KEY, encode(KEY, record)) == record


def test_every_truncation_is_noticed() -> None:
    """Cut at any of its bytes, a record is corrupt, never a smaller record."""
    for length in range(len(GOOD)):
        flaw(GOOD[:length])


@pytest.mark.hazard(21)
def test_every_damaged_byte_is_noticed_or_harmless() -> None:
    """Thousands of files that differ in one byte: never another token, never an exception."""
    for place in range(len(GOOD)):
        for byte in (0, 0x20, 0x30, 0x61, 0x7F, 0xFF, GOOD[place] ^ 1, GOOD[place] ^ 0x80):
            found = read(GOOD[:place] + bytes([byte]) + GOOD[place + 1 :])
            assert isinstance(found, str) or found == RECORD


@given(st.binary(max_size=400))
@fuzz(400)
def test_garbage_is_noticed(data: bytes) -> None:
    """1500 strings of random bytes: each is said to be corrupt, none raises another error."""
    assert isinstance(read(data), str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(JSON)
@fuzz(200)
def test_other_json_is_noticed(value: object) -> None:
    """Valid JSON of any shape that is no record is said to be corrupt."""
    assert isinstance(read(json.dumps(value).encode()), str)


PARTS = (
    "key generation revision token pending trust attempts throttle throttle.ineffective.0"
    " server_ahead"
)
PLACES = PARTS.split() + [
    f"{part}.{name}"
    for part, names in {
        "token": "access_token refresh_token expires_at obtained_at scope token_type",
        "pending": "owner begun_at",
        "trust": "level kind at",
        "attempts": "failures until",
        "throttle": "ineffective forced_at",
        "throttle.ineffective.0": "kind failures until",
    }.items()
    for name in names.split()
]


@given(st.sampled_from(PLACES), JSON)
@fuzz(200)
def test_a_wrong_schema_is_noticed_although_the_digest_fits(place: str, value: object) -> None:
    """What is read back would have been written the same: nothing is read into another type."""
    found = read(signed(put(place, value)))
    if isinstance(found, Record):
        assert decode(KEY, encode(KEY, found)) == found


def put(place: str, value: object) -> Callable[[dict[str, Any]], object]:
    """Put another value at a place in the record: ``token.scope``, ``throttle.ineffective.0``."""

    def change(record: dict[str, Any]) -> None:
        inner: Any = record
        *above, name = (int(part) if part.isdigit() else part for part in place.split("."))
        for part in above:
            inner = inner[part]
        inner[name] = value

    return change


WRONG: dict[str, tuple[object, ...]] = {
    "generation": (-1, True, 2**53 + 1, None),
    "token": (1, {}),
    "token.access_token": ("5ec2e7\r\nX: 1", "", "5ec2e7" * 1000, None),
    "token.refresh_token": (5, "not a bearer"),
    "token.expires_at": ("5ec2e7", 10**400, None),
    "token.obtained_at": ("5ec2e7",),
    "token.scope": (None,),
    "token.token_type": (None,),
    "pending": (1,),
    "pending.owner": (None,),
    "pending.begun_at": (True, None),
    "revision": (1, "x" * 4097),
    "trust": (None, {}),
    "trust.level": ("unknown", "5ec2e7", None, ["trusted"], {}),
    "trust.kind": (None, "x" * 4097),
    "trust.at": (None, "5ec2e7"),
    "attempts": (None, {"failures": 1}),
    "attempts.failures": (-1, True, None),
    "attempts.until": (None, 10**400),
    "throttle": (None,),
    "throttle.ineffective": (None, {}, ["x"], [{"kind": "x"}], [None] * 4097),
    "throttle.ineffective.0.kind": (None,),
    "throttle.ineffective.0.failures": (None, 0.5),
    "throttle.ineffective.0.until": (None, "5ec2e7"),
    "server_ahead": (None, True, "5ec2e7", 1e12),
    "throttle.forced_at": ({}, ["x"], [4.0, "5ec2e7"], [1.0] * 4097, None),
}


@pytest.mark.parametrize("place", WRONG)
def test_what_is_wrong_is_named_and_nothing_else(place: str) -> None:
    """A value that cannot be is named by its field, in one sentence, though the digest fits."""
    name = place.rpartition(".")[2]
    for value in WRONG[place]:
        assert flaw(signed(put(place, value))) == f"{name} is not as it should be"


def test_a_field_more_or_less_is_noticed() -> None:
    """A record of another shape is not guessed at."""

    def without_pending(record: dict[str, Any]) -> None:
        del record["pending"]

    def without_scope(record: dict[str, Any]) -> None:
        del record["token"]["scope"]

    assert flaw(signed(put("more", 1))) == "record is not as it should be"
    assert flaw(signed(without_pending)) == "record is not as it should be"
    assert flaw(signed(without_scope)) == "token is not as it should be"


def test_an_envelope_of_another_shape_is_noticed() -> None:
    """Without its record, with one that is none, or with a digest that does not fit."""
    envelope = json.loads(GOOD)
    shape = "is not as it should be"
    assert flaw(b'{"format": 2, "digest": ""}') == f"the whole {shape}"
    nothing = {**envelope, "record": None, "digest": hashlib.sha256(b"null").hexdigest()}
    assert flaw(json.dumps(nothing).encode()) == f"record {shape}"
    damaged = {**envelope, "digest": "0" * 64}
    assert flaw(json.dumps(damaged).encode()) == "it is damaged: the digest does not fit"


@pytest.mark.hazard(35)
def test_another_organizations_record_is_refused() -> None:
    """A file that was moved, or a key that collides, must not lend its token."""
    belongs = "it belongs to another environment, client or organization"
    assert decode(StoreKey(KEY.base_url, KEY.client_id, "0ther"), Secret(GOOD)) == belongs
    assert flaw(signed(put("key.org_id", "0ther"))) == belongs


def test_whose_a_record_is_can_be_told() -> None:
    """Its key, for listings; nothing of what is damaged, or bound to nobody."""
    assert key_of(Secret(GOOD)) == KEY
    assert key_of(Secret(old())) == KEY
    assert key_of(encode(None, RECORD)) is None
    for wrong in (b"", b"{}", GOOD[:-1], signed(put("key.org_id", 1)), signed(put("key", {}))):
        assert key_of(Secret(wrong)) is None


def test_a_record_may_be_bound_to_nobody() -> None:
    """Who asks for nobody's in particular gets any; who asks for a key's, only that one's."""
    free = encode(None, RECORD)
    assert decode(None, free) == decode(None, Secret(GOOD)) == RECORD
    assert decode(KEY, free) == "it belongs to another environment, client or organization"
    assert decode(None, Secret(signed(put("key", 1)))) == "key is not as it should be"
    assert decode(None, Secret(signed(put("key.org_id", 1)))) == "org_id is not as it should be"


@pytest.mark.parametrize("place", ["token.expires_at", "token.obtained_at", "pending.begun_at"])
def test_a_whole_number_is_a_time_too(place: str) -> None:
    """Another writer's JSON may have no fraction; it is read as the same time, as a float."""
    inner: Any = read(signed(put(place, 1_799_000_000)))
    for name in place.split("."):
        inner = getattr(inner, name)
    assert type(inner) is float
    assert inner == 1_799_000_000


@pytest.mark.parametrize("seconds", [1e11, -1e11, 10**11, -(10**11)])
def test_the_outermost_times_are_taken(seconds: float) -> None:
    """Ten to the eleventh seconds either way of the epoch is still a time; beyond is none."""
    found = read(signed(put("attempts.until", seconds)))
    assert isinstance(found, Record)
    assert found.attempts.until == seconds
    farther = seconds + (0.001 if seconds > 0 else -0.001)
    beyond = flaw(signed(put("attempts.until", farther)))
    assert beyond == "until is not as it should be"


@pytest.mark.parametrize("count", [0, 2**53])
def test_the_outermost_counts_are_taken(count: int) -> None:
    """Zero and two to the fifty-third are counts."""
    assert read(signed(put("generation", count))) == replace(RECORD, generation=count)


@pytest.mark.parametrize(
    "place",
    [
        "revision",
        "pending.owner",
        "trust.kind",
        "throttle.ineffective.0.kind",
        "token.scope",
        "token.token_type",
        "token.access_token",
        "token.refresh_token",
    ],
)
def test_text_of_up_to_4096_characters_is_taken(place: str) -> None:
    """Of that length it is read; one character more is refused."""
    assert isinstance(read(signed(put(place, "x" * 4096))), Record)
    beyond = flaw(signed(put(place, "x" * 4097)))
    assert beyond == f"{place.rpartition('.')[2]} is not as it should be"


@pytest.mark.parametrize("place", ["throttle.ineffective", "throttle.forced_at"])
def test_lists_of_up_to_4096_entries_are_taken(place: str) -> None:
    """Of that length they are read; with one entry more the record is refused."""
    entry = json.loads(GOOD)["record"]["throttle"][place.partition(".")[2]][0]
    assert isinstance(read(signed(put(place, [entry] * 4096))), Record)
    beyond = flaw(signed(put(place, [entry] * 4097)))
    assert beyond == f"{place.partition('.')[2]} is not as it should be"


OLD: dict[str, Any] = {
    "key": {"base_url": KEY.base_url, "client_id": KEY.client_id, "org_id": KEY.org_id},
    "generation": 7,
    "token": json.loads(GOOD)["record"]["token"],
    "note": {"owner": "owner", "begun_at": 1_799_990_000.5},
    "spacing": {
        "ineffective_count": 2,
        "ineffective_until": 1_799_990_060.0,
        "ineffective_cause": "GET /v2/wallets",
        "forced_at": [1_799_990_000.0],
    },
}


def old(**changes: object) -> bytes:
    """Return a record as version 0.1 wrote it."""
    content = {**OLD, **changes}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return json.dumps({"format": 1, "digest": digest, "record": content}).encode()


def test_a_record_of_version_0_1_is_read() -> None:
    """Its token, generation and begun exchange are kept; its throttle begins anew."""
    assert read(old()) == Record(7, RECORD.token, RECORD.pending)
    assert read(old(note=None)) == Record(7, RECORD.token)
    assert read(old(token=None, note=None)) == Record(7)


def test_a_flaw_in_a_record_of_version_0_1_is_noticed() -> None:
    """It is checked as strictly as a present one."""
    assert flaw(old(more=1)) == "record is not as it should be"
    assert flaw(old(generation=-1)) == "generation is not as it should be"
    assert flaw(old(note=1)) == "note is not as it should be"
    belongs = "it belongs to another environment, client or organization"
    assert flaw(old(key={**OLD["key"], "org_id": "0ther"})) == belongs
    assert flaw(old().replace(b"owner", b"0wner")) == "it is damaged: the digest does not fit"


@pytest.mark.parametrize("version", [3, 4, 10**30])
def test_a_newer_format_says_so(version: int) -> None:
    """Whatever else a newer version changes, its ``format`` tells what to do: upgrade."""
    assert flaw(json.dumps({"format": version}).encode()) == (
        "it has format 3 or later; a newer version of this package wrote it"
    )


@pytest.mark.parametrize("version", [0, -1, None, "2", 1.5, True, [2]])
def test_any_other_format_is_refused(version: object) -> None:
    """A newer package's file, or an older one's, is not guessed at."""
    envelope = json.loads(GOOD)
    envelope["format"] = version
    assert flaw(json.dumps(envelope).encode()) == "its format is unknown"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[" * 200_000, id="deep"),
        pytest.param(b'{"format": NaN}', id="NaN"),
        pytest.param(b'{"format": -Infinity}', id="infinite"),
        pytest.param(b"1" * 5000, id="many digits"),
        pytest.param(b"\xff\xfe{\x00}", id="bad encoding"),
    ],
)
def test_json_that_breaks_parsers_is_no_json(data: bytes) -> None:
    """Depth, NaN, long numbers, bad encodings: corrupt, whatever Python's parser raises."""
    assert flaw(data) == "it is not JSON"


def test_numbers_without_bounds_are_noticed() -> None:
    """``1e999`` is good JSON, and infinite to Python."""
    data = GOOD.replace(b"1800000000.25", b"1e999")
    assert data != GOOD
    flaw(data)


def test_a_secret_shows_nothing() -> None:
    """An encoded record has no token in its ``repr``, and a copy is equal."""
    assert "5ec2e7" not in repr(encode(KEY, RECORD))
    assert copy.copy(encode(KEY, RECORD)) == encode(KEY, RECORD)
