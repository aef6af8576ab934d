"""What goes wrong in a soak, and when: at random, from a seed."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any

from benchmarks.soak.calls import TRANSFER
from benchmarks.soak.fleet import WAYS
from benchmarks.soak.ledger import FAKE_EXPIRY, HEARD_AFTER_S

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from benchmarks.soak.fleet import Fleet
    from benchmarks.soak.ledger import Ledger
    from httpx_cobo_auth.testing import CoboSimulator, Fault

    Kind = tuple[Any, dict[str, Any]]

LIFETIMES_S = (8, 20)
_HOUR_S = 3600.0
_PORTS = 20_000 + os.getpid() % 10_000, 32_000
_FORCED_FREELY = 2
"""So many tokens of an organization are revoked, or denied untruly: after four forced renewals in
an hour the next ones wait, as documented. That is why organizations are new again and again."""
_STEPS_APART_S = 6.0
"""A nonce is corrected once in a renewal, which takes up to 5 s: no clock is set twice in it."""
_APART_S = 3.0
"""Not sooner after one another are tokens denied: a forced renewal whose token is refused at once
was in vain, and the next one waits, as documented."""

AT_TOKEN: list[Kind] = [
    ("hang", {}),
    ("drop", {}),
    ("drop", {"effect": False}),
    ("answer", {"status": 429}),
    ("answer", {"status": 429, "retry_after": 1}),
    ("answer", {"status": 429, "retry_after": 3, "signed": False}),
    ("answer", {"status": 500}),
    ("answer", {"status": 502, "signed": False}),
    ("answer", {"status": 503, "effect": True}),
    ("answer", {"status": 503, "retry_after": 2}),
    ("answer", {"status": 403, "signed": False}),
    ("garbage", {}),
    ("garbage", {"signed": False}),
    ("unsigned", {}),
    ("tamper", {}),
    ("delay", {"delay_s": 0.7}),
]
AT_API: list[Kind] = [
    ("hang", {}),
    ("drop", {}),
    ("drop", {"effect": False}),
    ("answer", {"status": 429}),
    ("answer", {"status": 429, "retry_after": 2}),
    ("answer", {"status": 504, "signed": False}),
    ("answer", {"status": 503, "effect": True}),
    ("answer", {"status": 502, "signed": False}),
    ("garbage", {"signed": False}),
    ("unsigned", {}),
    ("tamper", {}),
    ("delay", {"delay_s": 0.7}),
]


def _free_port() -> int:
    """Find a port that no connection is given by itself while the server is away."""
    for port in range(*_PORTS):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    message = "no port is free"
    raise RuntimeError(message)


class Trouble:
    """Makes it.

    Args:
        simulator: whose server it is.
        fleet: the workers.
        ledger: where to note what cannot be seen at the simulator.
        chance: where all that is random comes from.
        pace: multiplies the time between two troubles of a kind.

    """

    def __init__(
        self,
        simulator: CoboSimulator,
        fleet: Fleet,
        ledger: Ledger,
        chance: random.Random,
        pace: float,
    ) -> None:
        self._simulator = simulator
        self._fleet = fleet
        self._ledger = ledger
        self._chance = chance
        self._pace = pace
        self._server = contextlib.ExitStack()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._forced: dict[str, int] = {}
        self._next_forced = 0.0
        self._next_step = 0.0
        self._pretending = False
        self._port = _free_port()
        self._down = False
        self.base_url = self._serve()
        self.org_ids: list[str] = []
        self.kinds: dict[str, int] = {}

    def begin(self) -> None:
        """Begin to make trouble; a number is the mean of the seconds from one to the next."""
        every = {
            self._trip_exchange: 3.0,
            self._close_endpoint: 25.0,
            self._trip_request: 0.7,
            self._deny: 7.0,
            self._restart_server: 30.0,
            self._expire_refresh: 25.0,
            self._step: 25.0,
            self._skew: 45.0,
            self._kill: 8.0,
            self._break_store: 12.0,
            self._change_rules: 5.0,
        }
        for act, mean in every.items():
            self._again(act, mean * self._pace)

    def tick(self) -> None:
        """Make the trouble that is due."""
        while self._agenda and self._agenda[0][0] <= time.monotonic():
            _, _, act = heapq.heappop(self._agenda)
            act()

    def end(self) -> None:
        """Make no more, and end what lasts."""
        for _, _, act in sorted(self._agenda, key=lambda entry: entry[0]):
            if act.__name__ == "undo":
                act()
        self._agenda.clear()

    def close(self) -> None:
        """End the server."""
        self._server.close()

    def new_orgs(self, count: int) -> list[str]:
        """Add organizations that nobody has worked for yet."""
        added = [str(uuid.UUID(int=self._chance.getrandbits(128))) for _ in range(count)]
        for org_id in added:
            self._simulator.add_org(org_id)
        self.org_ids += added
        self._pretending = not self._pretending
        return added

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time.monotonic() + seconds, next(self._numbers), act))

    def _again(self, act: Callable[[], None], mean: float) -> None:
        def acted() -> None:
            name = act.__name__.removeprefix("_")
            self.kinds[name] = self.kinds.get(name, 0) + 1
            act()
            self._again(act, mean)

        self._later(self._chance.expovariate(1 / mean), acted)

    def _until(self, seconds: float, act: Callable[[], object]) -> None:
        def undo() -> None:
            act()

        self._later(seconds, undo)

    # ---------------------------------------------------------------------- on the way there
    def _trip_exchange(self) -> None:
        kind, details = self._chance.choice(AT_TOKEN)
        times = self._chance.choice((1, 1, 2))
        self._lasting(6.0, self._simulator.inject("token", kind, times=times, **details))

    def _close_endpoint(self) -> None:
        """No exchange gets through, for some seconds, or for longer than a token lives."""
        kind, details = self._chance.choice(AT_TOKEN)
        seconds = self._chance.choice((1.0, 2.0, 4.0, 1.2 * LIFETIMES_S[1]))
        fault = self._simulator.inject("token", kind, times=None, **details)
        self._lasting(seconds * min(1.0, 2 * self._pace), fault)

    def _trip_request(self) -> None:
        kind, details = self._chance.choice(AT_API)
        self._lasting(6.0, self._simulator.inject("api", kind, **details))

    def _deny(self) -> None:
        """Let tokens die before their time; for every other set of organizations only pretend."""
        if time.monotonic() >= self._next_forced:
            self._next_forced = time.monotonic() + _APART_S
            if self._pretending:
                self._fake_expiry()
            else:
                self._revoke()

    def _fake_expiry(self) -> None:
        """Answer as if the token had expired, after a write that took effect, or to a read."""
        if max(self._ledger.denied[org_id] for org_id in self._fleet.orgs) >= _FORCED_FREELY:
            return
        kind: Any
        kind, status = FAKE_EXPIRY
        where, method = self._chance.choice(((TRANSFER, "POST"), ("/wallets", "GET")))
        fault = self._simulator.inject(
            f"/v2{where}",
            kind,
            method=method,
            status=status,
            error_code=1000,
            effect=method == "POST",
        )
        self._lasting(6.0, fault)

    def _lasting(self, seconds: float, fault: Fault) -> None:
        self._until(seconds, fault.remove)

    def _restart_server(self) -> None:
        if self._down:
            return
        self._down = True
        begun = time.monotonic()
        self._server.close()
        # Open-ended, until it is over.
        self._ledger.outages.append((begun, float("inf")))
        self._until(self._chance.uniform(0.1, 1.5), self._back)

    def _back(self) -> None:
        self._serve()
        begun, _ = self._ledger.outages[-1]
        self._ledger.outages[-1] = begun, time.monotonic()
        self._down = False

    def _serve(self) -> str:
        return self._server.enter_context(self._simulator.serve(port=self._port)).base_url

    # ------------------------------------------------------------------------ to the tokens
    def _revoke(self) -> None:
        org_id = self._chance.choice(self._fleet.orgs)
        if self._forced.get(org_id, 0) < _FORCED_FREELY:
            self._forced[org_id] = self._forced.get(org_id, 0) + 1
            self._ledger.revoke(org_id)

    def _expire_refresh(self) -> None:
        self._simulator.expire_refresh_token(self._chance.choice(self._fleet.orgs))

    def _change_rules(self) -> None:
        self._simulator.token_lifetime = self._chance.randint(*LIFETIMES_S)
        self._simulator.expired_status = self._chance.choice((500, 401))

    # ----------------------------------------------------------------------- to the workers
    def _step(self) -> None:
        """Step the wall clock of the machine by hours."""
        now = time.monotonic()
        if now < self._next_step:
            return
        self._next_step = now + _STEPS_APART_S
        self._ledger.unsettled.append((now, now + HEARD_AFTER_S))
        self._fleet.step(self._chance.uniform(-3, 3) * _HOUR_S)

    def _skew(self) -> None:
        """Step the wall clock of one worker, and back."""
        now = time.monotonic()
        if now < self._next_step:
            return
        process = self._fleet.running(self._chance.randrange(len(WAYS)))
        seconds = self._chance.uniform(-3, 3) * _HOUR_S
        lasting = self._chance.uniform(_STEPS_APART_S, 2 * _STEPS_APART_S)
        self._next_step = now + lasting + _STEPS_APART_S
        self._ledger.unsettled.append((now, now + lasting + HEARD_AFTER_S))
        process.tell({"step": seconds})
        self._until(lasting, lambda: process.tell({"step": -seconds}))

    def _break_store(self) -> None:
        """The store fails, for one worker or for all."""
        seconds = self._chance.uniform(0.2, 2.0)
        slots = [self._chance.randrange(len(WAYS))]
        for slot in self._chance.choice((slots, slots, range(len(WAYS)))):
            process = self._fleet.running(slot)
            if process.name in self._ledger.workers:
                process.tell({"store_fails": seconds})
                self._ledger.store_fails(process.name, seconds)

    def _kill(self) -> None:
        """Kill one that works: while it only starts, there is nothing to interrupt."""
        slot = self._chance.randrange(len(WAYS))
        if self._fleet.running(slot).name in self._ledger.workers:
            self._fleet.kill(slot)
