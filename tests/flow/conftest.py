"""What tests of whole requests need besides a rig."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.testing import ManualClock


@pytest.fixture
def sleeps_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[ManualClock], None]:
    """Have the sync driver's pauses advance that clock, instead of taking real time."""

    def pass_on(clock: ManualClock) -> None:
        time = SimpleNamespace(sleep=clock.advance)
        monkeypatch.setattr("httpx_cobo_auth._runtime.backends.time", time)

    return pass_on
