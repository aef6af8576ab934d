"""One process of a fleet: sends requests until told to stop, and tells what became of them.

Started by the ``fleet`` fixture with its task as JSON. Says ``ready``, waits for a byte, works
until its input ends, and prints a report as JSON. Reads without buffers: their locks would be
inherited by a fork.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import ssl
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio

from httpx_cobo_auth import (
    Environment,
    FileStore,
    KeyringStore,
    RedisStore,
    SqlStore,
    Timeouts,
    TokenStore,
)
from httpx_cobo_auth._protocol.records import StoreKey
from tests.family import CoboOAuth, httpx

if TYPE_CHECKING:
    from collections.abc import Callable

STORES: dict[str, Callable[..., TokenStore]] = {
    "file": FileStore,
    "redis": RedisStore,
    "keyring": KeyringStore,
    "sql": SqlStore,
}
# One for all clients: a child forked while a thread makes another would inherit OpenSSL's own
# locks, held, and wait for ever to make one itself.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
LONGEST_S = 150


class Worker:
    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        kind, *arguments = task["store"]
        self.store = STORES[kind](*arguments, **task.get("options", {}))
        self.environment = Environment("simulator", task["base_url"], task["response_key"])
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.slowest = 0.0
        self.over = threading.Event()

    def auth(self) -> CoboOAuth:
        """Make the auth anew, as for every request."""
        return CoboOAuth(
            client_id=self.task["client_id"],
            app_secret=self.task["app_secret"],
            org_id=self.task["org_id"],
            environment=self.environment,
            store=self.store,
            timeouts=Timeouts(**self.task.get("timeouts", {})),
        )

    def request(self, number: int) -> httpx.Request:
        base_url = self.environment.base_url
        if self.task["method"] == "GET":
            return httpx.Request("GET", f"{base_url}/wallets?n={number}")
        return httpx.Request("POST", f"{base_url}/wallets", json={"name": f"n{number}"})

    def note(self, begun: float, response: httpx.Response | Exception) -> None:
        took = time.monotonic() - begun
        self.slowest = max(self.slowest, took)
        if isinstance(response, Exception):
            self.outcomes[f"{type(response).__name__}: {response}"] += 1
        else:
            self.outcomes[str(response.status_code)] += 1

    def listen(self) -> None:
        while os.read(0, 1):
            pass
        self.over.set()

    def run(self) -> dict[str, Any]:
        threading.Thread(target=self.listen, daemon=True).start()
        how = self.task["how"]
        if how == "threads":
            threads = [threading.Thread(target=self.go) for _ in range(self.task["tasks"])]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        else:
            anyio.run(self.agather, backend=how)
        return {"outcomes": dict(self.outcomes), "slowest": self.slowest}

    def go(self) -> None:
        with httpx.Client(timeout=30, verify=NO_TLS) as client:
            while not self.over.is_set():
                begun = time.monotonic()
                try:
                    response: Any = client.send(self.request(1), auth=self.auth())
                except Exception as error:  # noqa: BLE001 - told in the report
                    response = error
                self.note(begun, response)
                time.sleep(self.task["pause"])

    async def agather(self) -> None:
        async with (
            httpx.AsyncClient(timeout=30, verify=NO_TLS) as client,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(self.task["tasks"]):
                tasks.start_soon(self.ago, client)

    async def ago(self, client: httpx.AsyncClient) -> None:
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                response: Any = await client.send(self.request(1), auth=self.auth())
            except Exception as error:  # noqa: BLE001 - told in the report
                response = error
            self.note(begun, response)
            await anyio.sleep(self.task["pause"])


def fork_while_the_lock_is_held(worker: Worker) -> None:
    """Fork the moment that a thread of this process has the right to renew.

    The child then works as well, and its report goes into the same pipe. Where others have
    renewed first, the right is taken for nothing but this.
    """
    held = threading.Event()
    task = worker.task
    key = StoreKey(task["base_url"], task["client_id"], task["org_id"])
    try_lock = worker.store.try_lock

    def watched(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        lock = try_lock(*arguments, **options)
        if lock is not None:
            held.set()
            # Hold it over the fork.
            time.sleep(0.3)
        return lock

    worker.store.try_lock = watched  # type: ignore[method-assign]

    def fork() -> None:
        hold = None if held.wait(2) else try_lock(key, ttl=5)
        if os.fork() == 0:
            signal.alarm(LONGEST_S)  # a child that hangs dies, and its report is missed
            worker.store.try_lock = try_lock  # type: ignore[method-assign]
            worker.outcomes.clear()
            worker.task = {**worker.task, "how": "threads"}
            report(worker.run(), "forked")
            os._exit(0)
        if hold is not None:
            hold.release()

    threading.Thread(target=fork).start()


def report(result: dict[str, Any], name: str) -> None:
    # One write: two processes may share the pipe.
    os.write(1, (json.dumps({"name": name, **result}) + "\n").encode())


def main() -> None:
    worker = Worker(json.loads(sys.argv[1]))
    # A child forked while another thread imports something waits for ever to import the same.
    httpx.Client(verify=NO_TLS).close()
    os.write(1, b"ready\n")
    os.read(0, 1)
    if worker.task.get("fork"):
        fork_while_the_lock_is_held(worker)
    report(worker.run(), worker.task["how"])


if __name__ == "__main__":
    main()
