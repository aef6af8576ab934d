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
    from collections.abc import Callable, Sequence

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no public name  # pyright: ignore[reportPrivateUsage]

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
        sys.stderr.write(f"{_PROGRAM}: {error}\n")
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


def _add(
    commands: _Commands,
    name: str,
    run: Callable[[argparse.Namespace, Screen], int],
    about: str,
    options: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, parents=[options], help=about, description=run.__doc__, allow_abbrev=False
    )
    command.set_defaults(run=run)
    return command


def _add_status(commands: _Commands, settings: argparse.ArgumentParser) -> None:
    about = "show what the store knows of a token"
    command = _add(commands, "status", tokens.status, about, settings)
    whose = command.add_mutually_exclusive_group()
    whose.add_argument("--org", metavar="ID", help="instead of COBO_ORG_ID")
    whose.add_argument("--all", action="store_true", help="of all that the store holds")


def _add_keys(commands: _Commands, output: argparse.ArgumentParser) -> None:
    about = "make a key pair"
    group = commands.add_parser("keys", help=about, description=about, allow_abbrev=False)
    inner = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    about = "an Ed25519 key pair for an app, or an API key"
    command = _add(inner, "generate", keys.generate, about, output)
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="FILE", help="a new file for the secret, with mode 0600")
    where.add_argument("--show-secret", action="store_true", help="print the secret")


def _add_serve(commands: _Commands, output: argparse.ArgumentParser) -> None:
    about = "serve a simulator of Cobo on 127.0.0.1"
    command = _add(commands, "serve", serve.serve, about, output)
    command.add_argument(
        "--port", type=_port, default=serve.DEFAULT_PORT, help="default: %(default)s; 0: any"
    )
    command.add_argument(
        "--token-lifetime",
        type=_seconds,
        default=serve.DEFAULT_LIFETIME_S,
        metavar="SECONDS",
        help="of access tokens; default: %(default)s",
    )


def _port(text: str) -> int:
    return _number(text, 0, 65535)


def _seconds(text: str) -> int:
    return _number(text, 1, 366 * 86400)


def _number(text: str, lowest: int, highest: int) -> int:
    if text.isascii() and text.isdecimal() and lowest <= int(text[:20]) <= highest:
        return int(text)
    message = f"{text!r} is no number from {lowest} to {highest}"
    raise argparse.ArgumentTypeError(message)
