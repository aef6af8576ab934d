"""What the stores add: to a renewal, to those who wait for it, and for each organization.

Everything in one run; what is compared is measured in turns, and medians are printed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from typing import IO, TYPE_CHECKING, cast

import httpx

from httpx_cobo_auth import CoboOAuth, Environment, FileStore, MemoryStore, PortalApp, Token
from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey
from httpx_cobo_auth.testing import CoboSimulator, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth import TokenStore

RENEWALS = 200
HANDOVERS = 40
FEW, MANY = 100, 10_000
REQUESTS = 2_000

WAITER = """
import sys, time
import httpx
from httpx_cobo_auth import CoboOAuth, Environment, FileStore
path, client_id, app_secret, org_id, base_url = sys.argv[1:]
environment = Environment("simulator", base_url)
accepts = httpx.MockTransport(lambda request: httpx.Response(200))
for line in sys.stdin:
    auth = CoboOAuth(client_id=client_id, app_secret=app_secret, org_id=org_id,
                     environment=environment, store=FileStore(path))
    with auth.client(transport=accepts) as client:
        print("begin", flush=True)
        client.get("/wallets")
        print(time.monotonic(), flush=True)
    del auth, client  # and with them what this process knew of the token
"""


def renewals(simulator: CoboSimulator, folder: str) -> None:
    """Compare a renewal over a FileStore with one over a MemoryStore."""
    measures: dict[str, Callable[[], float]] = {}
    stores: dict[str, TokenStore] = {"memory": MemoryStore(), "file": FileStore(folder)}
    for name, store in stores.items():
        org_id = f"00000000-0000-4000-8000-{len(measures):012d}"
        simulator.add_org(org_id)
        auth = new_auth(simulator, store, org_id)
        client = auth.client(transport=simulator)

        def measure(auth: CoboOAuth = auth, client: httpx.Client = client) -> float:
            begun = time.perf_counter()
            auth.renew(client)
            return time.perf_counter() - begun

        measures[name] = measure
    seconds: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(RENEWALS):
        for name, run in measures.items():
            seconds[name].append(run())
    memory, file = (statistics.median(seconds[name]) * 1e3 for name in ("memory", "file"))
    print(f"a renewal over a FileStore adds {file - memory:.2f} ms", end=" ")
    print(f"({file:.2f} / {memory:.2f} ms, {file / memory:.1f} x)")


def handovers(simulator: CoboSimulator, folder: str) -> None:
    """Measure how soon another process goes on after the token it waits for was saved."""
    base_url = simulator.environment.base_url
    key = StoreKey(base_url, simulator.client_id, simulator.org_id)
    store = FileStore(folder)
    arguments = (folder, simulator.client_id, simulator.app_secret, simulator.org_id, base_url)
    waiter = subprocess.Popen(
        [sys.executable, "-c", WAITER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    to_waiter, from_waiter = cast("IO[str]", waiter.stdin), cast("IO[str]", waiter.stdout)
    delays: list[float] = []
    for _ in range(HANDOVERS):
        now = time.time()
        lock = store.try_lock(key, ttl=60.0)
        if lock is None:
            message = "somebody else has the lock"
            raise SystemExit(message)
        old = store.load(key) or Record()
        noted = Record(old.generation, None, PendingExchange("the benchmark", now))
        store.save(key, noted, expected=old.version)
        to_waiter.write("go\n")
        to_waiter.flush()
        from_waiter.readline()  # it begins
        time.sleep(0.25)  # by now it waits, and polls as slowly as it ever does
        token = Token(access_token="a" * 64, expires_at=now + 43199, obtained_at=now)
        store.save(key, Record(old.generation + 1, token), expected=noted.version)
        saved = time.monotonic()
        lock.release()
        delays.append(float(from_waiter.readline()) - saved)
    to_waiter.close()
    waiter.wait(timeout=10)
    print("a process that waits for the token of another goes on", end=" ")
    print(f"{statistics.median(delays) * 1e3:.1f} ms after the save (most {max(delays) * 1e3:.1f})")


def organizations() -> None:
    """Print memory and time for few and for many organizations in one PortalApp."""
    costs: dict[int, tuple[float, float]] = {}
    for count in (FEW, MANY):
        simulator = CoboSimulator(clock=ManualClock(running=True))
        app = PortalApp(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            environment=simulator.environment,
            clock=simulator.clock,
        )
        names = [f"00000000-0000-4000-8000-{number:012d}" for number in range(count)]
        for name in names:
            simulator.add_org(name)
        accepts = httpx.MockTransport(lambda _request: httpx.Response(200))
        with (
            httpx.Client(base_url=app.environment.base_url, transport=simulator) as issuing,
            httpx.Client(base_url=app.environment.base_url, transport=accepts) as client,
        ):
            tracemalloc.start()
            for name in names:
                app.org(name)
            bound, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            for name in names:
                app.org(name).token(issuing)
            seconds: list[float] = []
            for number in range(REQUESTS):
                auth = app.org(names[number * 7919 % count])
                begun = time.perf_counter()
                client.get("/wallets", auth=auth)
                seconds.append(time.perf_counter() - begun)
        costs[count] = bound / count, statistics.median(seconds) * 1e6
    for count, (size, request) in costs.items():
        print(f"{count:>6} organizations: {size:,.0f} bytes each, {request:.0f} us a request")
    print(f"many / few: {costs[MANY][0] / costs[FEW][0]:.2f} x the memory each,", end=" ")
    print(f"{costs[MANY][1] / costs[FEW][1]:.2f} x the time")


def new_auth(simulator: CoboSimulator, store: TokenStore, org_id: str) -> CoboOAuth:
    """Make an auth object for the simulator."""
    environment: Environment = simulator.environment
    return CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=org_id,
        environment=environment,
        store=store,
        clock=simulator.clock,
    )


def main() -> None:
    """Print every line."""
    simulator = CoboSimulator(clock=ManualClock(running=True))
    with tempfile.TemporaryDirectory() as folder:
        renewals(simulator, f"{folder}/renewals")
        handovers(simulator, f"{folder}/handovers")
    organizations()


if __name__ == "__main__":
    main()
