"""Every answer of the token endpoint, in every state of the token: what comes of it.

For each, what is known of the exchange afterwards decides: whether its refresh token is sent
again, whether ``org_implicit`` takes its place, how often it is tried, what the caller gets.
"""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth import Environment
from httpx_cobo_auth.errors import (
    CoboAuthError,
    RenewalTimeoutError,
    ResponseSignatureError,
    StoreCorruptError,
    StoreUnavailableError,
    TokenEndpointError,
    TokenRefusedError,
    TokenReplyError,
    TokenUnavailableError,
)
from httpx_cobo_auth.events import RenewalFailed
from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import httpx
from tests.flow.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.testing import FaultKind


class Fate(enum.Enum):
    """What is known of an exchange that gave no token."""

    UNPROCESSED = enum.auto()
    LATER = enum.auto()
    """Unprocessed, and not to be tried again for longer than anybody waits."""
    UNKNOWN = enum.auto()
    REFUSED = enum.auto()


@dataclass(frozen=True)
class Trouble:
    """What the token endpoint does, and what is known then.

    Attributes:
        fate: of the exchange.
        error: raised in the end, if it goes on.
        said: fields of that error.
        kind: of the simulator's fault; none for what the transport does.
        details: of the fault.
        raises: the transport's error, and whether Cobo processed the request before.
        keyless: in an environment without a response key.
        rotates: whether tokens rotate although no answer comes.

    """

    fate: Fate
    error: type[CoboAuthError]
    said: dict[str, object] = field(default_factory=dict[str, object])
    kind: FaultKind | None = "answer"
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    raises: type[httpx.TransportError] | None = None
    keyless: bool = False
    rotates: bool = False


def _answer(status: int, body: object, **details: object) -> dict[str, Any]:
    return {"status": status, "body": body, **details}


OAUTH = {"error": "invalid_grant", "error_description": "no such luck"}
WAAS = {"error_code": 5000, "error_message": "out of order", "error_id": "id-1"}
LIMITED = {"error_code": 2026, "error_message": "slow down", "error_id": "id-2"}

TROUBLES: dict[str, Trouble] = {
    "429": Trouble(
        Fate.UNPROCESSED,
        TokenEndpointError,
        {"status": 429, "error": "invalid_grant", "retry_after": None},
        details=_answer(429, OAUTH),
    ),
    "429 of a gateway": Trouble(
        Fate.UNPROCESSED,
        TokenEndpointError,
        {"status": 429, "error": None},
        details=_answer(429, "Too Many Requests", signed=False),
    ),
    "429, soon": Trouble(
        Fate.UNPROCESSED,
        TokenEndpointError,
        {"status": 429, "retry_after": 2.0},
        details=_answer(429, {}, retry_after=2),
    ),
    "429, much later": Trouble(
        Fate.LATER,
        TokenEndpointError,
        {"status": 429, "retry_after": 3600.0},
        details=_answer(429, {}, retry_after=3600),
    ),
    "2026": Trouble(
        Fate.UNPROCESSED,
        TokenEndpointError,
        {"status": 400, **LIMITED},
        details=_answer(400, LIMITED),
    ),
    "2010": Trouble(
        Fate.UNPROCESSED,
        TokenEndpointError,
        {"status": 500, "error_code": 2010},
        details=_answer(500, {"error_code": 2010}),
    ),
    "400": Trouble(
        Fate.REFUSED, TokenRefusedError, {"status": 400, **OAUTH}, details=_answer(400, OAUTH)
    ),
    "401": Trouble(
        Fate.REFUSED, TokenRefusedError, {"status": 401, **OAUTH}, details=_answer(401, OAUTH)
    ),
    "403": Trouble(
        Fate.REFUSED,
        TokenRefusedError,
        {"status": 403, "error_code": 2025, "error_id": "id-3"},
        details=_answer(403, {"error_code": 2025, "error_message": "no", "error_id": "id-3"}),
    ),
    "400, unsigned": Trouble(
        Fate.UNKNOWN,
        TokenEndpointError,
        {"status": 400, **OAUTH},
        details=_answer(400, OAUTH, signed=False),
    ),
    "400, no key to verify by": Trouble(
        Fate.REFUSED,
        TokenRefusedError,
        {"status": 400, **OAUTH},
        details=_answer(400, OAUTH, signed=False),
        keyless=True,
    ),
    "400, badly signed": Trouble(
        Fate.UNKNOWN,
        TokenEndpointError,
        {"status": 400, **OAUTH},
        kind="tamper",
        details=_answer(400, OAUTH, effect=False),
    ),
    "500": Trouble(
        Fate.UNKNOWN, TokenEndpointError, {"status": 500, **WAAS}, details=_answer(500, WAAS)
    ),
    "502 of a gateway": Trouble(
        Fate.UNKNOWN,
        TokenEndpointError,
        {"status": 502, "error_code": None},
        details=_answer(502, "<html>Bad Gateway</html>", signed=False),
    ),
    "503, soon": Trouble(
        Fate.UNKNOWN,
        TokenEndpointError,
        {"status": 503, "retry_after": 2.0, **WAAS},
        details=_answer(503, WAAS, retry_after=2),
    ),
    "302": Trouble(
        Fate.UNKNOWN,
        TokenEndpointError,
        {"status": 302},
        details=_answer(302, "", headers={"Location": "https://cobo.test/v2/elsewhere"}),
    ),
    "an empty 200": Trouble(
        Fate.UNKNOWN, TokenReplyError, {"status": 200}, details=_answer(200, b"")
    ),
    "a list": Trouble(Fate.UNKNOWN, TokenReplyError, {"status": 200}, details=_answer(200, [])),
    "a number for a token": Trouble(
        Fate.UNKNOWN,
        TokenReplyError,
        {"status": 201},
        details=_answer(201, {"access_token": 1, "expires_in": 60}),
    ),
    "garbage": Trouble(Fate.UNKNOWN, TokenReplyError, kind="garbage", rotates=True),
    "a megabyte": Trouble(
        Fate.UNKNOWN, TokenReplyError, {"status": 200}, details=_answer(200, b"x" * 1_000_000)
    ),
    "tampered": Trouble(Fate.UNKNOWN, ResponseSignatureError, kind="tamper", rotates=True),
    "unsigned": Trouble(Fate.UNKNOWN, ResponseSignatureError, kind="unsigned", rotates=True),
    "no connection": Trouble(Fate.UNPROCESSED, TokenEndpointError, {"status": None}, kind="refuse"),
    "no connection in time": Trouble(
        Fate.UNPROCESSED, TokenEndpointError, kind=None, raises=httpx.ConnectTimeout
    ),
    "no room in the pool": Trouble(
        Fate.UNPROCESSED, TokenEndpointError, kind=None, raises=httpx.PoolTimeout
    ),
    "no way through the proxy": Trouble(
        Fate.UNPROCESSED, TokenEndpointError, kind=None, raises=httpx.ProxyError
    ),
    "no answer in time": Trouble(
        Fate.UNKNOWN, TokenEndpointError, {"status": None}, kind="hang", rotates=True
    ),
    "dropped after rotation": Trouble(
        Fate.UNKNOWN, TokenEndpointError, {"status": None}, kind="drop", rotates=True
    ),
    "not all of it was sent": Trouble(
        Fate.UNKNOWN, TokenEndpointError, kind=None, raises=httpx.WriteError
    ),
}
STATES = ["stale", "expired", "missing", "refused"]


@pytest.fixture
def begin(sleeps_pass: Callable[[ManualClock], None]) -> Callable[..., Rig]:
    """Return a rig whose token is in that state."""

    def begin(state: str, **options: Any) -> Rig:  # noqa: ANN401 - of the rig
        rig = Rig(**options)
        sleeps_pass(rig.clock)
        if state == "missing":
            return rig
        rig.send()
        if state == "stale":
            rig.grow_stale()
        elif state == "expired":
            rig.expire()
        else:
            rig.simulator.revoke_tokens()
        rig.events.clear()
        return rig

    return begin


def _let_fail(rig: Rig, trouble: Trouble, *, times: int | None) -> None:
    if trouble.kind is not None:
        rig.simulator.inject("token", trouble.kind, times=times, **trouble.details)
        return
    assert trouble.raises is not None
    error, left = trouble.raises, [times]

    def fail(request: httpx.Request) -> None:
        if left[0] != 0:
            left[0] = None if left[0] is None else left[0] - 1
            message = "on purpose"
            raise error(message, request=request)

    rig.wire.before_exchange = fail


def _options(trouble: Trouble) -> dict[str, Any]:
    if not trouble.keyless:
        return {}
    return {"environment": Environment("keyless", "https://cobo.test/v2")}


def _check(error: CoboAuthError, trouble: Trouble) -> None:
    assert type(error) is trouble.error
    assert {name: getattr(error, name) for name in trouble.said} == trouble.said


@pytest.mark.hazard(25, 26)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_once(name: str, state: str, begin: Callable[..., Rig]) -> None:
    """It is got over where it can be, and the refresh token goes out once if it may be spent."""
    trouble = TROUBLES[name]
    rig = begin(state, **_options(trouble))
    before = rig.simulator.counters.exchanges
    sent_before = rig.refresh_tokens_sent()
    _let_fail(rig, trouble, times=1)
    spends = state != "missing"
    early = state == "stale"

    fails = trouble.fate is Fate.LATER or (trouble.fate is Fate.REFUSED and not spends)
    if fails and not early:
        with pytest.raises(TokenUnavailableError) as caught:
            rig.send()
        _check(caught.value, trouble)
        assert rig.kinds() == ["RenewalFailed"]
    else:
        assert rig.send().status_code == 200
        given_up = early and trouble.fate in (Fate.UNPROCESSED, Fate.LATER)
        again = spends and trouble.fate in (Fate.UNPROCESSED, Fate.LATER)
        renewed = "TokenRenewed" if again else "TokenAcquired"
        assert rig.kinds() == ["RenewalFailed" if given_up else renewed]

    arrived = rig.simulator.counters.exchanges - before
    assert arrived <= 2
    sent = rig.refresh_tokens_sent()[len(sent_before) :]
    assert len(sent) <= (2 if trouble.fate is Fate.UNPROCESSED else 1)
    assert rig.simulator.counters.spent_refresh_reused == 0
    assert rig.simulator.counters.bounced_writes == 0


@pytest.mark.hazard(25)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_for_good(name: str, state: str, begin: Callable[..., Rig]) -> None:
    """A bounded number of exchanges, a typed error with all that was said, or the old token."""
    trouble = TROUBLES[name]
    rig = begin(state, **_options(trouble))
    rig.wire.before_read = rig.settle
    exchanges: list[str] = []
    _let_fail(rig, trouble, times=None)
    before = rig.wire.before_exchange

    def counted(request: httpx.Request) -> None:
        exchanges.append(request.method)
        before(request)

    rig.wire.before_exchange = counted
    spends, early = state != "missing", state == "stale"
    if early and not trouble.rotates:
        assert rig.send().status_code == 200
        (event,) = rig.events
        assert isinstance(event, RenewalFailed)
        error = event.error
        assert event.still_usable
    else:
        with pytest.raises(CoboAuthError) as caught:
            rig.send()
        error = caught.value
    _check(error, trouble)

    expected = {
        Fate.UNPROCESSED: ["POST"] * (1 if early else 3) if spends else ["GET"] * 3,
        Fate.LATER: ["POST" if spends else "GET"],
        Fate.UNKNOWN: ["POST"] * spends + ["GET"] * (1 if early else 3),
        Fate.REFUSED: ["POST"] * spends + ["GET"],
    }[trouble.fate]
    if early and trouble.rotates:
        # What was rotated without an answer killed the old token: a second renewal, forced.
        expected += ["GET"] * 3
    assert exchanges == expected
    assert rig.simulator.counters.spent_refresh_reused == 0

    # Ten more calls within a minute.
    works = early and not trouble.rotates
    for _ in range(10):
        rig.clock.advance(6)
        with contextlib.nullcontext() if works else pytest.raises(trouble.error):
            assert rig.send().status_code == 200
    assert len(exchanges) < 30
    assert rig.simulator.counters.spent_refresh_reused == 0
    refreshes = rig.refresh_tokens_sent()
    if trouble.fate in (Fate.UNKNOWN, Fate.REFUSED):
        assert len(set(refreshes)) == len(refreshes)


# ---------------------------------------------------------------------- more than answers
def test_a_reply_without_a_refresh_token_carries_the_old_one_on(begin: Callable[..., Rig]) -> None:
    """Cobo's documentation marks no field as required."""
    rig = begin("expired")
    old = rig.token
    issued = rig.simulator.issue_token()
    body = {"access_token": issued.access_token, "expires_in": issued.expires_in}
    rig.simulator.inject("token", status=200, body=body)
    assert rig.send().status_code == 200
    assert rig.token.access_token == issued.access_token
    assert rig.token.refresh_token == old.refresh_token
    assert rig.kinds() == ["TokenRenewed"]


@pytest.mark.parametrize("off", [-7200.0, 3600.0])
@pytest.mark.parametrize("state", STATES)
def test_an_endpoint_whose_clock_is_off_is_met_half_way(
    off: float, state: str, sleeps_pass: Callable[[ManualClock], None]
) -> None:
    """One refused exchange corrects the nonces; the refresh token is as good as before."""
    theirs = ManualClock()
    rig = Rig(clock=ManualClock(), simulator=CoboSimulator(clock=theirs))
    rig.wire.before_read = rig.settle  # Else the read may be the first to learn of it.
    sleeps_pass(rig.clock)
    if state != "missing":
        rig.send()
    before = rig.simulator.counters.exchanges
    if state == "stale":
        rig.grow_stale()
    elif state == "expired":
        rig.expire()
    elif state == "refused":
        rig.simulator.revoke_tokens()
    theirs.step(off + rig.clock.time() - theirs.time())
    assert rig.send().status_code == 200
    assert rig.simulator.counters.exchanges - before == (1 if state == "refused" else 2)
    assert rig.kinds() == ["TokenAcquired"] + ["TokenRenewed"] * (state != "missing")


# ----------------------------------------------------------------------- somebody else's token
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ["400", "500", "dropped after rotation", "429, much later"])
def test_a_newer_token_in_the_store_needs_no_endpoint(
    name: str, state: str, begin: Callable[..., Rig]
) -> None:
    """Whatever the token's state and the endpoint's trouble, it is used, nothing exchanged."""
    trouble = TROUBLES[name]
    rig = begin(state)
    _let_fail(rig, trouble, times=None)
    before = rig.simulator.counters.exchanges
    newer = rig.renewed_elsewhere()
    assert rig.send().status_code == 200
    assert rig.bearers()[-1] == newer.access_token
    assert rig.simulator.counters.exchanges == before
    assert rig.kinds() == ["TokenTakenOver"]


@pytest.mark.parametrize("state", ["stale", "expired"])
@pytest.mark.parametrize("name", TROUBLES)
def test_a_newer_token_that_comes_during_the_exchange_is_not_lost(
    name: str, state: str, begin: Callable[..., Rig]
) -> None:
    """The lock lapsed, somebody else renewed: who goes on finds that out."""
    trouble = TROUBLES[name]
    rig = begin(state, **_options(trouble))
    _renew_elsewhere_during_exchange(rig, trouble)
    if trouble.fate is Fate.LATER and state == "expired":
        with pytest.raises(TokenEndpointError):
            rig.send()
    assert rig.send().status_code == 200


@pytest.mark.hazard(25)
@pytest.mark.parametrize("state", ["stale", "expired", "refused"])
@pytest.mark.parametrize("name", ["400", "401", "403"])
def test_a_refusal_is_final_only_where_the_store_bears_it_out(
    name: str, state: str, begin: Callable[..., Rig]
) -> None:
    """The loser of a race takes the winner's token, and asks for none."""
    rig = begin(state)
    rig.wire.before_read = rig.settle
    newer = _renew_elsewhere_during_exchange(rig, TROUBLES[name])
    assert rig.send().status_code == 200
    assert rig.bearers()[-1:] == newer
    assert rig.simulator.counters.implicits == 1
    assert rig.kinds() == ["TokenTakenOver"]


def _renew_elsewhere_during_exchange(rig: Rig, trouble: Trouble) -> list[str]:
    _let_fail(rig, trouble, times=1)
    fail = rig.wire.before_exchange
    newer: list[str] = []

    def renewed_first(request: httpx.Request) -> None:
        if not newer:
            newer.append(rig.renewed_elsewhere().access_token)
        fail(request)

    rig.wire.before_exchange = renewed_first
    return newer


# -------------------------------------------------------------------------- a failing store
BROKEN = {
    "save": {"save"},
    "load": {"load"},
    "lock": {"try_lock"},
    "all": {"save", "load", "try_lock"},
}


@pytest.mark.hazard(19)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("what", BROKEN)
def test_a_failing_store(what: str, state: str, begin: Callable[..., Rig]) -> None:
    """STALE goes on. Where only saving fails, org_implicit serves. Else a typed error."""
    rig = begin(state)
    rig.store.broken = BROKEN[what]
    before = rig.refresh_tokens_sent()
    if state == "stale":
        assert rig.send().status_code == 200
        assert rig.kinds() == ["RenewalFailed"]
    elif what == "save":
        for _ in range(20):
            assert rig.send().status_code == 200
            assert rig.send("POST", "/echo").status_code == 200
        assert rig.kinds() == ["SaveFailed", "SaveFailed", "TokenAcquired"]
    else:
        for _ in range(5):
            with pytest.raises(StoreUnavailableError, match="disk full"):
                rig.send()
        assert set(rig.kinds()) == {"RenewalFailed"}
    assert rig.refresh_tokens_sent() == before

    # Well again, everything goes on, and what was only in memory is saved.
    rig.store.broken = set()
    rig.clock.advance(31)
    assert rig.send().status_code == 200
    assert rig.send().status_code == 200
    assert rig.token.access_token == rig.bearers()[-1]
    rig.expire()
    assert rig.send("POST", "/echo").status_code == 200
    assert rig.simulator.counters.spent_refresh_reused == 0
    assert rig.simulator.counters.bounced_writes == 0


@pytest.mark.parametrize("state", ["expired", "missing", "refused"])
def test_a_corrupt_store_is_a_typed_error_and_nothing_is_asked_for(
    state: str, begin: Callable[..., Rig]
) -> None:
    """It is not taken for an empty one: a token issued over it would cost the one inside."""
    rig = begin(state)
    before = rig.simulator.counters.exchanges
    rig.store._error = lambda: StoreCorruptError("that is no record")
    rig.store.broken = {"load"}
    with pytest.raises(StoreCorruptError):
        rig.send()
    assert rig.simulator.counters.exchanges == before


def test_a_lock_held_by_somebody_else_is_waited_for_in_vain(
    begin: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a finite time; then nothing was sent."""
    rig = begin("expired")
    lock = rig.store.try_lock(rig.key, ttl=1.0)
    assert lock is not None
    # Real time is what bounds the waiting for the lock.
    monkeypatch.setattr("httpx_cobo_auth._runtime.resources.time", rig.clock)
    before = rig.simulator.counters.exchanges
    with pytest.raises(RenewalTimeoutError, match="another process"):
        rig.send()
    assert rig.simulator.counters.exchanges == before
    lock.release()
    assert rig.send().status_code == 200


# --------------------------------------------------------------------- a plain auth= client
ANSWERED = [name for name, trouble in TROUBLES.items() if trouble.kind in {"answer", "tamper"}]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ANSWERED)
def test_with_a_plain_client_an_answer_means_the_same(
    name: str, state: str, begin: Callable[..., Rig]
) -> None:
    """And neither answer nor history shows the exchange."""
    trouble = TROUBLES[name]
    rig = begin(state, plain=True, **_options(trouble))
    _let_fail(rig, trouble, times=1)
    fails = trouble.fate is Fate.LATER or (trouble.fate is Fate.REFUSED and state == "missing")
    if fails and state != "stale":
        with pytest.raises(TokenUnavailableError) as caught:
            rig.send()
        _check(caught.value, trouble)
    else:
        assert rig.send().status_code == 200
    assert rig.simulator.counters.spent_refresh_reused == 0


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", [name for name in TROUBLES if name not in ANSWERED])
def test_with_a_plain_client_one_call_fails_with_the_transport_and_the_next_recovers(
    name: str, state: str, begin: Callable[..., Rig]
) -> None:
    """Nothing of the failed call was sent, no refresh token goes out twice, no write bounces."""
    trouble = TROUBLES[name]
    rig = begin(state, plain=True)
    sent_before = rig.refresh_tokens_sent()
    _let_fail(rig, trouble, times=1)
    try:
        # A write is handed its refusal, and renews nothing itself.
        method = "GET" if state == "refused" else "POST"
        assert rig.send(method, "/echo").status_code == 200
    except httpx.TransportError:
        assert rig.simulator.counters.executed_writes == 0
    assert rig.send().status_code == 200
    assert rig.send("POST", "/echo").status_code == 200
    assert rig.simulator.counters.spent_refresh_reused == 0
    assert rig.simulator.counters.bounced_writes == 0
    sent = rig.refresh_tokens_sent()[len(sent_before) :]
    assert len(set(sent)) == len(sent)


@pytest.mark.parametrize("plain", [True, False])
def test_a_redirected_exchange_is_not_followed_or_else_exposed_and_not_repeated(
    plain: bool,  # noqa: FBT001
    begin: Callable[..., Rig],
) -> None:
    """In 50 requests the refresh token leaves once; the error is typed, exchanges are spaced."""
    rig = begin("expired", plain=plain)
    rig.client.follow_redirects = True
    elsewhere = "https://cobo.test/v2/elsewhere"
    rig.simulator.inject("token", "redirect", times=None, url=elsewhere)
    seen: list[str] = []
    for _ in range(50):
        rig.clock.advance(1)
        with pytest.raises(CoboAuthError) as caught:
            rig.send()
        seen.append(type(caught.value).__name__)
    assert set(seen) == {"RedirectedError" if plain else "TokenEndpointError"}
    assert len(rig.refresh_tokens_sent()) == 1
    assert rig.simulator.counters.exchanges < 30


def test_errors_show_no_token(begin: Callable[..., Rig]) -> None:
    """Not even where the endpoint repeats what it was sent."""
    rig = begin("expired")
    token = rig.token
    said = {
        "error": f"bad {token.refresh_token}",
        "error_description": f"no {token.access_token} here\nand there",
    }
    rig.simulator.inject("token", times=None, status=429, body=said)
    with pytest.raises(TokenEndpointError) as caught:
        rig.send()
    error = caught.value
    assert error.error == "bad [token]"
    assert error.error_description == "no [token] here?and there"
    shown = f"{error} {error!r} {vars(error)} {rig.events}"
    assert str(token.refresh_token) not in shown
    assert token.access_token not in shown
