"""The family that the tests run over: httpx, or httpx2 where ``HTTPX_FAMILY`` says so.

Tests take clients, requests and auth classes from here, never from httpx or the package, so
that the same tests run over both. Processes that they start inherit the variable, and so the
family. Type checkers see httpx; httpx2's classes have the same shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.passes import FAMILY

if TYPE_CHECKING or FAMILY == "httpx":
    import httpx

    from httpx_cobo_auth import CoboAuth, CoboOAuth, PortalApp
elif FAMILY == "httpx2":
    import httpx2 as httpx

    from httpx_cobo_auth.httpx2 import CoboAuth, CoboOAuth, PortalApp
else:
    message = f"HTTPX_FAMILY is httpx or httpx2, not {FAMILY!r}"
    raise ValueError(message)

__all__ = ["CoboAuth", "CoboOAuth", "PortalApp", "httpx"]
