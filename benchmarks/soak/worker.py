"""One process of the soak: makes calls until its standard input ends, and writes them down.

The first line of its input is its task; each further one changes something: steps the wall
clock, lets the store fail for some seconds, or names other organizations.
"""

from __future__ import annotations

import itertools
import json
import logging
import random
import sys
import threading
import time
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx

from benchmarks.soak.calls import (
    CALL_HEADER,
    GRACE_S,
    TRANSFER,
    WALLETS,
    Call,
    Journal,
    current_call,
)
from benchmarks.soak.stores import Failure, make
from httpx_cobo_auth import (
    CoboAuthError,
    CoboOAuth,
    Environment,
    PortalApp,
    Timeouts,
)
from httpx_cobo_auth.testing import ManualClock

PATIENCE_S = 5.0
"""How long a caller waits for an answer of the API."""
LIMITS = Timeouts(
    exchange=5.0, early_exchange=2.5, request=2.0, drain=0.5, lock=20.0, grace=GRACE_S
)


class Marking(httpx.HTTPTransport):
    """Says with every request which call it belongs to, and notes what came of it."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        attempts, what = _marked(request, self._worker)
        try:
            response = super().handle_request(request)
        except BaseException as error:
            attempts.append((what, type(error).__name__))
            raise
        attempts.append((what, str(response.status_code)))
        return response

    def close(self) -> None:
        """Stay open: several clients share it, until the process ends."""


class AsyncMarking(httpx.AsyncHTTPTransport):
    """The same for async clients."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        attempts, what = _marked(request, self._worker)
        try:
            response = await super().handle_async_request(request)
        except BaseException as error:
            attempts.append((what, type(error).__name__))
            raise
        attempts.append((what, str(response.status_code)))
        return response

    async def aclose(self) -> None:
        """Stay open: several clients share it, until the loop ends."""


def _marked(request: httpx.Request, worker: str) -> tuple[list[tuple[str, str]], str]:
    call = current_call.get()
    request.headers[CALL_HEADER] = f"{worker}-renewal" if call is None else call.name
    what = "token" if request.url.path.endswith("/oauth/token") else "api"
    return [] if call is None else call.attempts, what


class Worker:
    """What the tasks and threads of this process share."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.orgs: list[str] = task["orgs"]
        self.environment = Environment("simulator", task["base_url"], task["response_key"])
        self.clock = ManualClock(time.time() + task["clock_off"], running=True)
        self.journal = Journal(Path(task["journal"]))
        self.random = random.Random(task["seed"])  # noqa: S311 - to be repeatable
        self.failure = Failure(self.random)
        self.stopping = threading.Event()
        self.numbers = itertools.count(1)
        self.app = PortalApp(**self._identity(), **self._options())

    def _identity(self) -> dict[str, Any]:
        task = self.task
        identity = {name: task[name] for name in ("client_id", "app_secret")}
        return identity | {"environment": self.environment}

    def _options(self) -> dict[str, Any]:
        return {
            "store": make(self.task, self.failure),
            "timeouts": LIMITS,
            "clock": self.clock,
            "verify_responses": self.task["verify"],
        }

    def auth(self, org_id: str) -> CoboOAuth:
        """Give the app's auth of the organization, or one made anew with all that it needs."""
        if self.random.random() < 0.7:  # noqa: PLR2004
            return self.app.org(org_id)
        return CoboOAuth(org_id=org_id, **self._identity(), **self._options())

    def obey(self) -> None:
        """Do what the parent says, until it says no more."""
        for line in sys.stdin:
            command: dict[str, Any] = json.loads(line)
            self.clock.step(command.get("step", 0.0))
            self.failure.last(command.get("store_fails", 0.0))
            self.orgs = command.get("orgs", self.orgs)
        self.stopping.set()

    # ------------------------------------------------------------------------------- calls
    def new_call(self) -> Call:
        """Choose what to do next."""
        worker, chance = self.task["name"], self.random.random
        write = self.task["only_writes"] or chance() < 0.4  # noqa: PLR2004
        replay = write and chance() < 0.5  # noqa: PLR2004
        call = Call(
            name=f"{worker}-{next(self.numbers)}",
            worker=worker,
            org_id=self.random.choice(self.orgs),
            method="POST" if write else "GET",
            path=TRANSFER if write and not replay else WALLETS,
            plain=chance() < 0.5,  # noqa: PLR2004
            replay=replay,
            request_id=str(uuid.uuid4()) if write else "",
        )
        current_call.set(call)
        self.journal.call(call)
        return call

    def arguments(self, call: Call) -> dict[str, Any]:
        """Give what to call ``client.request`` with."""
        arguments: dict[str, Any] = {
            "method": call.method,
            "url": call.path,
            "headers": {"X-Expected-Org": call.org_id},
        }
        if call.method == "POST":
            field = "request_id" if call.path == TRANSFER else "name"
            arguments["json"] = {field: call.request_id}
        if call.replay:
            arguments["extensions"] = {"cobo_replay": True}
        return arguments

    def ended(self, call: Call, outcome: httpx.Response | Exception) -> None:
        """Write down what became of a call."""
        call.ended = time.monotonic()
        if isinstance(outcome, Exception):
            call.error, call.message = type(outcome).__name__, str(outcome)
            call.typed = isinstance(outcome, CoboAuthError)
        else:
            call.status = outcome.status_code
        self.journal.call(call)

    def pause(self) -> float:
        """Give the seconds until the next call."""
        return self.random.uniform(0, 2 * self.task["pause"])

    # ---------------------------------------------------------------------- threads, tasks
    def work(self) -> None:
        """Call again and again, as one thread."""
        transport = Marking(self.task["name"])
        common: dict[str, Any] = {"transport": transport, "timeout": PATIENCE_S}
        plain = httpx.Client(base_url=self.environment.base_url, **common)
        clients: dict[str, httpx.Client] = {}
        while not self.stopping.is_set():
            call = self.new_call()
            outcome: httpx.Response | Exception
            try:
                if call.plain:
                    auth = self.auth(call.org_id)
                    outcome = plain.request(auth=auth, **self.arguments(call))
                else:
                    if call.org_id not in clients:
                        clients[call.org_id] = self.app.org(call.org_id).client(**common)
                    outcome = clients[call.org_id].request(**self.arguments(call))
            except Exception as error:  # noqa: BLE001 - judged by the parent
                outcome = error
            self.ended(call, outcome)
            self.stopping.wait(self.pause())

    async def awork(self) -> None:
        """Call again and again, as one task."""
        transport = AsyncMarking(self.task["name"])
        common: dict[str, Any] = {"transport": transport, "timeout": PATIENCE_S}
        plain = httpx.AsyncClient(base_url=self.environment.base_url, **common)
        clients: dict[str, httpx.AsyncClient] = {}
        while not self.stopping.is_set():
            call = self.new_call()
            outcome: httpx.Response | Exception
            try:
                if call.plain:
                    auth = self.auth(call.org_id)
                    outcome = await plain.request(auth=auth, **self.arguments(call))
                else:
                    if call.org_id not in clients:
                        clients[call.org_id] = self.app.org(call.org_id).async_client(**common)
                    outcome = await clients[call.org_id].request(**self.arguments(call))
            except Exception as error:  # noqa: BLE001 - judged by the parent
                outcome = error
            self.ended(call, outcome)
            await anyio.sleep(self.pause())

    async def gather(self, tasks: int) -> None:
        """Run that many tasks at once."""
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(self.awork)

    def run(self) -> None:
        """Run threads, tasks, or both."""
        how, count = self.task["how"], self.task["tasks"]
        in_threads = {"threads": count, "mixed": count // 2}.get(how, 0)
        threads = [threading.Thread(target=self.work) for _ in range(in_threads)]
        for thread in threads:
            thread.start()
        if in_threads < count:
            backend = "trio" if how == "trio" else "asyncio"
            anyio.run(partial(self.gather, count - in_threads), backend=backend)
        for thread in threads:
            thread.join()


def main() -> None:
    """Work until the parent has no more to say."""
    task: dict[str, Any] = json.loads(sys.stdin.readline())
    logging.basicConfig(
        filename=task["log"],
        level=logging.DEBUG,
        format="%(created).3f %(threadName)s %(name)s %(levelname)s %(message)s",
    )
    worker = Worker(task)
    threading.Thread(target=worker.obey, daemon=True).start()
    worker.run()


if __name__ == "__main__":
    main()
