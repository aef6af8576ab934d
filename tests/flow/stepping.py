"""Driving a flow by hand: every effect has to be the expected one, and is given its result."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from httpx_cobo_auth._protocol.account import Account
from httpx_cobo_auth._protocol.backoff import Backoff
from httpx_cobo_auth._protocol.effects import (
    Confirm,
    Delegate,
    Drain,
    Emit,
    Enter,
    Entry,
    Exchange,
    ExchangeFault,
    ExchangeReply,
    Leave,
    Load,
    LockStore,
    Outlives,
    ResponseSummary,
    Save,
    Send,
    UnlockStore,
)
from httpx_cobo_auth._protocol.flow import Call, CoboFlow
from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey
from httpx_cobo_auth._protocol.settings import Settings
from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.tokens import HeldToken, Token
from httpx_cobo_auth.errors import CoboAuthError, TokenEndpointError
from httpx_cobo_auth.events import Event, RenewalAwaited, RequestRefused, RequestReplayed
from httpx_cobo_auth.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from httpx_cobo_auth._protocol.effects import Effect, Flow
    from httpx_cobo_auth._protocol.records import Version

__all__ = [
    "ENTERED",
    "FINE",
    "KEY",
    "LIFETIME_S",
    "OF_REQUESTS",
    "OWNER",
    "WAITED_ELSEWHERE",
    "WAITED_HERE",
    "Desk",
    "Sending",
    "Step",
    "advance",
    "call",
    "fault",
    "ineffective",
    "noted",
    "perform",
    "play",
    "read",
    "reply",
    "write",
    "written_down",
]

OF_REQUESTS = (RenewalAwaited, RequestRefused, RequestReplayed)
"""Events that tests of renewals pass over, unless they expect them."""
KEY = StoreKey("https://cobo.test/v2", "client", "org")
LIFETIME_S = 43199
OWNER = "me"
FINE = ResponseSummary(200)
ENTERED = Entry(entered=True)
WAITED_HERE = r"^gave up waiting for (a|another) renewal in this process to end$"
WAITED_ELSEWHERE = r"^gave up waiting for another process to renew the token$"
_URL = "https://cobo.test/v2/wallets"


@dataclass(frozen=True)
class Sending:
    """Expects the caller's request to be sent with that access token."""

    name: str

    def fits(self, effect: Effect[Any]) -> bool:
        """Return whether it is that."""
        return (
            isinstance(effect, Send)
            and effect.held is not None
            and effect.held.token.access_token == f"access-{self.name}"
        )


Expected = Any
"""An effect; a class of effects; a class of events, for one emitted; or ``Sending``."""

Step = Any
"""``Expected``, answered by ``None``; or a pair of it and its result, an error to throw, or a
function that gives the result."""


def play(flow: Flow[Any], *script: Step) -> Any:  # noqa: ANN401 - whatever the flow returns
    """Go through the flow by the script, to its end, and give what it returns.

    An error that the flow ends with is let through, after the whole script only.
    """
    seen: list[Effect[Any]] = []
    result: Any = None
    for step in (*script, None):
        try:
            effect = _resume(flow, result)
            while _by_the_way(effect) and not _fits(effect, _expected(step)[0]):
                effect = _resume(flow, None)  # Nobody else renews, and nobody waits.
        except StopIteration as stop:
            assert step is None, f"ended before {step}, after {seen}"
            return stop.value
        except CoboAuthError as error:
            if step is not None:
                error.add_note(f"too early: before {step}, after {seen}")
                raise AssertionError from error
            raise
        expected, result = _expected(step)
        assert _fits(effect, expected), f"expected {expected}, got {effect}, after {seen}"
        seen.append(effect)
        result = result() if callable(result) else result
    raise AssertionError


def perform(flow: Flow[Any], rules: Mapping[type, Any]) -> Any:  # noqa: ANN401
    """Go through the flow to its end, giving each class of effect its result.

    A result can be a function of the effect; other effects get ``None``.
    """
    result: Any = None
    try:
        while True:
            effect = _resume(flow, result)
            result = rules.get(type(effect))
            if callable(result):
                result = result(effect)
    except StopIteration as stop:
        return stop.value


def _by_the_way(effect: Effect[Any]) -> bool:
    told = isinstance(effect, Emit) and isinstance(effect.event, OF_REQUESTS)
    return told or isinstance(effect, Confirm | Delegate)


def advance(flow: Flow[Any], result: object = None) -> Effect[Any]:
    """Go on to the next effect; where nobody else could renew, the flow goes on by itself."""
    effect = _resume(flow, result)
    while _by_the_way(effect):
        effect = _resume(flow, None)
    return effect


def _resume(flow: Flow[Any], result: object) -> Effect[Any]:
    return flow.throw(result) if isinstance(result, CoboAuthError) else flow.send(result)


def _expected(step: Step) -> tuple[Any, Any]:
    return cast("tuple[Any, Any]", step if isinstance(step, tuple) else (step, None))


def _fits(effect: Effect[Any], expected: Expected) -> bool:
    if isinstance(expected, Sending):
        return expected.fits(effect)
    if isinstance(expected, type) and issubclass(expected, Event):
        return isinstance(effect, Emit) and type(effect.event) is expected
    if isinstance(expected, type):
        return type(effect) is expected
    if isinstance(expected, Save) and isinstance(effect, Save):
        # When the next early attempt may be made is tested by itself.
        same = replace(effect.record, attempts=expected.record.attempts)
        return same == expected.record and effect.expected == expected.expected
    if isinstance(expected, Emit):
        return repr(effect) == repr(expected)  # An event has a copy of its error.
    return bool(effect == expected)


@dataclass(frozen=True)
class _Url:
    path: str


def call(method: str, path: str = "/v2/wallets", *, replay: bool = False) -> Call:
    """Make what the flow knows of a request."""
    return Call(method, _Url(path), method not in {"GET", "HEAD", "OPTIONS"}, replay)


def read(path: str = "/v2/wallets") -> Call:
    """Make a request that may run twice."""
    return call("GET", path)


def write(path: str = "/v2/transfer", *, replay: bool = False) -> Call:
    """Make a request that must not run twice."""
    return call("POST", path, replay=replay)


def ineffective(kind: str, until: float, failures: int = 1) -> RenewalThrottle:
    """Make the memory of renewals that did not help that kind of request."""
    return RenewalThrottle(((kind, Backoff(failures, until)),))


def noted(record: Record, at: float) -> Record:
    """Return the record with the note of an exchange begun then."""
    return record.with_pending(PendingExchange(OWNER, at))


def fault(*, unsent: bool) -> ExchangeFault:
    """Fail to reach the token endpoint, or to get its answer."""
    return ExchangeFault(TokenEndpointError("the line is dead"), unsent)


def reply(
    name: str, at: float, *, status: int = 200, refresh: bool = True, lifetime: int = LIFETIME_S
) -> ExchangeReply:
    """Issue tokens of that name."""
    fields: dict[str, Any] = {"access_token": f"access-{name}", "expires_in": lifetime}
    if refresh:
        fields["refresh_token"] = f"refresh-{name}"
    return ExchangeReply(status, json.dumps(fields).encode(), server_time=at)


def written_down(stored: Record, **learned: Any) -> Iterator[Step]:  # noqa: ANN401 - fields
    """Save what was learned of the token, for other processes to know."""
    yield LockStore(0.0), True
    yield Load(), stored
    yield Save(stored.revised(OWNER, **learned), stored.version)
    yield UnlockStore()


class Desk:
    """A flow with everything about it that does no I/O, at a clock that stands still.

    Attributes:
        clock: moved by the test.
        account: knows no token at first.
        flow: the one under test.

    """

    def __init__(
        self, *, verified: bool = True, shared: bool = False, replay_writes: bool = False
    ) -> None:
        self.clock = ManualClock(1_800_000_000.0)
        self.clock._monotonic = 1000.0  # Sums and differences are exact.
        self.settings = Settings(
            replay_writes=replay_writes,
            verified=verified,
            shared=shared,
            new_owner=lambda: OWNER,
            jitter=lambda: 1.0,
        )
        self.account = Account(KEY, self.clock)
        self.flow = CoboFlow(self.account, self.settings)

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.time()

    def token(self, name: str, *, lifetime: float = LIFETIME_S, refresh: bool = True) -> Token:
        """Make a token, obtained now."""
        return Token(
            access_token=f"access-{name}",
            refresh_token=f"refresh-{name}" if refresh else None,
            expires_at=self.now + lifetime,
            obtained_at=self.now,
        )

    def record(self, name: str, generation: int = 1, *, lifetime: float = LIFETIME_S) -> Record:
        """Make a record with a token obtained now."""
        return Record(generation, self.token(name, lifetime=lifetime))

    def having(self, name: str, generation: int = 1, **more: Any) -> Record:  # noqa: ANN401
        """Hold such a record's token; ``more`` are other fields of the record."""
        record = replace(self.record(name, generation), **more)
        self.account.adopt(record)
        self.account.server_is_ahead(0.0)  # Its clock has been compared with the server's.
        return record

    @property
    def held(self) -> HeldToken:
        """The token in use."""
        held = self.account.known.held
        assert held is not None
        return held

    def grow_stale(self) -> None:
        """Let the token in use get into its renewal window."""
        self.clock.advance(self.held.token.expires_at - 600 - self.now)

    def expire(self) -> None:
        """Let the token in use die."""
        self.clock.advance(self.held.token.expires_at + 1 - self.now)

    # ----------------------------------------------------------- what a renewal goes through
    def until_noted(
        self,
        stored: Record | None,
        *,
        early: bool = False,
        patient: bool = True,
        glance: bool = False,
    ) -> Iterator[Step]:
        """Take permit and lock, re-read, drain, note."""
        timeouts = self.settings.timeouts
        lock = timeouts.early_exchange if early else timeouts.lock
        yield Enter(self.settings.wait if patient else 0.0), ENTERED
        if glance:
            yield Load(), stored
        yield LockStore(lock if patient else 0.0), True
        yield Load(), stored
        yield Drain(timeouts.drain), True
        record = stored or Record()
        yield Save(noted(record, self.now), record.version)
        yield Outlives((timeouts.early_exchange if early else timeouts.exchange) + 2.0), True

    def exchanged(
        self,
        stored: Record | None,
        name: str,
        spend: Token | None,
        *,
        generation: int = 0,
        throttle: Any = None,  # noqa: ANN401 - a RenewalThrottle
    ) -> Iterator[Step]:
        """Exchange and save."""
        before = stored or Record()
        token = replace(self.token(name))
        after = Record(
            generation or before.generation + 1, token, throttle=throttle or before.throttle
        )
        expected: Version = (before.generation, OWNER)
        yield Exchange(spend, self.settings.timeouts.request), reply(name, self.now)
        yield Save(after, expected)
        yield Leave()
