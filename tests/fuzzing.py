"""How much is tried at random: bounded and the same each time, or on request more, and new."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

__all__ = ["fuzz"]

_TIMES = int(os.environ.get("COBO_FUZZ", "1"))
"""How many times as much is to be tried; what, is random then."""


def fuzz(examples: int, **more: Any) -> settings:  # noqa: ANN401 - settings of Hypothesis
    """Return the settings of a test that takes so many examples."""
    return settings(
        max_examples=examples * _TIMES,
        derandomize=_TIMES == 1,
        deadline=None,
        database=None,
        print_blob=True,
        **more,
    )
