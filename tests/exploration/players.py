"""The real flow of each caller, taken one step at a time from any state that was reached.

Generators cannot be copied. So a caller's state is kept as the steps that led to it, each with
the account as it was and what the flow was given. Where the same state is to be continued in a
second way, a new flow is led through those steps first; it must end where the first one was.
The same step from the same state is taken only once.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from httpx_cobo_auth._protocol.account import Account
from httpx_cobo_auth._protocol.effects import Emit
from httpx_cobo_auth._protocol.flow import CoboFlow
from httpx_cobo_auth._protocol.known import Known
from httpx_cobo_auth._protocol.records import StoreKey
from httpx_cobo_auth._protocol.settings import Settings
from httpx_cobo_auth.errors import CoboAuthError
from tests.exploration.freezing import Clock, Numbered, frozen, frozen_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from httpx_cobo_auth._protocol.effects import Effect, Flow
    from httpx_cobo_auth._protocol.records import Record

__all__ = ["Actor", "Broken", "Given", "Local", "Players"]

KEY = StoreKey("https://cobo.test/v2", "client", "org")
_HALF = 0.5


class Broken(Exception):  # noqa: N818 - what it says of a property
    """A property does not hold."""


@dataclass(frozen=True)
class Actor:
    """What somebody calls for.

    Attributes:
        name: of the call.
        start: begins its flow.
        sends: whether it is a request.
        write: whether it must not run twice.
        bad: whether Cobo answers it with 500/1000, whatever the token.
        process: in which process this happens.
        good: what may come of it where nothing went wrong: a status, or an error's name.
        delegates: whether it has a client by which renewals run on their own.
        leaks: whether it is redirected to somebody else, together with its token.

    """

    name: str
    start: Callable[[CoboFlow], Flow[Any]]
    sends: bool = False
    write: bool = False
    bad: bool = False
    process: int = 0
    good: frozenset[object] = frozenset({200, None})
    delegates: bool = False
    leaks: bool = False


class Given(NamedTuple):
    """What a flow is resumed with: a value, an error, or being closed."""

    value: Any = None
    error: CoboAuthError | None = None
    closed: bool = False


class _Step(NamedTuple):
    account: int
    now: float
    owner: str
    given: Given


@dataclass(slots=True)
class Local:
    """Where one caller stands.

    Attributes:
        actor: who it is.
        known: what it knows, frozen.
        effect: what it asks for; ``None`` once its flow has ended.
        outcome: the error that its flow has ended with.
        owners: names of noted exchanges that it knows.
        before: where it stood before that.
        step: how it got here from there.

    """

    number: int
    actor: Actor
    known: Hashable
    effect: Effect[Any] | None
    outcome: CoboAuthError | None
    before: Local | None
    step: _Step
    owners: frozenset[str] = frozenset()
    live: Flow[Any] | None = field(default=None, repr=False)


class _Known(NamedTuple):
    known: Known
    owners: frozenset[str]


class Players:
    """Takes the steps of real flows, over one real account for each process."""

    def __init__(self, processes: int, *, shared: bool) -> None:
        self.clock = Clock()
        self._owner = ""
        settings = Settings(
            verified=False, shared=shared, new_owner=self._next_owner, jitter=lambda: _HALF
        )
        self._accounts = [Account(KEY, self.clock) for _ in range(processes)]
        self._flows = [CoboFlow(account, settings) for account in self._accounts]
        self.locals = Numbered[Local]()
        self.accounts = Numbered[_Known]()
        self._steps: dict[Hashable, tuple[int, int]] = {}

    def _next_owner(self) -> str:
        """Return the one name that there is for each step."""
        owner, self._owner = self._owner, ""
        assert owner, "two names are wanted in one step"
        return owner

    def account_knowing(self, record: Record | None, now: float) -> int:
        """Return an account that has that record's token, or none."""
        account = self._accounts[0]
        account._cell.set(Known())
        self.clock.now = now
        if record is not None:
            account.adopt(record)
        return self._taken(0)

    def account(self, process: int, number: int, now: float) -> Account:
        """Return the real account in that state, to be looked at."""
        self._set(process, number)
        self.clock.now = now
        return self._accounts[process]

    def begin(self, actor: Actor, account: int, now: float) -> tuple[int, int]:
        """Begin a caller's flow; give its state and the account's."""
        return self._take(None, actor, _Step(account, now, "", Given()))

    def resume(
        self, local: int, account: int, now: float, owner: str, given: Given
    ) -> tuple[int, int]:
        """Go on to the next effect; give the new states of caller and account.

        Raises:
            Broken: the flow ended otherwise than by returning or by a ``CoboAuthError``.

        """
        here = self.locals[local]
        return self._take(here, here.actor, _Step(account, now, owner, given))

    # ------------------------------------------------------------------------------ one step
    def _take(self, here: Local | None, actor: Actor, step: _Step) -> tuple[int, int]:
        memo = (here.number if here else actor, step)
        taken = self._steps.get(memo)
        if taken is None:
            taken = self._steps[memo] = self._take_anew(here, actor, step)
        return taken

    def _take_anew(self, here: Local | None, actor: Actor, step: _Step) -> tuple[int, int]:
        flow = self._flow_at(here) if here else actor.start(self._flows[actor.process])
        effect, outcome = self._continue(flow, actor, step)
        owners: set[str] = set()
        known = frozen(outcome) if effect is None else frozen_generator(flow, owners)
        local = Local(
            len(self.locals.values), actor, known, effect, outcome, here, step, frozenset(owners)
        )
        number = self.locals.number((actor, effect is None, known), local)
        if effect is not None:
            self.locals[number].live = flow
        return number, self._taken(actor.process)

    def _continue(
        self, flow: Flow[Any], actor: Actor, step: _Step
    ) -> tuple[Effect[Any] | None, CoboAuthError | None]:
        self._set(actor.process, step.account)
        self.clock.now, self._owner = step.now, step.owner
        given = step.given
        try:
            if given.closed:
                flow.close()
            else:
                if given.error is not None:
                    effect = flow.throw(copy.copy(given.error))
                else:
                    effect = flow.send(given.value)
                while isinstance(effect, Emit):  # Whoever listens has no part in this.
                    effect = flow.send(None)
                return effect, None
        except StopIteration:
            pass
        except CoboAuthError as error:
            return None, copy.copy(error)
        except Exception as error:
            message = f"{actor.name} ends with {error!r}"
            raise Broken(message) from error
        return None, None

    def _flow_at(self, here: Local) -> Flow[Any]:
        """Return a flow that stands there: the one that came first, or one led there again."""
        flow, here.live = here.live, None
        if flow is not None:
            return flow
        way: list[_Step] = []
        there: Local | None = here
        while there is not None:
            way.append(there.step)
            there = there.before
        flow = here.actor.start(self._flows[here.actor.process])
        for step in reversed(way):
            self._continue(flow, here.actor, step)
        if frozen_generator(flow) != here.known:
            message = f"{here.actor.name} went another way when led there again"
            raise AssertionError(message)
        return flow

    # --------------------------------------------------------------------------- the account
    def _set(self, process: int, number: int) -> None:
        self._accounts[process]._cell.set(self.accounts[number].known)

    def _taken(self, process: int) -> int:
        known = self._accounts[process].known
        owners: set[str] = set()
        return self.accounts.number(frozen(known, owners), _Known(known, frozenset(owners)))
