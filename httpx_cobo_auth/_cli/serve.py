"""``serve``: the simulator on a fixed port, for tests in any language."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from httpx_cobo_auth import CoboAuthError, Ed25519Signer
from httpx_cobo_auth.clock import SystemClock
from httpx_cobo_auth.testing import CoboSimulator

if TYPE_CHECKING:
    import argparse

    from httpx_cobo_auth import Environment
    from httpx_cobo_auth._cli.screen import Screen

__all__ = ["DEFAULT_LIFETIME_S", "DEFAULT_PORT", "PortError", "serve"]

DEFAULT_PORT = 8642
DEFAULT_LIFETIME_S = CoboSimulator.token_lifetime

# Made up, and no key to anything but a simulator; another one than the app's, as in real life.
_API_SECRET = "5e" * 32


class PortError(CoboAuthError):
    """Nothing can be served on that port."""


def serve(arguments: argparse.Namespace, screen: Screen) -> int:
    """Serve until interrupted, and show the variables that lead a client there."""
    simulator = CoboSimulator(clock=SystemClock(), token_lifetime=arguments.token_lifetime)
    simulator.add_api_key(Ed25519Signer(_API_SECRET).public_key)
    with contextlib.ExitStack() as stack:
        try:
            served = stack.enter_context(simulator.serve(port=arguments.port))
        except OSError as error:
            message = (
                f"cannot serve on port {arguments.port}: {error.strerror}. Choose another by "
                "--port; 0 is any that is free"
            )
            raise PortError(message) from None
        variables = _variables(simulator, served)
        screen.data(variables)
        screen.text("# A simulator of Cobo, until Ctrl-C. Its secrets are made up.")
        for name, value in variables.items():
            screen.text(f"export {name}={value}")
        with contextlib.suppress(KeyboardInterrupt):
            _wait()
    return 0


def _wait() -> None:
    """Wait until interrupted."""
    threading.Event().wait()


def _variables(simulator: CoboSimulator, served: Environment) -> dict[str, str]:
    return {
        "COBO_BASE_URL": served.base_url,
        "COBO_RESPONSE_KEY": str(served.response_key),
        "COBO_APP_CLIENT_ID": simulator.client_id,
        "COBO_APP_SECRET": simulator.app_secret,
        "COBO_ORG_ID": simulator.org_id,
        "COBO_API_SECRET": _API_SECRET,
    }
