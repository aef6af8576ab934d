"""What a soak comes to: one row of counts, of which some must be 0."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from benchmarks.soak.calls import read_journal
from benchmarks.soak.leaks import leaks
from benchmarks.soak.verdicts import Verdict, judge, twice_in_a_row
from httpx_cobo_auth import CoboOAuth

if TYPE_CHECKING:
    import httpx

    from benchmarks.soak.fleet import Fleet
    from benchmarks.soak.ledger import Ledger
    from httpx_cobo_auth.testing import CoboSimulator

_PAGE = 50
_NOT_RUN = {Verdict.CARRIED, Verdict.DOWN, Verdict.HELD, Verdict.BOUNCED}
"""Calls of these kinds have not had any effect."""


@dataclass(slots=True)
class Outcome:
    """The counts.

    Attributes:
        calls: how many there were.
        exempt: calls that got what they asked for, or had to fail, by kind.
        counts: of what else may well be there.
        wrongs: of what must not be.
        reasons: why calls of some kinds failed, and how many did.
        remarks: one line for each call that failed needlessly, and the like.

    """

    calls: int
    exempt: dict[str, int]
    counts: dict[str, int]
    wrongs: dict[str, int]
    reasons: dict[str, int]
    remarks: list[str]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.wrongs.values())

    def row(self) -> str:
        """Give the row, beneath a line of names. Where a name ends in (0), the count must be 0."""
        cells = {"requests": self.calls, **self.exempt, **self.counts}
        cells |= {f"{name} (0)": count for name, count in self.wrongs.items()}
        values = " | ".join(f"{count:>{len(name)}}" for name, count in cells.items())
        return f"{' | '.join(cells)}\n{values}"


def outcome_of(fleet: Fleet, ledger: Ledger, org_ids: list[str]) -> Outcome:
    """Count, when all is over."""
    (fleet.folder / "timeline").write_text(ledger.timeline())
    journals = sorted(fleet.folder.glob("*.journal"))
    calls = [call for path in journals for call in read_journal(path).values()]
    killed = {one.name for one in fleet.processes if one.killed_at is not None}
    verdicts = [judge(call, ledger, killed) for call in calls]
    kinds = collections.Counter(verdict for verdict, _ in verdicts)
    reasons = collections.Counter(f"{verdict.value}: {why}" for verdict, why in verdicts if why)
    needless = [
        f"{why}: {call}"
        for call, (verdict, why) in zip(calls, verdicts, strict=True)
        if verdict is Verdict.NEEDLESS
    ]
    twice = twice_in_a_row(
        [(call, verdict) for call, (verdict, _) in zip(calls, verdicts, strict=True)], ledger
    )
    shown = leaks(sorted(fleet.folder.iterdir()), ledger.secrets)
    crashed = fleet.crashed()
    ran = _ran(ledger.simulator, org_ids)
    unsent = [
        call
        for call, (verdict, _) in zip(calls, verdicts, strict=True)
        if call.method == "POST" and verdict in _NOT_RUN
    ]
    told = [call for call in calls if call.method == "POST" and call.good]
    counters = ledger.simulator.counters
    return Outcome(
        calls=len(calls),
        exempt={
            verdict.value: kinds[verdict] for verdict in Verdict if verdict is not Verdict.NEEDLESS
        },
        counts={
            "exchanges": counters.exchanges,
            "tokens": counters.issued,
            "processes killed": len(killed),
        },
        wrongs={
            Verdict.NEEDLESS.value: len(needless),
            "failed twice in a row while the endpoint is well": len(twice),
            "spent tokens sent again": counters.spent_refresh_reused,
            "writes run twice": sum(count > 1 for count in ran.values()),
            "writes delivered after they ran": counters.duplicate_request_ids,
            "writes lost": sum(not ran[call.org_id, call.request_id] for call in told),
            "refused writes that ran": sum(ran[call.org_id, call.request_id] for call in unsent),
            "wrong organization": counters.wrong_org,
            "bad signatures": counters.bad_signatures,
            "secrets in the logs": len(shown),
            "crashed processes": len(crashed),
        },
        reasons=dict(reasons),
        remarks=[
            *needless,
            *(f"twice in a row: {first} and {second}" for first, second in twice),
            *(f"a secret in {place}" for place in shown),
            *(f"process {name} crashed" for name in crashed),
        ],
    )


def _ran(simulator: CoboSimulator, org_ids: list[str]) -> collections.Counter[tuple[str, str]]:
    """Ask the server which writes ran, by organization and request ID, and how often."""
    ran: collections.Counter[tuple[str, str]] = collections.Counter()
    for org_id in org_ids:
        auth = CoboOAuth(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            org_id=org_id,
            environment=simulator.environment,
            clock=simulator.clock,
        )
        with auth.client(transport=simulator) as client:
            ran.update((org_id, one) for one in _all(client, "/transactions", "transaction_id"))
            ran.update((org_id, one) for one in _all(client, "/wallets", "wallet_id"))
    return ran


def _all(client: httpx.Client, path: str, key: str) -> list[str]:
    """Give the marks, made by the callers, of everything that is listed there."""
    marks: list[str] = []
    after = ""
    while True:
        page = client.get(path, params={"limit": _PAGE, "after": after}).json()
        records = cast("list[dict[str, str]]", page["data"])
        marks += [
            str(one.get("request_id") or one["name"])
            for one in records
            if not one.get("name", "").startswith("Wallet ")
        ]
        if len(records) < _PAGE:
            return marks
        after = records[-1][key]
