"""What the library adds, as ratios: against floors, and against the official SDK.

What is compared is measured in turns (A B A B …), in one run, on fresh requests, and medians
are compared. Times depend on the machine; ratios less so. Over loopback, the simulator's own
work in the same process is part of every call, on both sides of the ratio.
"""

from __future__ import annotations

import hashlib
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import anyio
import httpx
from cobo_waas2.api.wallets_api import WalletsApi
from cobo_waas2.api_client import ApiClient
from cobo_waas2.configuration import Configuration
from cobo_waas2.crypto.signing_helper import SignHelper
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from httpx_cobo_auth import CoboOAuth
from httpx_cobo_auth.clock import Clock, SystemClock
from httpx_cobo_auth.testing import CoboSimulator, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from httpx_cobo_auth import Environment

SIGNATURES = 20_000
CALLS = 1_000
BURSTS = 40
BURST_SIZE = 50
IMPORTS = 15
UNASKED = ("httpx2", "keyring", "pytest", "redis", "trio")

BODIES = {"GET": None, "POST": b'{"request_id":"7a6f2d0e-6b8e-4f0c-9d5e-1c1b7c7e4c11"}'}
"""One read, and one write: that also enters itself as in flight, which no floor does."""

US = ("us", 1e6)
MS = ("ms", 1e3)
NAMES = {
    "floor": "floor (one signature, four headers)",
    "sdk": "SDK's header generation",
    "sdk_call": "SDK (verified, into models)",
    "sdk_raw": "SDK (raw bytes)",
}

Timed: TypeAlias = "Callable[[], float]"
"""Does something once and gives the seconds it took."""


def in_turns(rounds: int, **measured: Timed) -> dict[str, float]:
    """Let each give its seconds, one after the other, again and again; give the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for measure in measured.values():
        measure()  # warm
    for _ in range(rounds):
        for name, measure in measured.items():
            seconds[name].append(measure())
    return {name: statistics.median(values) for name, values in seconds.items()}


def timed(action: Callable[[], object]) -> Timed:
    """Time the whole of an action."""

    def measure() -> float:
        begun = time.perf_counter()
        action()
        return time.perf_counter() - begun

    return measure


def show(what: str, ours: float, other: float, unit: tuple[str, float]) -> None:
    """Print one line."""
    name, factor = unit
    times = f"{ours * factor:,.2f} / {other * factor:,.2f} {name}"
    print(f"{what:<66}{ours / other:6.2f} x   {times}")


class Floor(httpx.Auth):
    """What no implementation can leave out, for requests of one method to ``/wallets``."""

    def __init__(self, app_secret: str, access_token: str, method: str = "GET") -> None:
        public_key, self.secret = crypto_sign_seed_keypair(bytes.fromhex(app_secret))
        self.key = public_key.hex()
        self.bearer = f"Bearer {access_token}"
        self.method = method

    def sign(self, request: httpx.Request) -> None:
        """Two hashes, one signature, four headers."""
        nonce = str(int(time.time() * 1000))
        text = f"{self.method}|/v2/wallets|{nonce}||".encode() + request.content
        digest = hashlib.sha256(text).digest()
        signature = crypto_sign(hashlib.sha256(digest).digest(), self.secret)[:64]
        request.headers["Authorization"] = self.bearer
        request.headers["Biz-Api-Key"] = self.key
        request.headers["Biz-Api-Nonce"] = nonce
        request.headers["Biz-Api-Signature"] = signature.hex()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign, send, and hope for the best."""
        self.sign(request)
        yield request


def bench_signing(simulator: CoboSimulator, environment: Environment) -> None:
    """Compare what is added to one request, the request itself not counted."""
    auth = new_auth(simulator, environment)
    with auth.client() as client:
        token = auth.token(client).access_token
    sdk_signer = Configuration(api_private_key=simulator.app_secret).signer
    url = httpx.URL(f"{environment.base_url}/wallets")
    accepted = httpx.Response(200, json={})

    def drive(auth: httpx.Auth, method: str) -> float:
        """Step through the flow as httpx does, for a request that is accepted."""
        accepted.request = request = httpx.Request(method, url, content=BODIES[method])
        begun = time.perf_counter()
        flow = auth.sync_auth_flow(request)
        next(flow)
        try:
            flow.send(accepted)
        except StopIteration:
            return time.perf_counter() - begun
        raise AssertionError

    def sign(floor: Floor) -> float:
        request = httpx.Request(floor.method, url, content=BODIES[floor.method])
        begun = time.perf_counter()
        floor.sign(request)
        return time.perf_counter() - begun

    def headers(method: str, body: bytes) -> Timed:
        """A dictionary of three headers, not yet on a request."""
        return timed(
            lambda: SignHelper.generate_headers(sdk_signer, body, method, {}, "/v2/wallets")
        )

    for method, body in BODIES.items():
        floor = Floor(simulator.app_secret, token, method)
        seconds = in_turns(
            SIGNATURES,
            ours=partial(drive, auth, method),
            null=partial(drive, httpx.Auth(), method),
            floor=partial(sign, floor),
            sdk=headers(method, body or b""),
        )
        added = seconds["ours"] - seconds["null"]
        for what in ("floor", "sdk"):
            show(f"auth on a fresh {method} / {NAMES[what]}", added, seconds[what], US)


def bench_calls(simulator: CoboSimulator, environment: Environment) -> None:
    """Compare whole calls over the loopback interface."""
    auth = new_auth(simulator, environment)
    with auth.client() as client:
        token = auth.token(client)
        floor = Floor(simulator.app_secret, token.access_token)
        sdk = WalletsApi(sdk_client(simulator, environment, token.access_token))
        with httpx.Client(base_url=environment.base_url, auth=floor) as smallest:
            seconds = in_turns(
                CALLS,
                ours=timed(lambda: client.get("/wallets").raise_for_status().json()),
                floor=timed(lambda: smallest.get("/wallets").raise_for_status().json()),
                sdk_call=timed(sdk.list_wallets),
                sdk_raw=timed(lambda: sdk.list_wallets_without_preload_content().read()),
            )
    for what in ("floor", "sdk_call", "sdk_raw"):
        show(f"GET /wallets over loopback / {NAMES[what]}", seconds["ours"], seconds[what], MS)


def sdk_client(simulator: CoboSimulator, environment: Environment, access_token: str) -> ApiClient:
    """Set the official SDK up for the simulator, with a token of ours."""

    class SimulatorConfiguration(Configuration):  # type: ignore[misc]
        @property
        def resp_pubkey(self) -> str:
            """Return the simulator's key; the SDK's own look-up knows Cobo's hosts only."""
            return environment.response_key or ""

    client = ApiClient(SimulatorConfiguration(simulator.app_secret, environment.base_url))
    client.set_default_header("Authorization", f"Bearer {access_token}")
    return client


async def bench_bursts(
    simulator: CoboSimulator, environment: Environment, clock: ManualClock
) -> None:
    """Compare a crowd that finds the token expired with one that finds it fresh."""
    auth = new_auth(simulator, environment, clock)
    seconds: dict[str, list[float]] = {"expired": [], "fresh": []}
    async with auth.async_client() as client:

        async def ask() -> None:
            (await client.get("/wallets")).raise_for_status()

        async def burst() -> float:
            begun = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                for _ in range(BURST_SIZE):
                    tasks.start_soon(ask)
            return time.perf_counter() - begun

        await burst()
        before = simulator.counters.exchanges
        for _ in range(BURSTS):
            clock.advance(13 * 3600)
            seconds["expired"].append(await burst())
            seconds["fresh"].append(await burst())
        renewals = simulator.counters.exchanges - before
    expired, fresh = (statistics.median(seconds[name]) for name in ("expired", "fresh"))
    show(f"burst of {BURST_SIZE} after expiry / burst with a fresh token", expired, fresh, MS)
    print(f"    {renewals} renewals in {BURSTS} expiries")


def bench_import() -> None:
    """Compare the import of the package with that of httpx, and list what it brings along."""
    program = """
import sys, time
begun = time.perf_counter()
import httpx
httpx_alone, before = time.perf_counter(), set(sys.modules)
import httpx_cobo_auth
done = time.perf_counter()
print(httpx_alone - begun, done - httpx_alone)
brought = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(brought - sys.stdlib_module_names))
print(*sorted(brought & sys.stdlib_module_names))
"""
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(IMPORTS)
    ]
    lines = [run.stdout.splitlines() for run in runs]
    httpx_alone, ours = (
        statistics.median(float(first.split()[column]) for first, *_ in lines) for column in (0, 1)
    )
    show("import of the package, httpx being there / import of httpx", ours, httpx_alone, MS)
    _, packages, standard = lines[0]
    print(f"    brings along: {packages}")
    print(f"    of the standard library: {standard}")
    unasked = sorted({*UNASKED} & {*packages.split()})
    print(f"    of {', '.join(UNASKED)}: {' '.join(unasked) or 'none'}")


def new_auth(
    simulator: CoboSimulator, environment: Environment, clock: Clock | None = None
) -> CoboOAuth:
    """Make an auth object for the simulator, on the machine's clocks unless one is given."""
    return CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=environment,
        clock=clock or SystemClock(),
    )


def main() -> None:
    """Print every line."""
    bench_import()
    clock = ManualClock(running=True)
    # All clients share one key, and the SDK's nonces are not unique within a millisecond.
    simulator = CoboSimulator(clock=clock, check_nonce=False)
    with simulator.serve() as environment:
        bench_signing(simulator, environment)
        bench_calls(simulator, environment)
        anyio.run(bench_bursts, simulator, environment, clock)


if __name__ == "__main__":
    main()
