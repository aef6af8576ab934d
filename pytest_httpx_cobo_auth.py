"""Fixtures for pytest, there as soon as the package is installed: Cobo in memory, and a client.

Each is made of those above it, and any of them may be overridden by one of the same name::

    cobo_settings      what is to be different about the simulator; overridden to say so
    cobo_clock         its time, and the client's; stands still until a test moves it
    cobo_simulator     a strict Cobo, and the transport that leads to it
    cobo_environment   asked for, the simulator is served on a loopback socket
    cobo_credentials   what to make a CoboOAuth of, of either family
    cobo_auth          a CoboOAuth for httpx
    cobo_client        a sync client to the simulator
    cobo_async_client  an async client to the simulator

A module of its own, beside the package: pytest imports it whenever it starts, and the package,
with all that it imports, only once a test asks for a fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    import httpx

    from httpx_cobo_auth import CoboOAuth, Environment
    from httpx_cobo_auth.testing import CoboSimulator, Credentials, ManualClock

__all__ = [
    "cobo_async_client",
    "cobo_auth",
    "cobo_client",
    "cobo_clock",
    "cobo_credentials",
    "cobo_environment",
    "cobo_settings",
    "cobo_simulator",
]


@pytest.fixture
def cobo_settings() -> dict[str, Any]:
    """Arguments for ``CoboSimulator``, but for its clock. Override it: by default, none."""
    return {}


@pytest.fixture
def cobo_clock() -> ManualClock:
    """Time of simulator and client alike: ``cobo_clock.advance(13 * 3600)``."""
    from httpx_cobo_auth.testing import ManualClock  # noqa: PLC0415 - not when pytest starts

    return ManualClock()


@pytest.fixture
def cobo_simulator(cobo_clock: ManualClock, cobo_settings: dict[str, Any]) -> CoboSimulator:
    """A Cobo of the test's own, and the transport that leads to it, of httpx and httpx2."""
    from httpx_cobo_auth.testing import CoboSimulator  # noqa: PLC0415 - not when pytest starts

    return CoboSimulator(clock=cobo_clock, **cobo_settings)


@pytest.fixture
def cobo_environment(cobo_simulator: CoboSimulator) -> Generator[Environment]:
    """The simulator on a loopback socket; credentials lead there where a test asks for both."""
    with cobo_simulator.serve() as environment:
        yield environment


@pytest.fixture
def cobo_credentials(request: pytest.FixtureRequest, cobo_simulator: CoboSimulator) -> Credentials:
    """Arguments for ``CoboOAuth``, of either family: ``CoboOAuth(**cobo_credentials)``."""
    if "cobo_environment" in request.fixturenames:
        request.getfixturevalue("cobo_environment")
    return cobo_simulator.credentials


@pytest.fixture
def cobo_auth(cobo_credentials: Credentials) -> CoboOAuth:
    """A ``CoboOAuth`` for httpx. Overridden by one for httpx2, the clients are httpx2's, too."""
    from httpx_cobo_auth import CoboOAuth  # noqa: PLC0415 - not when pytest starts

    return CoboOAuth(**cobo_credentials)


@pytest.fixture
def cobo_client(cobo_auth: CoboOAuth, cobo_simulator: CoboSimulator) -> Generator[httpx.Client]:
    """A client whose transport is the simulator: ``cobo_client.get("/wallets")``."""
    with cobo_auth.client(transport=cobo_simulator) as client:
        yield client


@pytest.fixture
def cobo_async_client(cobo_auth: CoboOAuth, cobo_simulator: CoboSimulator) -> httpx.AsyncClient:
    """The same for asyncio and trio. Nothing has to be closed: there is no connection."""
    return cobo_auth.async_client(transport=cobo_simulator)
