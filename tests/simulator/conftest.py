"""A client of the simulator, its token, and the address of the simulator behind a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulated import App

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx_cobo_auth.testing import CoboSimulator


@pytest.fixture
def app(simulator: CoboSimulator) -> App:
    return App(simulator)


@pytest.fixture
def bearer(simulator: CoboSimulator) -> str:
    return simulator.issue_token().access_token


@pytest.fixture
def base(simulator: CoboSimulator) -> Iterator[str]:
    """Address of the simulator behind a real socket."""
    with simulator.serve() as environment:
        yield environment.base_url.removesuffix("/v2")
