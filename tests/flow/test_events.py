"""Who wants to know is told: once for each change, after it happened, without a secret."""

from __future__ import annotations

import dataclasses
import logging
import threading
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import pytest

from httpx_cobo_auth import MemoryStore
from httpx_cobo_auth._runtime.event_log import log
from httpx_cobo_auth.errors import ConfigurationError, StoreUnavailableError, TokenEndpointError
from httpx_cobo_auth.events import (
    ContentionSuspected,
    Event,
    RenewalAwaited,
    RenewalFailed,
    RequestRefused,
    RequestReplayed,
    SaveFailed,
    TokenAcquired,
    TokenChanged,
    TokenRenewed,
    TokenTakenOver,
)
from httpx_cobo_auth.testing import CoboSimulator, ManualClock
from tests.family import CoboOAuth, httpx
from tests.flow.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS = pytest.mark.parametrize("plain", [False, True], ids=["auth.client()", "auth="])


def listened(rig: Rig, listener: Callable[[Event], object]) -> httpx.Client:
    """Return a client of an auth object with that listener, on the rig's store."""
    simulator = rig.simulator
    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        clock=rig.clock,
        store=rig.store,
        on_event=listener,
    )
    return auth.client(transport=simulator)


@pytest.mark.hazard(38)
@WAYS
def test_one_event_for_each_change(plain: bool, caplog: pytest.LogCaptureFixture) -> None:  # noqa: FBT001
    """And one line of the log."""
    caplog.set_level(logging.DEBUG, "httpx_cobo_auth")
    rig = Rig(plain=plain)
    told: list[tuple[type[Event], int]] = [(TokenAcquired, 1)]
    rig.send()
    rig.grow_stale()
    rig.send()
    told.append((TokenRenewed, 2))
    rig.expire()
    rig.send()
    told.append((TokenRenewed, 3))
    rig.simulator.revoke_tokens()
    rig.send()
    told.append((TokenRenewed, 4))
    rig.renewed_elsewhere()
    rig.send()
    told.append((TokenTakenOver, 5))
    rig.expire()
    rig.simulator.expire_refresh_token()
    rig.send()
    told.append((TokenAcquired, 6))
    for _ in range(5):
        rig.send()
    changes = [event for event in rig.events if isinstance(event, TokenChanged)]
    assert [(type(event), event.generation) for event in changes] == told
    assert [event for event in rig.events if event not in changes] == [*rig.told(RequestReplayed)]
    lines = [record.getMessage() for record in caplog.records if record.name == "httpx_cobo_auth"]
    assert [line.split(" token ")[0] for line in lines if "refused" not in line] == [
        *("acquired", "renewed", "renewed", "renewed", "using", "acquired")
    ]
    for event in changes:
        assert event.base_url == "https://cobo.test/v2"
        assert (event.client_id, event.org_id) == (rig.simulator.client_id, rig.simulator.org_id)
        assert event.at < event.expires_at


@pytest.mark.hazard(38)
def test_an_event_comes_after_the_token_was_saved_and_while_nothing_is_held() -> None:
    """A handler sees the stored record, without a note, and gets the store's lock itself."""
    rig = Rig()
    seen: list[tuple[int, int, object]] = []

    def look(event: Event) -> None:
        assert isinstance(event, TokenChanged)
        lock = rig.store.try_lock(rig.key, ttl=1.0)
        seen.append((event.generation, rig.stored.generation, rig.stored.pending))
        assert lock is not None
        lock.release()

    client = listened(rig, look)
    client.get("/wallets")
    rig.expire()
    client.get("/wallets")
    assert seen == [(1, 1, None), (2, 2, None)]


@WAYS
def test_failures_are_told_and_logged(plain: bool, caplog: pytest.LogCaptureFixture) -> None:  # noqa: FBT001
    """Event and log line name Cobo's error, and say whether the current token still works."""
    rig = Rig(plain=plain)
    rig.send()
    rig.grow_stale()
    rig.simulator.inject("token", status=503, body={"error_code": 5, "error_id": "id-7"}, times=2)
    rig.send()
    (_, event) = rig.events
    assert isinstance(event, RenewalFailed)
    assert event.still_usable
    assert isinstance(event.error, TokenEndpointError)
    assert event.error.error_id == "id-7"
    assert "id-7" in caplog.text
    assert "keeping the current one" in caplog.text
    rig.expire()
    rig.simulator.inject("token", "refuse", times=3)
    if not plain:
        with pytest.raises(TokenEndpointError):
            rig.send()
        (*_, event) = rig.events
        assert isinstance(event, RenewalFailed)
        assert not event.still_usable
        assert "there is none" in caplog.text


def test_a_token_that_could_not_be_saved_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """``SaveFailed`` has generation and error; ``TokenRenewed`` for the token is told as well."""
    rig = Rig()
    rig.send()
    rig.expire()

    # The note is written, the token is not.
    def and_then_no_more(response: httpx.Response) -> httpx.Response:
        rig.store.broken.add("save")
        return response

    rig.wire.after_exchange = and_then_no_more
    rig.send()
    assert rig.kinds() == ["TokenAcquired", "SaveFailed", "TokenRenewed"]
    (event,) = [event for event in rig.events if isinstance(event, SaveFailed)]
    assert event.generation == 2
    assert isinstance(event.error, StoreUnavailableError)
    assert "could not save token 2" in caplog.text


def test_events_are_frozen_and_show_no_secret() -> None:
    """Neither ``str``, ``repr`` nor the fields of any event hold a token or the app's key."""
    rig = Rig()
    rig.send()
    secrets = {rig.token.access_token, str(rig.token.refresh_token), rig.simulator.app_secret}
    rig.grow_stale()
    rig.simulator.inject("token", status=400, times=2)
    rig.send()
    rig.clock.advance(60)
    rig.send()
    secrets |= {rig.token.access_token, str(rig.token.refresh_token)}
    assert len(rig.kinds()) == 3
    for event in rig.events:
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.at = 0.0  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
        shown = f"{event} {event!r} {dataclasses.astuple(event)}"
        assert not any(secret in shown for secret in secrets)


def test_a_handler_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Requests succeed, and the log has the handler's error, once for each event."""
    rig = Rig()

    def fail(_: Event) -> None:
        message = "the handler is broken"
        raise ValueError(message)

    client = listened(rig, fail)
    assert client.get("/wallets").status_code == 200
    rig.expire()
    assert client.post("/echo").status_code == 200
    assert caplog.text.count("on_event raised for Token") == 2
    assert "the handler is broken" in caplog.text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_handler_may_make_requests_with_the_same_auth(method: str) -> None:
    """It is called when neither permit nor lock nor a write in flight is held."""
    rig = Rig()
    statuses: list[int] = []

    def request(_: Event) -> None:
        statuses.append(client.request(method, "/echo").status_code)

    client = listened(rig, request)

    def calls() -> None:
        statuses.append(client.get("/wallets").status_code)
        for ready in (rig.grow_stale, rig.expire, rig.simulator.revoke_tokens):
            ready()
            statuses.append(client.get("/wallets").status_code)
            cast("Any", client)._settle()

    thread = threading.Thread(target=calls, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "deadlock"
    # Four calls, and one for each of four tokens; and one for each request that is sent again: the
    # one with the revoked token, and perhaps a read that a renewal beside it has overtaken.
    assert set(statuses) == {200}
    assert len(statuses) in {9, 10}


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (TokenAcquired, "acquired token 7"),
        (TokenRenewed, "renewed token 7"),
        (TokenTakenOver, "using token 7 of organization o"),
        (
            RenewalFailed,
            "could not renew the token of organization o at https://x; keeping the current one: E",
        ),
        (
            SaveFailed,
            "could not save token 7 of organization o at https://x; using it from memory: E",
        ),
        (ContentionSuspected, "Waiting 30 s before"),
        (RenewalAwaited, "waited 0.6 s for a token of organization o"),
        (RequestReplayed, "refused the credentials of GET /x of organization o"),
        (RequestRefused, "(HTTP 401); returning its response"),
        (Event, "Event of organization o"),
    ],
)
def test_the_log_says_the_same_in_words(
    event: type[Event], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each class of event has a line of its own, also one without fields."""
    caplog.set_level(logging.DEBUG, "httpx_cobo_auth")
    values = {
        "generation": 7,
        "expires_at": 2.0,
        "error": StoreUnavailableError("E"),
        "still_usable": True,
        "hold_off": 30.0,
        "seconds": 0.6,
        "request": "GET /x",
        "status": 401,
    }
    names = {each.name for each in dataclasses.fields(event)}
    own: dict[str, Any] = {name: value for name, value in values.items() if name in names}
    log(event(base_url="https://x", client_id="c", org_id="o", at=1.0, **own), None)
    assert words in caplog.text


def test_stores_of_one_identity_share_one_renewal() -> None:
    """Two objects for one file, say: one account, one renewal permit."""

    class Named(MemoryStore):
        identity = "the same file"

    rig = Rig()
    store = Named()
    auths = [
        CoboOAuth(
            client_id=rig.simulator.client_id,
            app_secret=rig.simulator.app_secret,
            org_id=rig.simulator.org_id,
            environment=rig.simulator.environment,
            clock=rig.clock,
            store=each,
        )
        for each in (store, Named())
    ]
    assert auths[0]._session.account is auths[1]._session.account
    assert auths[0]._session.permits is auths[1]._session.permits


@pytest.mark.parametrize("plain", [False, True], ids=["auth.async_client()", "auth="])
@pytest.mark.parametrize("raises", [False, True])
async def test_an_async_handler_is_awaited_in_async_clients(
    plain: bool,  # noqa: FBT001
    raises: bool,  # noqa: FBT001
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the order of the events; one that raises is told to the log, and breaks nothing."""
    simulator = CoboSimulator(clock=ManualClock())  # Nobody waits for long by it.
    told: list[str] = []

    async def handler(event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        told.append(type(event).__name__)
        if raises:
            message = "no place for events"
            raise OSError(message)

    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        clock=simulator.clock,
        on_event=handler,
    )
    client = (
        httpx.AsyncClient(auth=auth, base_url=simulator.environment.base_url, transport=simulator)
        if plain
        else auth.async_client(transport=simulator)
    )
    async with client:
        await client.get("/wallets")
        simulator.revoke_tokens()
        assert (await client.get("/wallets")).status_code == 200
    assert told == ["TokenAcquired", "TokenRenewed", "RequestReplayed"]
    assert ("on_event raised for TokenRenewed" in caplog.text) is raises


def test_an_async_handler_is_refused_by_sync_clients() -> None:
    """Nobody would await it there: that is said before anything is sent."""

    async def handler(event: Event) -> None:
        """Do nothing."""

    simulator = CoboSimulator()
    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=simulator.environment,
        on_event=handler,
    )
    with (
        auth.client(transport=simulator) as client,
        pytest.raises(ConfigurationError, match="cannot await on_event"),
    ):
        client.get("/wallets")
    assert simulator.counters.requests == 0


@WAYS
def test_a_request_that_was_sent_again_is_told(plain: bool) -> None:  # noqa: FBT001
    """By method, and path without identifiers; before it is sent, and once the token is there."""
    rig = Rig(plain=plain)
    rig.send()
    rig.simulator.revoke_tokens()
    rig.send("GET", "/wallets/f47ac10b-58cc-4372-a567-0e02b2c3d479")
    [replayed] = rig.told(RequestReplayed)
    assert replayed.request == "GET /v2/wallets/*"
    assert rig.events[-1] is replayed
    assert not rig.told(RequestRefused)


@WAYS
@pytest.mark.parametrize(
    ("status", "code", "hold_off"), [(500, 1000, 0.0), (401, 2024, 0.0), (403, 2025, 0.0)]
)
def test_a_refusal_that_the_caller_gets_is_told(
    plain: bool,  # noqa: FBT001
    status: int,
    code: int,
    hold_off: float,
) -> None:
    """With its status. A response that says nothing about credentials is none."""
    rig = Rig(plain=plain)
    rig.send()
    rig.simulator.inject("api", status=status, error_code=code)
    assert rig.send("POST", "/echo").status_code == status
    [refused] = rig.told(RequestRefused)
    assert (refused.request, refused.status) == ("POST /v2/echo", status)
    assert refused.hold_off == hold_off
    assert not rig.told(RequestReplayed)
    rig.simulator.inject("api", status=404)
    rig.send("POST", "/echo")
    assert rig.told(RequestRefused) == [refused]


@WAYS
def test_how_long_renewals_are_held_off_is_told(plain: bool) -> None:  # noqa: FBT001
    """A server that always refuses: one replay, then refusals, of which none forces a renewal."""
    rig = Rig(plain=plain)
    rig.send()
    with rig.simulator.inject("api", status=401, times=None):
        for _ in range(3):
            assert rig.send().status_code == 401
            rig.clock.advance(10)
    assert [event.hold_off for event in rig.told(RequestRefused)] == [30.0, 20.0, 10.0]
    assert len(rig.told(RequestReplayed)) == 1


@WAYS
def test_a_call_that_had_to_wait_is_told(plain: bool) -> None:  # noqa: FBT001
    """For the time that it took; who did not wait, or hardly, is not told of."""
    rig = Rig(plain=plain)
    rig.wire.before_exchange = lambda _: rig.clock.advance(0.05)
    rig.send()
    assert not rig.told(RenewalAwaited)
    rig.expire()
    rig.wire.before_exchange = lambda _: rig.clock.advance(0.6)
    rig.send()
    rig.send()
    [waited] = rig.told(RenewalAwaited)
    assert waited.seconds == pytest.approx(0.6)


def test_a_handler_whose_own_requests_are_refused_is_not_called_for_them() -> None:
    """It would be called without end; the log has them all the same."""
    rig = Rig()
    told: list[Event] = []

    def request(event: Event) -> None:
        told.append(event)
        client.post("/echo")

    client = listened(rig, request)
    with rig.simulator.inject("api", status=401, error_code=2024, times=None):
        client.get("/wallets")
    assert [type(event) for event in told] == [TokenAcquired, RequestRefused]
