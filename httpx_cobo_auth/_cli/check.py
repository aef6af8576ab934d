"""``check``: whether a program with these settings would work, and what to do if it would not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from httpx_cobo_auth import CoboAuthError, CoboOAuth
from httpx_cobo_auth._auth.from_env import app_from_env, key_from_env, oauth_from_env
from httpx_cobo_auth._cli.chosen import store_of
from httpx_cobo_auth._cli.finding import Finding, Verdict, failed, ok, skipped
from httpx_cobo_auth._cli.probe import (
    PATH,
    QUERY,
    ask,
    clock_finding,
    endpoint_finding,
    key_finding,
)
from httpx_cobo_auth._protocol.records import StoreKey

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Iterator

    from httpx_cobo_auth import Environment, Signer, TokenStore
    from httpx_cobo_auth._cli.screen import Screen

__all__ = ["check"]

_LOCK_TTL_S = 10.0
_FORBIDDEN = 403
_NO_STORE = (
    "COBO_TOKEN_STORE is not set: each process keeps tokens of its own, in memory. Name a store if "
    "there is more than one process"
)
_WITHOUT_STORE = (
    "no token is asked for without a store that your programs use: it could replace theirs. Set "
    "COBO_TOKEN_STORE, for example to file:/var/lib/my-app/cobo-tokens"
)
_WITHOUT_ORG = "set COBO_ORG_ID, or --org, to ask for the token of an organization"
_SOMEBODY = "00000000-0000-0000-0000-000000000000"
"""Stands for an organization where none is given; nothing is saved for it."""


def check(arguments: argparse.Namespace, screen: Screen) -> int:
    """Check the settings, the clock, the keys and the store: each line ok, or what to do."""
    findings: list[Finding] = []
    for finding in _findings(arguments):
        findings.append(finding)
        screen.text(finding.line(screen))
    bad = any(finding.verdict is Verdict.FAILED for finding in findings)
    screen.data({"ok": not bad, "checks": [finding.data() for finding in findings]})
    return int(bad)


def _findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    try:
        setup = _setup(arguments)
    except CoboAuthError as error:
        yield failed("settings", str(error))
        return
    yield _environment_finding(setup.environment)
    well = yield from _keys(setup)
    if setup.app is not None:
        yield from _tokens(arguments, setup, setup.app, well=well)


@dataclass(frozen=True, slots=True)
class _App:
    client_id: str
    signer: Signer
    org_id: str | None


@dataclass(frozen=True, slots=True)
class _Setup:
    environment: Environment
    signers: dict[str, Signer]
    app: _App | None


def _setup(arguments: argparse.Namespace) -> _Setup:
    """Return what is set: of an app, of an API key, or of both.

    Raises:
        ConfigurationError: something is missing, or cannot be used.

    """
    signers: dict[str, Signer] = {}
    if os.environ.get("COBO_API_SECRET"):
        key = key_from_env(arguments.env)
        signers["API key"] = key["api_secret"]
        if not os.environ.get("COBO_APP_CLIENT_ID") and not os.environ.get("COBO_APP_SECRET"):
            return _Setup(key["environment"], signers, None)
    org_id: str | None = None
    if arguments.org or os.environ.get("COBO_ORG_ID"):
        org_id = oauth_from_env(arguments.org, arguments.env)["org_id"]
    app = app_from_env(arguments.env)
    signers = {"app key": app["app_secret"], **signers}
    return _Setup(app["environment"], signers, _App(app["client_id"], app["app_secret"], org_id))


def _environment_finding(environment: Environment) -> Finding:
    what = f"{environment.name}, {environment.base_url}"
    if environment.response_key is None:
        return ok("environment", f"{what}; answers are not verified (no COBO_RESPONSE_KEY)")
    return ok("environment", f"{what}; answers are verified")


# ------------------------------------------------------------------------ endpoint, clock, keys
def _keys(setup: _Setup) -> Generator[Finding, None, bool]:
    """Yield what requests signed by each key say; return whether the app's key may go on."""
    answers = {name: ask(setup.environment, signer) for name, signer in setup.signers.items()}
    name, answer = next(iter(answers.items()))
    endpoint = endpoint_finding(setup.environment, answer)
    yield endpoint
    if isinstance(answer, str) or endpoint.verdict is Verdict.FAILED:
        for name, signer in setup.signers.items():
            yield skipped(name, f"public key {signer.public_key}, which could not be tried")
        return False
    yield clock_finding(setup.environment, answer)
    findings = [key_finding(name, setup.signers[name], answers[name]) for name in answers]
    yield from findings
    return findings[0].verdict is Verdict.OK


# ------------------------------------------------------------------------------ store and token
def _tokens(
    arguments: argparse.Namespace, setup: _Setup, app: _App, *, well: bool
) -> Iterator[Finding]:
    try:
        store = store_of(arguments)
    except CoboAuthError as error:
        yield failed("store", str(error))
        return
    if store is None or not store.shared:
        yield skipped("store", _NO_STORE)
        yield skipped("token", _WITHOUT_STORE)
        return
    key = StoreKey(setup.environment.base_url, app.client_id, app.org_id or _SOMEBODY)
    finding = _store_finding(store, key)
    yield finding
    if finding.verdict is Verdict.FAILED or not well:
        yield skipped("token", "not asked for, because of the above")
    elif app.org_id is None:
        yield skipped("token", _WITHOUT_ORG)
    else:
        yield _token_finding(
            CoboOAuth(
                client_id=app.client_id,
                app_secret=app.signer,
                org_id=app.org_id,
                environment=setup.environment,
                store=store,
            )
        )


def _store_finding(store: TokenStore, key: StoreKey) -> Finding:
    what = repr(store).strip("<>")
    try:
        store.load(key)
        lock = store.try_lock(key, ttl=_LOCK_TTL_S)
    except CoboAuthError as error:
        return failed("store", str(error))
    if lock is None:
        return ok("store", f"{what}, readable; another process holds its lock at the moment")
    lock.release()
    return ok("store", f"{what}, readable and lockable")


def _token_finding(auth: CoboOAuth) -> Finding:
    """Return whether there is a token for the organization, and whether the API accepts it."""
    try:
        with auth.client() as client:
            auth.token(client)
            response = client.get(PATH, params=QUERY)
    except CoboAuthError as error:
        return failed("token", str(error))
    except httpx.HTTPError as error:
        return failed("token", f"no answer to a request with the token ({type(error).__name__})")
    if response.is_success:
        return ok("token", f"of organization {auth.org_id}, accepted")
    if response.status_code == _FORBIDDEN:
        return ok("token", f"of organization {auth.org_id}, accepted, but not for {PATH}")
    return failed(
        "token",
        f"of organization {auth.org_id}, not accepted (HTTP {response.status_code}): try again, "
        "and look at this response's body by a request of your own",
    )
