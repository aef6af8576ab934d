"""``python -m httpx_cobo_auth``, the same as the command ``httpx-cobo-auth``."""

from __future__ import annotations

import sys

from httpx_cobo_auth._cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
