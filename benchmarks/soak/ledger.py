"""What is known for certain: what reached the simulator, what it issued, and who broke what."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.soak.calls import CALL_HEADER

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator, LogEntry

FAKE_EXPIRY = "answer", 500
"""The fault that looks like an expired token, by kind and status; no other looks like it."""

HEARD_AFTER_S = 2.0
"""By then a worker has heard what it was told, also on a busy machine."""
HELD_OFF_S = 35.0
"""30 s from the renewal, which comes with the next request after the refusal."""

_MARGIN = 0.1
_SLACK_S = 0.3


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that reached the simulator; ``kind`` is method and path, ``at`` monotonic."""

    call: str
    kind: str
    for_token: bool
    status: int | None
    fault: str | None
    bearer: str
    org_id: str | None
    at: float

    @property
    def accepted(self) -> bool:
        """Whether it got an answer that tells that its token is good."""
        return self.status is not None and self.status not in {401, 403} and self.status < 500  # noqa: PLR2004

    @property
    def worker(self) -> str:
        """The process that sent it."""
        return self.call.partition("-")[0]


@dataclass(slots=True)
class Life:
    """An access token's life; in monotonic seconds.

    Attributes:
        org_id: whose token it is.
        exchange: that it came of.
        lifetime: that it was given.
        died: when it ended, or will end.
        cause: why: ``expired``, ``revoked`` or ``replaced``.
        heir: the exchange that replaced it, if one did.
        used: when a request first had it; it is in the store by then.
        denied: when a fault first said of it, untruly, that it was dead.

    """

    org_id: str
    exchange: Arrival
    lifetime: float
    died: float
    cause: str = "expired"
    heir: Arrival | None = None
    used: float = float("inf")
    denied: float = float("inf")

    def usable(self, since: float, at: float) -> bool:
        """Tell whether it was in the store since then, and still good to use at that time."""
        margin = self.lifetime * _MARGIN if self.cause == "expired" else 0.0
        return self.used <= since and at < self.died - margin - _SLACK_S


@dataclass(slots=True)
class Ledger:
    """All facts of one soak.

    Attributes:
        simulator: where they come from.
        arrivals: by the names of calls.
        carried: by the bearer that they carried.
        workers: the processes that have sent anything.
        exchanges: by organization.
        lives: of the tokens, by organization.
        lives_by_token: the same, by access token.
        secrets: each token that was ever issued, and the app's secret.
        denied: how often a fault said untruly that a token was dead, by organization.
        withheld: when it said so of a write, by organization: nothing shows that a renewal helps.
        outages: from when to when nobody could connect.
        storeless: from when to when its store may have failed, by process.
        unsettled: from when to when the workers' wall clocks may have differed.

    """

    simulator: CoboSimulator
    arrivals: dict[str, list[Arrival]] = field(
        default_factory=lambda: defaultdict[str, list[Arrival]](list)
    )
    carried: dict[str, list[Arrival]] = field(
        default_factory=lambda: defaultdict[str, list[Arrival]](list)
    )
    workers: set[str] = field(default_factory=set[str])
    exchanges: dict[str, list[Arrival]] = field(
        default_factory=lambda: defaultdict[str, list[Arrival]](list)
    )
    lives: dict[str, list[Life]] = field(default_factory=lambda: defaultdict[str, list[Life]](list))
    lives_by_token: dict[str, Life] = field(default_factory=dict[str, Life])
    secrets: set[str] = field(default_factory=set[str])
    denied: Counter[str] = field(default_factory=Counter[str])
    withheld: dict[str, list[float]] = field(
        default_factory=lambda: defaultdict[str, list[float]](list)
    )
    outages: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    storeless: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict[str, list[tuple[float, float]]](list)
    )
    unsettled: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    _last: LogEntry | None = None

    def collect(self) -> None:
        """Take in what has reached the simulator since the last time."""
        fresh: list[LogEntry] = []
        for entry in reversed(self.simulator.log):
            if entry is self._last:
                break
            fresh.append(entry)
        else:
            if self._last is not None:
                message = "the simulator's log overflowed between two looks at it"
                raise RuntimeError(message)
        for entry in reversed(fresh):
            self._take(entry)
            self._last = entry

    def _take(self, entry: LogEntry) -> None:
        clock = self.simulator.clock
        headers = {name.lower(): value.decode() for name, value in entry.headers}
        arrival = Arrival(
            call=headers.get(CALL_HEADER.lower().encode(), ""),
            kind=f"{entry.method} {entry.target.partition(b'?')[0].decode()}",
            for_token=b"/oauth/token" in entry.target,
            status=entry.status,
            fault=entry.fault,
            bearer=headers.get(b"authorization", "").removeprefix("Bearer "),
            org_id=entry.org_id,
            at=entry.at - (clock.time() - clock.monotonic()),
        )
        self.arrivals[arrival.call].append(arrival)
        self.carried[arrival.bearer].append(arrival)
        self.workers.add(arrival.worker)
        life = self.lives_by_token.get(arrival.bearer)
        if life is not None:
            life.used = min(life.used, arrival.at)
            if (arrival.fault, arrival.status) == FAKE_EXPIRY:
                life.denied = min(life.denied, arrival.at)
                self.denied[life.org_id] += 1
                if entry.method == "POST":
                    self.withheld[life.org_id].append(arrival.at)
        if arrival.for_token:
            self.exchanges[str(entry.org_id)].append(arrival)
        if entry.issued is not None:
            self._born(arrival, entry.issued.access_token, entry.issued.expires_in)
            self.secrets |= {entry.issued.access_token, entry.issued.refresh_token}

    def _born(self, arrival: Arrival, access_token: str, lifetime: float) -> None:
        org_id = str(arrival.org_id)
        for earlier in self.lives[org_id][-1:]:
            if earlier.died > arrival.at:
                earlier.died, earlier.cause, earlier.heir = arrival.at, "replaced", arrival
        life = Life(org_id, arrival, lifetime, arrival.at + lifetime)
        self.lives[org_id].append(life)
        self.lives_by_token[access_token] = life

    # ------------------------------------------------------------------ what the parent did
    def revoke(self, org_id: str) -> None:
        """Have the organization's token revoked, and take note of it."""
        self.simulator.revoke_tokens(org_id)
        now = self.simulator.clock.monotonic()
        self.collect()
        for life in self.lives[org_id]:
            if life.exchange.at <= now < life.died:
                life.died, life.cause = now, "revoked"

    def store_fails(self, worker: str, seconds: float) -> None:
        """Take note that the store of a process fails from now on."""
        now = self.simulator.clock.monotonic()
        self.storeless[worker].append((now, now + seconds + HEARD_AFTER_S))

    def timeline(self) -> str:
        """Tell all that matters to the tokens, in order; tokens by their numbers."""
        lines = [(begun, f"clocks differ, until {ended:.3f}") for begun, ended in self.unsettled]
        lines += [
            (begun, f"no store for {worker}, until {ended:.3f}")
            for worker, failures in self.storeless.items()
            for begun, ended in failures
        ]
        lines += [(begun, f"no server, until {ended:.3f}") for begun, ended in self.outages]
        numbers: dict[str, int] = {}
        for number, (token, life) in enumerate(self.lives_by_token.items(), 1):
            numbers[token] = number
            lines.append((life.exchange.at, f"{life.org_id} issued {number} {life.lifetime} s"))
            lines.append((life.died, f"{life.org_id} {life.cause} {number}"))
        for arrivals in self.arrivals.values():
            for one in arrivals:
                what = "exchange" if one.for_token else f"with {numbers.get(one.bearer)}"
                text = f"{one.org_id} {one.call} {what}: {one.status} {one.fault or ''}"
                lines.append((one.at, text))
        return "".join(f"{at:.3f} {text}\n" for at, text in sorted(lines))

    # ------------------------------------------------------------------------- what follows
    def of_call(self, call: str, *, for_token: bool) -> Arrival | None:
        """Give the last request of a call that arrived: an exchange, or one to the API."""
        found = [one for one in self.arrivals.get(call, ()) if one.for_token == for_token]
        return found[-1] if found else None

    def token_at(self, org_id: str, since: float, at: float) -> Life | None:
        """Give a token that was in the store since then, and still good to use at that time."""
        lives = self.lives.get(org_id, ())
        return next((one for one in lives if one.usable(since, at)), None)

    def outage(self, begun: float, ended: float) -> bool:
        """Tell whether nobody could connect for some of that time."""
        return _overlap(self.outages, begun, ended)

    def stepped(self, begun: float, ended: float) -> bool:
        """Tell whether a clock was stepped in that time, or differed from another."""
        return _overlap(self.unsettled, begun, ended)

    def stored(self, worker: str, begun: float, ended: float) -> bool:
        """Tell whether a process could use its store all that time."""
        return not _overlap(self.storeless.get(worker, []), begun, ended)

    def in_memory(self, worker: str, org_id: str, begun: float, ended: float) -> bool:
        """Tell whether a process had a good token by then: one that it had used with success."""
        return any(
            life.usable(begun, ended)
            and not self.stepped(life.exchange.at, ended)
            and life.denied > ended
            and any(one.worker == worker and one.accepted and one.at < begun for one in carried)
            for token, carried in self.carried.items()
            for life in [self.lives_by_token.get(token)]
            if life is not None and life.org_id == org_id
        )

    def doubted(self, life: Life, ended: float) -> str:
        """Tell why, by then, a live token could pass for a dead one; empty if it could not."""
        if self.stepped(life.exchange.at, ended):
            return "a clock was stepped in the token's time"
        holders = [life.exchange] if life.heir is None else [life.exchange, life.heir]
        if not all(self.stored(one.worker, life.exchange.at, ended) for one in holders):
            return "a store failed in the token's time"
        return "a faked 500/1000 denied the token" if life.denied <= ended else ""

    def held_off(self, request: Arrival) -> bool:
        """Tell whether its process may have held a renewal off, as documented.

        For 30 s after one that nothing shows to have helped; but not where a request of that kind
        was accepted with the very token.
        """
        life = self.lives_by_token[request.bearer]
        recent = any(0 <= request.at - at <= HELD_OFF_S for at in self.withheld[life.org_id])
        return recent and not any(
            one.kind == request.kind and one.worker == request.worker and one.accepted
            for one in self.carried[request.bearer]
        )

    def exchanged(self, org_id: str, begun: float, ended: float) -> list[Arrival]:
        """Give the exchanges that arrived in that time."""
        return [one for one in self.exchanges.get(org_id, ()) if begun <= one.at <= ended]


def _overlap(intervals: list[tuple[float, float]], begun: float, ended: float) -> bool:
    return any(start < ended and begun < end for start, end in intervals)
