"""Answers of a few kilobytes that unpack to hundreds of megabytes: what they cost.

    python -m benchmarks.soak.bombs 10000

Each is a refusal, so its body is looked at; a program that reads such an answer unpacks it by
itself, and at its own risk, so this one streams it. Prints one line, as JSON.
"""

from __future__ import annotations

import gzip
import importlib
import itertools
import json
import logging
import resource
import subprocess
import sys
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import zstandard

from httpx_cobo_auth import CoboOAuth, Environment
from httpx_cobo_auth.testing import CoboSimulator

__all__ = ["Bombs", "drop"]

brotli: Any = importlib.import_module("brotli")  # It has no types.
UNPACKED = 64 << 20
MOST_GROWTH_KIB = 16 << 10
"""More than this, and a bomb has gone off: one alone would add four times as much."""

_PIECE = bytes(1 << 20)
_STATUSES = 401, 500, 403
_FIRST = 100


@dataclass(frozen=True, slots=True)
class Bombs:
    """What a number of bombs cost.

    Attributes:
        count: how many.
        seconds: they took, all together.
        before_kib: the most memory that the process had had before them, and after the first few.
        after_kib: the same after all.

    """

    count: int
    seconds: float
    before_kib: int
    after_kib: int

    @property
    def went_off(self) -> bool:
        """Whether memory has grown by more than one that does not go off can take."""
        return self.after_kib - self.before_kib > MOST_GROWTH_KIB

    def __str__(self) -> str:
        each = 1e3 * self.seconds / max(1, self.count)
        return (
            f"{self.count} bombs of {UNPACKED >> 20} MiB: {self.seconds:.1f} s, {each:.2f} ms "
            f"each; memory {self.before_kib >> 10} MiB before, {self.after_kib >> 10} MiB at most"
        )


def packed() -> dict[str, bytes]:
    """Pack nothing but zeros by every coding, and by some of them twice."""
    gz, deflate = zlib.compressobj(9, zlib.DEFLATED, 31), zlib.compressobj(9)
    br, zstd = brotli.Compressor(quality=5), zstandard.ZstdCompressor().compressobj()
    makers = {
        "gzip": (gz.compress, gz.flush),
        "deflate": (deflate.compress, deflate.flush),
        "br": (br.process, br.finish),
        "zstd": (zstd.compress, zstd.flush),
    }
    bombs = {
        name: b"".join(add(_PIECE) for _ in range(UNPACKED // len(_PIECE))) + end()
        for name, (add, end) in makers.items()
    }
    bombs["gzip, gzip"] = gzip.compress(bombs["gzip"])
    bombs["zstd, gzip"] = gzip.compress(bombs["zstd"])
    return bombs


class Bomber(httpx.BaseTransport):
    """Answers in place of the API, by one bomb after the other; the token endpoint stays."""

    def __init__(self, simulator: CoboSimulator, bombs: dict[str, bytes]) -> None:
        self._simulator = simulator
        self._bombs = itertools.cycle(itertools.product(_STATUSES, bombs.items()))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if request.url.path.endswith("/oauth/token"):
            return self._simulator.handle_request(request)
        status, (coding, body) = next(self._bombs)
        return httpx.Response(
            status, headers={"Content-Encoding": coding}, stream=httpx.ByteStream(body)
        )


def drop(count: int) -> Bombs:
    """Have that many answered to a process of its own, and return what they cost."""
    command = [sys.executable, "-m", "benchmarks.soak.bombs", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Bombs(**json.loads(done.stdout))


def suffer(count: int) -> Bombs:
    """Be answered by that many."""
    logging.disable()
    simulator = CoboSimulator()
    auth = CoboOAuth(
        client_id=simulator.client_id,
        app_secret=simulator.app_secret,
        org_id=simulator.org_id,
        environment=Environment("bombs", simulator.environment.base_url),
    )
    transport = Bomber(simulator, packed())
    with auth.client(transport=transport) as client:

        def request() -> None:
            with client.stream("GET", "/wallets"):
                pass

        for _ in range(min(count, _FIRST)):
            request()
        before, begun = _most_memory(), time.perf_counter()
        for _ in range(count):
            request()
        seconds = time.perf_counter() - begun
    return Bombs(count, seconds, before, _most_memory())


def _most_memory() -> int:
    """Give the most memory that this process ever had, in KiB."""
    status = Path("/proc/self/status")
    if status.exists():  # What getrusage says there includes the parent's.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> 10 if sys.platform == "darwin" else most


if __name__ == "__main__":
    print(json.dumps(asdict(suffer(int(sys.argv[1])))))
