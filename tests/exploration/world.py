"""What there is besides the flows themselves: callers, processes, the store, and Cobo.

All of it is values, so that a state can be kept, compared and gone on from.
"""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING, NamedTuple

from httpx_cobo_auth._protocol.effects import ExchangeReply, ResponseSummary
from tests.exploration.players import Broken

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Version

__all__ = [
    "GO",
    "Caller",
    "Cobo",
    "Doubt",
    "Injected",
    "Move",
    "Phase",
    "Process",
    "World",
    "number_of",
    "reply",
]

LIFETIME_S = 43199
ACCEPTED = ResponseSummary(200)
FAILED = ResponseSummary(500, 1000)


GO = "go"


class Move(NamedTuple):
    """One thing that can happen.

    Attributes:
        who: the caller's place; -1 for nobody.
        what: ``GO``, or what is done to it.

    """

    who: int
    what: str


class Phase(enum.IntEnum):
    """How far what a caller asks for has come."""

    READY = 0
    """Not begun. A request is on its way to Cobo."""
    WAITING = 1
    """At the gate, to be woken."""
    WOKEN = 2
    """At the gate, about to ask once more."""
    ARRIVED = 3
    """Cobo has processed the request; the answer is on its way."""
    HEADERS = 4
    """The answer's headers are here, and with them the write has ended; its body is not."""
    UNLOCKED = 5
    """Leaving: the store's lock is given back, the seat is not."""
    CLOSED = 6
    """Cancelled; only the store's lock is left to be given back."""
    SAVING = 7
    """Cancelled; but a thread goes on saving, and then gives the store's lock back."""


class Injected(enum.IntEnum):
    """What has been done to the run so far."""

    NOTHING = 0
    CANCELLED = 1
    WORSE = 2


class Caller(NamedTuple):
    """Somebody whose flow is under way.

    Attributes:
        process: in which it is.
        local: number of its flow's state.
        phase: of what it asks for.
        spare: how often it may yet be cancelled, or something of it fail.
        seat: whether it has the renewer's seat; 2 where that has been taken over.
        write: whether it has a write in flight.
        lock: whether it has the store's lock; 2 where that has lapsed.
        ended: whether a renewal has ended while it waits for the seat.
        executed: whether Cobo has run its write.
        barred: whether its write must not be sent again.
        exchanged: whether the last answer that it was given is the token endpoint's.
        undrained: whether it goes on although writes are in flight.
        impatient: whether it has waited in vain for somebody else's renewal to end.
        killing: whether the exchange whose answer is on its way has killed a token.
        excused: whether its write may meet a dead token.
        status: of the last answer to its request.
        answer: number of the answer on its way.
        renewal: whether it is a renewal that runs on its own.
        confirmed: whether that has found that no other process has renewed.
        mine: whether the renewal that it waits for was started for it.
        error: number of what that one ended with.

    """

    process: int
    local: int
    phase: Phase = Phase.READY
    spare: int = 0
    seat: int = 0
    write: bool = False
    lock: int = 0
    ended: bool = False
    executed: bool = False
    barred: bool = False
    exchanged: bool = False
    undrained: bool = False
    impatient: bool = False
    killing: bool = False
    excused: bool = False
    status: int = 0
    answer: int = 0
    renewal: bool = False
    confirmed: bool = False
    mine: bool = False
    error: int = 0


class Doubt(enum.IntEnum):
    """Whether writes of a process may meet a token that an exchange of its own has killed."""

    NONE = 0
    LOST = 1
    """The answer to that exchange was lost: the next flow renews first."""
    EXCUSED = 2
    """And that renewal came to nothing as well: the old token is all there is."""
    OVERTAKEN = 3
    """Seat or lock lapsed for somebody who still goes on."""


class Process(NamedTuple):
    """One process: account, gate.

    Attributes:
        account: number of its account's state.
        door_closed: whether no write may begin.
        overdue: whether the seat may be taken over.
        error: number of what the latest renewal ended with.
        doubt: about its token.

    """

    account: int
    door_closed: bool = False
    overdue: bool = False
    error: int = 0
    doubt: Doubt = Doubt.NONE


class Cobo(NamedTuple):
    """A server where rotation kills the old access token at once.

    Attributes:
        live: the access token that works; 0 for none.
        refresh: the refresh token that works; 0 for none.
        issued: how many tokens there have been.
        sent: refresh tokens that have been sent, and not certainly in vain.
        killed: access tokens that an exchange has killed, and which process sent it.

    """

    live: int = 0
    refresh: int = 0
    issued: int = 0
    sent: tuple[int, ...] = ()
    killed: tuple[tuple[int, int], ...] = ()

    def exposed(self, refresh_token: int) -> Cobo:
        """Never accept this refresh token again: nobody knows whether it was spent."""
        return self._replace(sent=tuple(sorted({*self.sent, refresh_token})))

    def exchanged(self, spend: int | None, process: int, *, refuses: bool) -> Cobo:
        """Process an exchange; where another token works afterwards, it was granted.

        Raises:
            Broken: a spent refresh token was sent again.

        """
        cobo = self
        if spend is not None:
            if spend in cobo.sent:
                message = f"refresh token {spend} is sent again"
                raise Broken(message)
            cobo = cobo.exposed(spend)
            refuses = refuses or spend != cobo.refresh
        if refuses:
            return cobo
        killed = cobo.killed
        if cobo.live:
            killed = (*killed, (cobo.live, process))
        issued = cobo.issued + 1
        return cobo._replace(live=issued, refresh=issued, issued=issued, killed=killed)


class World(NamedTuple):
    """A state of everything.

    Attributes:
        callers: sorted, for it does not matter which of two equals is which.
        processes: each with account and gate.
        record: number of what the store keeps.
        cobo: the server.
        now: seconds since the epoch.
        mishaps: how often something may yet be cancelled, or fail.
        waits: how often waiting may yet time out.
        jumps: how often time may yet pass.
        overdue: how often a seat may yet be taken over.
        lapses: how often the store's lock may yet lapse.
        revocations: how often Cobo may yet revoke the token by itself.
        crashes: how often a process may yet die.
        late: number of a record whose saving is under way although its caller was told that the
            store failed, and of the version that it replaces; ``None`` for none.
        leaked: access tokens that were sent where they should not have been, and by which process.
        injected: what has been done to the run so far.

    """

    callers: tuple[Caller, ...]
    processes: tuple[Process, ...]
    record: int
    cobo: Cobo
    now: float
    mishaps: int = 0
    waits: int = 0
    jumps: int = 0
    overdue: int = 0
    lapses: int = 0
    revocations: int = 0
    crashes: int = 0
    late: tuple[int, Version] | None = None
    leaked: tuple[tuple[int, int], ...] = ()
    injected: Injected = Injected.NOTHING


def reply(token: int) -> ExchangeReply:
    """Return the token endpoint's answer that issues a token."""
    fields = {
        "access_token": f"a{token}",
        "refresh_token": f"r{token}",
        "expires_in": LIFETIME_S,
        "token_type": "Bearer",
    }
    return ExchangeReply(200, json.dumps(fields).encode())


def number_of(token: str) -> int:
    """Return the number of an access or refresh token."""
    return int(token[1:])
