"""The program: which command is meant, and how what goes wrong is told.

Exit codes: 0 done, 1 failed, 2 wrong usage or a setting that cannot be used, 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING

from httpx_cobo_auth import CoboAuthError, ConfigurationError, __version__
from httpx_cobo_auth._cli import check, keys, serve, tokens
from httpx_cobo_auth._cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FAILED", "INTERRUPTED", "USAGE", "main"]

FAILED = 1
USAGE = 2
INTERRUPTED = 130

_PROGRAM = "httpx-cobo-auth"
_EPILOG = """\
Settings are environment variables: COBO_APP_CLIENT_ID, COBO_APP_SECRET, COBO_API_SECRET, COBO_ENV
(or COBO_BASE_URL and COBO_RESPONSE_KEY), COBO_ORG_ID, COBO_TOKEN_STORE.
Exit codes: 0 done, 1 failed, 2 wrong usage or setting, 130 interrupted.
"""
_LOG = logging.getLogger("httpx_cobo_auth")
# Without any handler, Python would print warnings beside the message of the error itself.
_SILENT = logging.NullHandler()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        argv: the arguments after the program's name; by default those of the process.

    Raises:
        SystemExit: wrong usage (2), or help was asked for (0).

    """
    _LOG.addHandler(_SILENT)
    arguments = _parser().parse_args(argv)
    screen = Screen(sys.stdout, as_json=arguments.json)
    try:
        code: int = arguments.run(arguments, screen)
    except CoboAuthError as error:
        screen.data({"error": type(error).__name__, "message": str(error)})
        print(f"{_PROGRAM}: {error}", file=sys.stderr)
        return USAGE if isinstance(error, ConfigurationError) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who read along has gone; Python would complain of that once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Operate Cobo OAuth tokens. No secret is printed unless a flag asks for it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("--json", action="store_true", help="print JSON, for programs")
    settings = argparse.ArgumentParser(add_help=False, parents=[output])
    settings.add_argument(
        "--env", choices=("prod", "dev", "sandbox"), help="instead of COBO_ENV and COBO_BASE_URL"
    )
    settings.add_argument("--store", metavar="URL", help="instead of COBO_TOKEN_STORE")
    one = argparse.ArgumentParser(add_help=False, parents=[settings])
    one.add_argument("--org", metavar="ID", help="instead of COBO_ORG_ID")

    _add_status(commands, settings)
    _add(commands, "renew", tokens.renew, "get a new token now", one)
    _add(commands, "forget", tokens.forget, "drop the token; the next request gets a new one", one)
    _add_keys(commands, output)
    _add(commands, "check", check.check, "check the settings, the clock, the keys, the store", one)
    _add_serve(commands, output)
    return parser
