"""A strict Cobo for tests: no network, no account, no money."""

from __future__ import annotations

from httpx_cobo_auth.testing._expectation import Expectation
from httpx_cobo_auth.testing._faults import Fault, FaultDetails, FaultKind, Hold
from httpx_cobo_auth.testing._messages import SignedMessage
from httpx_cobo_auth.testing._records import Counters, IssuedToken, LogEntry
from httpx_cobo_auth.testing._settings import Credentials
from httpx_cobo_auth.testing.clock import ManualClock
from httpx_cobo_auth.testing.contract import StoreContract
from httpx_cobo_auth.testing.simulator import CoboSimulator

__all__ = [
    "CoboSimulator",
    "Counters",
    "Credentials",
    "Expectation",
    "Fault",
    "FaultDetails",
    "FaultKind",
    "Hold",
    "IssuedToken",
    "LogEntry",
    "ManualClock",
    "SignedMessage",
    "StoreContract",
]
