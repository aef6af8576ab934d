"""Explore from the command line: ``python -m tests.exploration [name ...]``.

``EXPLORE_DEEP=n`` lets each caller be cancelled or fail n times, all of them in the same run.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.exploration.explore import explore_named
from tests.exploration.scenarios import BY_NAME, SCENARIOS


def main() -> None:
    """Explore all scenarios whose name contains one of the arguments."""
    deep = int(os.environ.get("EXPLORE_DEEP", "0"))
    names = BY_NAME if deep else [scenario.name for scenario in SCENARIOS]
    chosen = [name for name in names if any(part in name for part in sys.argv[1:] or [""])]
    states = 0
    # As many as there are processors: each holds all the states of its scenario.
    with ProcessPoolExecutor(max_tasks_per_child=1) as pool:
        for explored in pool.map(explore_named, chosen, [deep] * len(chosen)):
            states += explored.states
            print(explored, flush=True)  # noqa: T201 - that is what it is for
    print(f"{states:,} states in {len(chosen)} scenarios")  # noqa: T201


if __name__ == "__main__":
    main()
