"""What an installation can do that has these extras and no others: run by ``make matrix``.

A program and no test, since pytest is an extra, too. It is told the extras that are installed,
uses what they are for, and finds out whether what needs the others says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx_cobo_auth
from httpx_cobo_auth import (
    CoboOAuth,
    ConfigurationError,
    KeyringStore,
    RedisStore,
    StoreUnavailableError,
)
from httpx_cobo_auth.testing import CoboSimulator

if TYPE_CHECKING:
    from collections.abc import Callable

MODULES = {"httpx2": "httpx2", "keyring": "keyring", "redis": "redis", "testing": "pytest"}
"""What each extra installs."""

NOWHERE = "redis://127.0.0.1:1"

USERS_TEST = """
def test_one_renewal_then_the_replay(cobo_client, cobo_simulator):
    cobo_client.get("/wallets").raise_for_status()
    cobo_simulator.revoke_tokens()
    with cobo_simulator.expect(renewals=1, replays=1):
        cobo_client.get("/wallets").raise_for_status()
"""


def call(family: Any = httpx_cobo_auth, **options: Any) -> None:  # noqa: ANN401 - either module
    """Make a call that needs a token."""
    simulator = CoboSimulator()
    auth: CoboOAuth = family.CoboOAuth(**simulator.credentials, **options)
    with auth.client(transport=simulator) as client, simulator.expect(renewals=1):
        client.get("/wallets").raise_for_status()


def use_httpx2() -> None:
    """Make the same call by httpx2."""
    call(importlib.import_module("httpx_cobo_auth.httpx2"))


def use_keyring() -> None:
    """Keep the token in a keyring in memory."""
    from keyring.backend import KeyringBackend  # noqa: PLC0415 - an extra

    entries: dict[tuple[str, str], str] = {}

    class Mine(KeyringBackend):
        priority = 1  # pyright: ignore[reportAssignmentType]  # as its own backends do it

        def get_password(self, service: str, username: str) -> str | None:
            return entries.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            entries[service, username] = password

    mine = Mine()  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:
        call(store=KeyringStore(backend=mine, lock_dir=folder))
    assert entries


def use_redis() -> None:
    """Ask a server that is not there: it takes redis-py to find that out."""
    try:
        call(store=RedisStore(NOWHERE))
    except StoreUnavailableError:
        return
    raise AssertionError(NOWHERE)


def use_testing() -> None:
    """Have pytest run a test that takes the plugin's fixtures, in a folder of a user's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_mine.py").write_text(USERS_TEST, encoding="utf-8")
        pytest = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
        subprocess.run(pytest, cwd=folder, check=True)


def wants(extra: str, wanting: Callable[[], object], kind: type[Exception]) -> None:
    """Find out whether something says which extra it needs."""
    try:
        wanting()
    except kind as error:
        told = str(error)
    else:
        told = "nothing"
    assert f"pip install 'httpx-cobo-auth[{extra}]'" in told, told


def miss_httpx2() -> None:
    """Import its family."""
    wants("httpx2", use_httpx2, ModuleNotFoundError)


def miss_keyring() -> None:
    """Make a store."""
    wants("keyring", KeyringStore, ConfigurationError)


def miss_redis() -> None:
    """Make a store."""
    wants("redis", lambda: RedisStore(NOWHERE), ConfigurationError)


def miss_testing() -> None:
    """Miss nothing: the simulator needs no pytest, as every call here shows."""


def main(*extras: str) -> None:
    """Use all that is installed, and miss all that is not."""
    where = httpx_cobo_auth.__file__
    assert Path(where).is_relative_to(sysconfig.get_path("purelib")), where
    there = {extra for extra, module in MODULES.items() if importlib.util.find_spec(module)}
    assert there == set(extras), there
    for module in pkgutil.walk_packages(httpx_cobo_auth.__path__, "httpx_cobo_auth."):
        if module.name != "httpx_cobo_auth.httpx2":
            importlib.import_module(module.name)
    call()
    for extra in MODULES:
        globals()[f"{'use' if extra in there else 'miss'}_{extra}"]()
    print(f"as told, with {', '.join(extras) or 'no extra'}")  # noqa: T201 - a program


if __name__ == "__main__":
    main(*sys.argv[1:])
