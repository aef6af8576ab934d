"""An exception of a signal handler, wherever it strikes in a renewal, leaves nothing held."""

from __future__ import annotations

import functools
import itertools
import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import httpx_cobo_auth
from tests.family import httpx
from tests.interrupts import Interrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.testing import CoboSimulator
    from tests.concurrency.conftest import RunsThreads
    from tests.conftest import MakesAuth
    from tests.family import CoboOAuth

PACKAGE = str(Path(httpx_cobo_auth.__file__).parent)
SIMULATOR = str(Path(PACKAGE, "testing"))


def ours(file: str) -> bool:
    return file.startswith(PACKAGE) and not file.startswith(SIMULATOR)


def renew(auth: CoboOAuth, client: httpx.Client) -> None:
    auth.renew(client)


def read(auth: CoboOAuth, client: httpx.Client) -> None:
    client.get("/wallets", auth=auth)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in finalizers
@pytest.mark.parametrize(
    ("call", "own", "step"),
    [(renew, True, 1), (renew, False, 1), (read, True, 5), (read, False, 19)],
    ids=["renew(), auth.client()", "renew(), auth=", "read, auth.client()", "read, auth="],
)
def test_whoever_comes_next_gets_through(
    call: Callable[[CoboOAuth, httpx.Client], None],
    own: bool,  # noqa: FBT001
    step: int,
    simulator: CoboSimulator,
    make_auth: MakesAuth,
    in_threads: RunsThreads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A renewal and a write of another thread; and no refresh token is sent twice.

    Of the moments of a read, which are a thousand, each so many-th.
    """
    signalled = SimpleNamespace(**{**vars(threading), "main_thread": threading.current_thread})
    monkeypatch.setattr("httpx_cobo_auth._runtime.backends.threading", signalled)
    moment = 0
    for moment in itertools.count(step=step):
        auth = make_auth(simulator)
        with ExitStack() as stack:
            url = auth.environment.base_url
            client = stack.enter_context(
                auth.client(transport=simulator)
                if own
                else httpx.Client(base_url=url, transport=simulator, auth=auth)
            )
            client.get("/wallets").raise_for_status()
            simulator.revoke_tokens()
            # It is kept, with its frames, as task queues do.
            interrupt = Interrupt(moment, ours)
            interrupt.strike(functools.partial(call, auth, client))
            if own:
                stack.close()  # A client of one's own does not wait for what it sends.

            def go_on(auth: CoboOAuth = auth) -> None:
                with auth.client(transport=simulator) as other:
                    auth.renew(other)
                    other.post("/echo").raise_for_status()

            if not interrupt.struck:
                break
            with in_threads(go_on):
                pass
    assert moment > 100
    assert simulator.counters.spent_refresh_reused == 0
