"""Where a run begins, who calls, and what may happen to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from httpx_cobo_auth._protocol.flow import Call, CoboFlow
from tests.exploration.players import Actor
from tests.exploration.world import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth._protocol.effects import Flow, ResponseSummary

__all__ = ["Scenario", "request"]


@dataclass(frozen=True)
class Scenario:
    """Where a run begins, who calls, and what may happen to them.

    Attributes:
        name: of the scenario.
        actors: who calls.
        left: seconds that the held token has to live; ``None`` for no token.
        stored: whether the token is in the store only.
        noted: whether the store notes an exchange whose owner is gone.
        revoked: whether the token is dead from the start.
        refusal: how Cobo answers a dead token.
        accepts: whether Cobo accepts any token at all.
        refuses: whether the token endpoint refuses everything.
        grants: whether the refresh token is any good.
        shared: whether there are other processes, so that the store is one they share.
        exchanges: how many there may be where nothing goes wrong.
        spare: how often each caller may be cancelled, or something of it fail.
        mishaps: how often that may happen in all.
        waits: how often waiting may time out.
        jump: seconds that pass at once, at any moment.
        overdue: how often a seat may be taken over.
        lapses: how often the store's lock may lapse.
        revocations: how often Cobo may revoke the token by itself.
        late: whether what a failing store was told to save may be saved later.
        crashes: how often a process may die.
        restarted: who calls in a process that was started again.
        anew: the processes that know nothing of a token at first, as with an auth object made
            anew.
        strict_doubt: whether no write may go out with a token that an abandoned exchange has
            killed, not even while the next attempt has to wait.
        strict_trust: whether the store must not forget what speaks against a token.

    """

    name: str
    actors: tuple[Actor, ...]
    left: float | None
    stored: bool = False
    noted: bool = False
    revoked: bool = False
    refusal: ResponseSummary = FAILED
    accepts: bool = True
    refuses: bool = False
    grants: bool = True
    shared: bool = False
    exchanges: int = 1
    spare: int = 1
    mishaps: int = 3
    waits: int = 0
    jump: float = 0.0
    overdue: int = 0
    lapses: int = 0
    revocations: int = 0
    late: bool = False
    crashes: int = 0
    restarted: tuple[Actor, ...] = ()
    anew: frozenset[int] = frozenset()
    strict_doubt: bool = False
    strict_trust: bool = False


class _Url(NamedTuple):
    path: str


def request(
    name: str = "",
    *,
    write: bool = False,
    bad: bool = False,
    process: int = 0,
    good: tuple[object, ...] = (200,),
    delegates: bool = False,
    leaks: bool = False,
) -> Actor:
    """Return somebody who sends a request."""
    name = name or ("write" if write else "read")
    return Actor(
        name,
        _starting(name, write),
        sends=True,
        write=write,
        bad=bad,
        process=process,
        good=frozenset(good),
        delegates=delegates,
        leaks=leaks,
    )


@cache
def _starting(name: str, write: bool) -> Callable[[CoboFlow], Flow[Any]]:  # noqa: FBT001
    method, url = "POST" if write else "GET", _Url(f"/{name}")
    return lambda flow: flow.request(Call(method, url, write))
