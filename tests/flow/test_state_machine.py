"""Several callers in two processes over one store, any order, time and trouble of any kind.

Callers are real flows, stepped by Hypothesis. Everything around them is a model: Cobo, where
rotation kills the old access token and a refresh token works once; the store with its lock;
the renewal permit of each process.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from httpx_cobo_auth._protocol.account import Account
from httpx_cobo_auth._protocol.effects import (
    BeginWrite,
    Confirm,
    CorrectClock,
    Delegate,
    Drain,
    Effect,
    Emit,
    EndWrite,
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
    Sleep,
    UnlockStore,
)
from httpx_cobo_auth._protocol.flow import CoboFlow
from httpx_cobo_auth._protocol.settings import Settings
from httpx_cobo_auth.errors import (
    CoboAuthError,
    StoreConflictError,
    StoreUnavailableError,
    TokenEndpointError,
)
from httpx_cobo_auth.testing import ManualClock
from tests.flow.stepping import KEY, read, write
from tests.fuzzing import fuzz

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.effects import Flow
    from httpx_cobo_auth._protocol.records import Record

LIFETIME_S = 600
PROCESSES = 2
MOST_CALLERS = 6
PENDING = object()
"""What somebody waits for has not come yet."""


class Cobo:
    """The server: who may do what, and what was done."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._access = ""
        self._dies_at = 0.0
        self._refresh = ""
        self.processed: list[str] = []
        """Refresh tokens that arrived and were looked at."""

    def issue(self) -> ExchangeReply:
        """End the tokens before and issue new ones."""
        number = next(self._numbers)
        self._access, self._refresh = f"access-{number}", f"refresh-{number}"
        self._dies_at = self._clock.monotonic() + LIFETIME_S
        body = {
            "access_token": self._access,
            "refresh_token": self._refresh,
            "expires_in": LIFETIME_S,
        }
        return ExchangeReply(200, json.dumps(body).encode(), server_time=self._clock.time())

    def exchange(self, refresh_token: str | None) -> ExchangeReply:
        """Answer an exchange."""
        if refresh_token is not None:
            self.processed.append(refresh_token)
            if refresh_token != self._refresh:
                return ExchangeReply(400, b"{}", server_time=self._clock.time())
        return self.issue()

    def accepts(self, access_token: str) -> bool:
        """Return whether that is the one live token."""
        return access_token == self._access and self._clock.monotonic() < self._dies_at

    def revoke(self) -> None:
        """End the access token before its time."""
        self._access = ""


@dataclass(eq=False)
class Process:
    """One process: an account, its flows, its renewal permit.

    Attributes:
        ended: how many renewals have ended here.
        error: what the last one ended with.

    """

    account: Account
    settings: Settings
    flow: CoboFlow
    permit: Caller | None = None
    writes: set[Caller] = field(default_factory=set["Caller"])
    door_closed: bool = False
    ended: int = 0
    error: CoboAuthError | None = None


@dataclass(eq=False)
class Caller:
    """One request, and how far it is.

    Attributes:
        effect: what it asks for; ``None`` when it has ended.
        since: when it began to ask for that, by the monotonic clock.
        ended_before: renewals that had ended in its process by then.
        ran: how often the server executed it.

    """

    process: Process
    flow: Flow[Any]
    is_write: bool
    effect: Effect[Any] | None = None
    since: float = 0.0
    ended_before: int = 0
    ran: int = 0
    status: int | None = None
    error: BaseException | None = None


@dataclass
class Trouble:
    """What goes wrong while somebody goes on.

    Attributes:
        api: how the next requests are answered, instead of well.
        endpoint: how the next exchanges end.
        store: how many of the next calls of the store work, and how many after them fail.

    """

    api: list[str] = field(default_factory=list[str])
    endpoint: list[str] = field(default_factory=list[str])
    store: tuple[int, int] = (0, 0)


TROUBLE = st.builds(
    Trouble,
    api=st.lists(st.sampled_from(["", "401", "dead", "500", "503"]), max_size=2),
    endpoint=st.lists(
        st.sampled_from(["", "unsent", "lost", "dropped", "503", "429", "403", "garbage"]),
        max_size=3,
    ),
    store=st.one_of(st.just((0, 0)), st.tuples(st.integers(0, 4), st.integers(0, 2))),
)


class Machine(RuleBasedStateMachine):
    """Rules, each of which somebody or something in the world might do next."""

    @initialize(has_token=st.booleans())
    def begin(self, *, has_token: bool) -> None:
        """Have an unused token, or none."""
        self.clock = ManualClock(1_800_000_000.0)
        self.cobo = Cobo(self.clock)
        self.record: Record | None = None
        self.lock: Caller | None = None
        self.lock_until = 0.0
        self.trouble = Trouble()
        self.callers: list[Caller] = []
        owners = itertools.count(1)
        self.processes = [
            self._process(lambda: f"exchange {next(owners)}") for _ in range(PROCESSES)
        ]
        if has_token:
            self.call(0, 30, Trouble(), is_write=False)

    def _process(self, new_owner: Any) -> Process:  # noqa: ANN401
        settings = Settings(new_owner=new_owner, jitter=lambda: 0.5, shared=True)
        account = Account(KEY, self.clock)
        return Process(account, settings, CoboFlow(account, settings))

    @property
    def running(self) -> list[Caller]:
        """Those whose flows have not ended."""
        return [caller for caller in self.callers if caller.effect is not None]

    # ------------------------------------------------------------------------- what happens
    @precondition(lambda self: len(self.running) < MOST_CALLERS)
    @rule(
        number=st.integers(0, PROCESSES - 1),
        is_write=st.booleans(),
        steps=st.integers(0, 30),
        trouble=TROUBLE,
    )
    def call(self, number: int, steps: int, trouble: Trouble, *, is_write: bool) -> None:
        """Somebody makes a request, and goes on as far as it can."""
        process = self.processes[number]
        flow = process.flow.request(write() if is_write else read())
        caller = Caller(process, flow, is_write)
        self._resume(caller, None)
        self._go_on(caller, steps, trouble)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), steps=st.integers(1, 30), trouble=TROUBLE)
    def step(self, data: st.DataObject, steps: int, trouble: Trouble) -> None:
        """A caller goes on, as far as it can."""
        self._go_on(data.draw(st.sampled_from(self.running)), steps, trouble)

    def _go_on(self, caller: Caller, steps: int, trouble: Trouble) -> None:
        self.trouble = trouble
        for _ in range(steps):
            if caller.effect is None or not self._perform(caller):
                break
        self.trouble = Trouble()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A caller is cancelled, wherever it is; what it held is given back."""
        caller = data.draw(st.sampled_from(self.running))
        if isinstance(caller.effect, Exchange) and data.draw(st.booleans()):
            self._arrives(caller.effect)  # It was on its way.
        caller.flow.close()
        self._end(caller, None)

    @rule(number=st.integers(0, PROCESSES - 1))
    def die(self, number: int) -> None:
        """A process is killed, and another takes its place."""
        old = self.processes[number]
        for caller in [caller for caller in self.running if caller.process is old]:
            caller.flow.close()
            self._end(caller, None)
        self.processes[number] = self._process(old.settings.new_owner)

    @rule(seconds=st.sampled_from([0.5, 6.0, 40.0, 460.0, 500.0, 700.0]))
    def wait(self, seconds: float) -> None:
        """Time passes; exchanges under way run into their time limit, one way or another."""
        for caller in self.running:
            if isinstance(caller.effect, Exchange):
                left = caller.effect.timeout - (self.clock.monotonic() - caller.since)
                if seconds >= left:
                    self._resume(caller, self._lost())
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-7200.0, -60.0, 60.0, 7200.0]))
    def clock_steps(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.clock.step(seconds)

    @rule(number=st.integers(0, PROCESSES - 1))
    def make_anew(self, number: int) -> None:
        """The next requests are made by an auth object that knows nothing but the store."""
        old = self.processes[number]
        if not any(caller.process is old for caller in self.running):
            self.processes[number] = self._process(old.settings.new_owner)

    @rule()
    def revoke(self) -> None:
        """The access token dies before its time."""
        self.cobo.revoke()

    # ---------------------------------------------------------------------------- what holds
    @invariant()
    def no_refresh_token_is_processed_twice(self) -> None:
        """Nor sent again once it may have been."""
        if self.callers:
            assert len(set(self.cobo.processed)) == len(self.cobo.processed)

    @invariant()
    def no_write_runs_twice(self) -> None:
        """Nobody opted in."""
        if self.callers:
            assert all(caller.ran <= 1 for caller in self.callers if caller.is_write)

    @invariant()
    def everybody_ends_with_an_answer_or_a_typed_error(self) -> None:
        """And with nothing in hand."""
        for caller in getattr(self, "callers", []):
            if caller.effect is None:
                assert caller.error is None or isinstance(caller.error, CoboAuthError)
                assert caller.process.permit is not caller
                assert caller not in caller.process.writes

    def teardown(self) -> None:
        """Everything is well again: all come to an end, and the next requests succeed."""
        if not hasattr(self, "processes"):
            return
        self._settle()
        # Longer than any failure is remembered, any forced renewal held off.
        self.clock.advance(3700.0)
        for process in self.processes:
            for request in (read(), write(), read()):
                caller = Caller(process, process.flow.request(request), request.write)
                self._resume(caller, None)
                self._settle()
                assert caller.status == 200, (caller, caller.error)
        self.no_refresh_token_is_processed_twice()
        self.no_write_runs_twice()

    def _settle(self) -> None:
        for _ in range(2000):
            if not self.running:
                return
            went_on = [self._perform(caller) for caller in self.running]
            if not any(went_on):
                self.clock.advance(1.0)
        raise AssertionError([caller.effect for caller in self.running])

    # ------------------------------------------------------------------- performing effects
    def _resume(self, caller: Caller, result: object) -> None:
        if caller not in self.callers:
            self.callers.append(caller)
        try:
            if isinstance(result, CoboAuthError):
                caller.effect = caller.flow.throw(result)
            else:
                caller.effect = caller.flow.send(result)
        except StopIteration:
            self._end(caller, None)
        except CoboAuthError as error:
            self._end(caller, error)
        caller.since = self.clock.monotonic()
        caller.ended_before = caller.process.ended

    def _end(self, caller: Caller, error: CoboAuthError | None) -> None:
        caller.effect, caller.error = None, error
        caller.process.writes.discard(caller)
        self._unlock(caller)
        self._leave(caller, None)

    def _perform(self, caller: Caller) -> bool:
        """Perform what a caller asks for; ``False`` where it still has to wait."""
        assert caller.effect is not None
        result = self._result(caller, caller.effect)
        if result is PENDING:
            return False
        self._resume(caller, result)
        return True

    def _result(self, caller: Caller, effect: Effect[Any]) -> object:  # noqa: C901, PLR0911, PLR0912
        process = caller.process
        match effect:
            case Enter():
                return self._enter(caller, effect.timeout)
            case Leave():
                self._unlock(caller)
                self._leave(caller, effect.error)
            case BeginWrite():
                if process.door_closed:
                    return PENDING
                process.writes.add(caller)
            case EndWrite():
                process.writes.discard(caller)
            case Drain():
                process.door_closed = True
                if process.writes and not self._timed_out(caller, effect.timeout):
                    return PENDING
                return not process.writes
            case UnlockStore():
                self._unlock(caller)
            case LockStore():
                return self._failing() or self._lock(caller, effect.timeout)
            case Load():
                return self._failing() or self.record
            case Save():
                return self._failing() or self._save(effect)
            case Outlives():
                return self._locked_by(caller) >= effect.seconds
            case Exchange():
                return self._exchange(effect)
            case Send():
                process.writes.discard(caller)
                return self._send(caller, effect)
            case _:  # Nobody else renews: the caller goes on by itself.
                assert isinstance(effect, Sleep | Emit | Confirm | CorrectClock | Delegate)
        return None

    def _timed_out(self, caller: Caller, timeout: float) -> bool:
        return self.clock.monotonic() - caller.since >= timeout

    def _enter(self, caller: Caller, timeout: float) -> object:
        process = caller.process
        if process.permit is None:
            process.permit = caller
            return Entry(entered=True)
        if process.ended != caller.ended_before:
            return Entry(ended=True, error=process.error)
        return Entry() if self._timed_out(caller, timeout) else PENDING

    def _leave(self, caller: Caller, error: CoboAuthError | None) -> None:
        process = caller.process
        if process.permit is caller:
            process.permit, process.door_closed = None, False
            process.ended += 1
            process.error = error

    def _locked_by(self, caller: Caller) -> float:
        return self.lock_until - self.clock.monotonic() if self.lock is caller else -1.0

    def _unlock(self, caller: Caller) -> None:
        if self.lock is caller:
            self.lock = None

    def _failing(self) -> StoreUnavailableError | None:
        work, fail = self.trouble.store
        self.trouble.store = (work - 1, fail) if work else (0, max(0, fail - 1))
        return StoreUnavailableError("the store is down") if fail and not work else None

    def _save(self, effect: Save) -> StoreConflictError | None:
        if (self.record.version if self.record else (0, None)) != effect.expected:
            return StoreConflictError("the record moved on")
        self.record = effect.record
        return None

    def _lock(self, caller: Caller, timeout: float) -> object:
        now = self.clock.monotonic()
        if self.lock is None or now >= self.lock_until:
            self.lock = caller
            self.lock_until = now + caller.process.settings.lock_ttl
            return True
        return False if self._timed_out(caller, timeout) else PENDING

    def _lost(self) -> ExchangeFault:
        return ExchangeFault(TokenEndpointError("no answer"), unsent=False)

    def _arrives(self, effect: Exchange) -> ExchangeReply:
        return self.cobo.exchange(effect.spend.refresh_token if effect.spend else None)

    def _exchange(self, effect: Exchange) -> object:
        now = self.clock.time()
        match self.trouble.endpoint.pop(0) if self.trouble.endpoint else "":
            case "unsent":
                return ExchangeFault(TokenEndpointError("no connection"), unsent=True)
            case "lost":
                return self._lost()
            case "dropped":
                self._arrives(effect)
                return self._lost()
            case "garbage":
                self._arrives(effect)
                return ExchangeReply(200, b"<html>", server_time=now)
            case "":
                return self._arrives(effect)
            case status:
                return ExchangeReply(int(status), b"{}", server_time=now, retry_after=None)

    def _send(self, caller: Caller, effect: Send) -> ResponseSummary:
        assert effect.held is not None
        trouble = self.trouble.api.pop(0) if self.trouble.api else ""
        if trouble == "401":
            return ResponseSummary(401, 2021)
        if trouble == "dead" or not self.cobo.accepts(effect.held.token.access_token):
            caller.status = 500
            return ResponseSummary(500, 1000)
        caller.ran += 1
        if trouble:
            # It ran, and then something broke.
            caller.status = int(trouble)
            return ResponseSummary(int(trouble), 1000 if trouble == "500" else None)
        caller.status = 200
        return ResponseSummary(200)


TestMachine = Machine.TestCase
TestMachine.settings = fuzz(60, stateful_step_count=50)
