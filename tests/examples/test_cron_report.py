"""``examples/cron_report.py``: runs one after the other, and at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.examples.conftest import Starts

REPORT = "cron_report.py"


def told(process: subprocess.Popen[str], returncode: int = 0) -> list[str]:
    """Return the lines that it printed."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == returncode, out
    return out.splitlines()


def test_runs_share_the_token_and_its_renewal(served: CoboSimulator, start: Starts) -> None:
    """A second run exchanges nothing; three at once after a revocation renew once."""
    first = told(start(REPORT))
    assert [line.partition(" ")[2] for line in first] == ["Wallet 1", "Wallet 2", "Wallet 3"]
    assert told(start(REPORT)) == first
    assert served.counters.exchanges == 1
    served.revoke_tokens()
    assert [told(run) for run in [start(REPORT) for _ in range(3)]] == [first] * 3
    assert served.counters.exchanges == 2
    assert served.counters.spent_refresh_reused == 0


def test_a_refusal_says_what_to_do(served: CoboSimulator, start: Starts) -> None:
    """Exit code 1, and the last line tells to install the app again."""
    served.uninstall()
    (*_, last) = told(start(REPORT), returncode=1)
    assert last.startswith("TokenRefusedError: ")
    assert "install it again" in last


def test_no_answer_is_no_traceback(served: CoboSimulator, start: Starts) -> None:
    """The line drops every time: exit code 1 and one line that says so."""
    served.inject("api", "drop", times=None)
    assert "did not answer" in told(start(REPORT), returncode=1)[-1]
