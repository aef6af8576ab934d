"""What a soak comes to: one row of counts, of which some must be 0."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from benchmarks.soak.calls import TRANSFER, Call, read_journal
from benchmarks.soak.leaks import leaks
from benchmarks.soak.verdicts import Verdict, judge
from httpx_cobo_auth import CoboOAuth

if TYPE_CHECKING:
    import httpx

    from benchmarks.soak.fleet import Fleet
    from benchmarks.soak.ledger import Ledger
    from httpx_cobo_auth.testing import CoboSimulator

_PAGE = 50


@dataclass(slots=True)
class Outcome:
    """The counts.

    Attributes:
        verdicts: how many calls of each kind.
        counts: of everything else that may well be there.
        wrongs: of what must not be.
        remarks: one line for each call that failed needlessly, and the like.

    """

    verdicts: collections.Counter[Verdict] = field(default_factory=collections.Counter[Verdict])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    wrongs: dict[str, int] = field(default_factory=dict[str, int])
    remarks: list[str] = field(default_factory=list[str])
    reasons: collections.Counter[str] = field(default_factory=collections.Counter[str])

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.wrongs.values())

    def row(self) -> str:
        """Give the row, with a line of names above."""
        cells = {"requests": self.verdicts.total()}
        cells |= {verdict.value: self.verdicts[verdict] for verdict in Verdict}
        cells |= self.counts | self.wrongs
        del cells[Verdict.NEEDLESS.value]
        cells |= {f"{name} (0)": count for name, count in self.wrongs.items()}
        for name in self.wrongs:
            cells.pop(name, None)
        names = " | ".join(cells)
        values = " | ".join(f"{count:>{len(name)}}" for name, count in cells.items())
        return f"{names}\n{values}"


def outcome_of(fleet: Fleet, ledger: Ledger, org_ids: list[str]) -> Outcome:
    """Count, when all is over."""
    outcome = Outcome()
    killed = {one.name for one in fleet.processes if one.killed_at is not None}
    crashed = fleet.crashed()
    calls: dict[str, Call] = {}
    for process in fleet.processes:
        path = fleet.folder / f"{process.name}.journal"
        if path.exists():
            calls |= read_journal(path)
    for call in calls.values():
        verdict, reason = judge(call, ledger, killed)
        outcome.verdicts[verdict] += 1
        if reason:
            outcome.reasons[f"{verdict.value}: {reason}"] += 1
        if verdict is Verdict.NEEDLESS:
            outcome.remarks.append(f"{reason}: {call}")
    counters = ledger.simulator.counters
    outcome.counts = {
        "exchanges": counters.exchanges,
        "tokens": counters.issued,
        "processes killed": len(killed),
    }
    found = leaks(sorted(fleet.folder.iterdir()), ledger.secrets)
    (fleet.folder / "timeline").write_text(ledger.timeline())
    outcome.remarks += [f"a secret in {place}" for place in found]
    outcome.remarks += [f"process {name} crashed" for name in crashed]
    twice, lost, ran = _writes(ledger.simulator, calls, org_ids)
    outcome.wrongs = {
        "failed needlessly": outcome.verdicts[Verdict.NEEDLESS],
        "spent tokens sent again": counters.spent_refresh_reused,
        "writes run twice": twice + counters.duplicate_request_ids,
        "writes lost": lost,
        "refused writes that ran": ran,
        "wrong organization": counters.wrong_org,
        "secrets in the logs": len(found),
        "crashed processes": len(crashed),
    }
    return outcome


def _writes(
    simulator: CoboSimulator, calls: dict[str, Call], org_ids: list[str]
) -> tuple[int, int, int]:
    """Compare the writes that ran with what their callers were told.

    Gives how many ran twice, how many did not run though their callers were told so, and how
    many ran though they had been refused for their token.
    """
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
    writes = [call for call in calls.values() if call.method == "POST"]
    told = [ran[call.org_id, call.request_id] for call in writes if call.good]
    twice = sum(count > 1 for count in ran.values())
    refused = [
        ran[call.org_id, call.request_id]
        for call in writes
        if call.path == TRANSFER and call.typed and not call.attempts
    ]
    return twice, told.count(0), sum(map(bool, refused))


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
