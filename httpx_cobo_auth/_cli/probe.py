"""Signed requests that need no token, and what their answers say of endpoint, clock and key.

Cobo verifies key, nonce and signature before it looks at a token. So a request without a token
shows whether the key is accepted, and disturbs nobody: no token is issued or replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from httpx_cobo_auth import CoboAuth
from httpx_cobo_auth._cli.finding import failed, ok, skipped
from httpx_cobo_auth._protocol.signing import signature_headers, verified_time
from httpx_cobo_auth._protocol.verdicts import error_code_of
from httpx_cobo_auth.clock import SystemClock

if TYPE_CHECKING:
    from httpx_cobo_auth import Environment, Signer
    from httpx_cobo_auth._cli.finding import Finding

__all__ = ["PATH", "QUERY", "Answer", "ask", "clock_finding", "endpoint_finding", "key_finding"]

PATH = "/wallets"
QUERY = {"limit": "1"}
"""A read that every key may try."""

_TIMEOUT_S = 10.0
_GOOD_CLOCK_S = 30.0
"""Half of what Cobo lets pass: a clock that is off by more will soon be off by too much."""
_CLOCK = SystemClock()
# Cobo's documentation, "Error codes": of the signature, the nonce and the key.
_NOT_ACCEPTED = frozenset({2022, 2023, 2024})


@dataclass(frozen=True, slots=True)
class Answer:
    """What is of interest in an answer.

    Attributes:
        status: of HTTP.
        error_code: Cobo's; ``None`` where there is none.
        signed: whether it is signed by the environment's key.
        seconds_ahead: by which the server's clock is ahead of ours beyond what the request's
            duration explains; ``None`` where its time is not known.

    """

    status: int
    error_code: int | None
    signed: bool
    seconds_ahead: float | None


def ask(environment: Environment, signer: Signer) -> Answer | str:
    """Return what a signed request is answered, or the name of the error if it is not."""
    auth = CoboAuth(api_secret=signer, environment=environment)
    began = _CLOCK.time()
    try:
        with httpx.Client(
            base_url=environment.base_url, auth=auth, timeout=_TIMEOUT_S, follow_redirects=False
        ) as client:
            response = client.get(PATH, params=QUERY)
    except httpx.HTTPError as error:
        return type(error).__name__
    return _answer(environment, response, began, _CLOCK.time())


def _answer(
    environment: Environment, response: httpx.Response, began: float, ended: float
) -> Answer:
    at: float | None = None
    if environment.response_key is not None:
        pair = signature_headers(response.headers.get)
        at = verified_time(environment.response_key, response.content, *pair)
    return Answer(
        response.status_code,
        error_code_of(response.content),
        signed=at is not None,
        # 0.0: a timestamp that is signed, and no number.
        seconds_ahead=min(0.0, at - began) + max(0.0, at - ended) if at else None,
    )


def endpoint_finding(environment: Environment, answer: Answer | str) -> Finding:
    """Return whether it is Cobo's API that answered."""
    if isinstance(answer, str):
        return failed(
            "endpoint",
            f"no answer from {environment.base_url} ({answer}): check the base URL, DNS, firewall "
            "and proxy of this machine",
        )
    if answer.error_code is not None or 200 <= answer.status < 300:  # noqa: PLR2004 - 2XX
        return ok("endpoint", "Cobo's API answers")
    path = " It should end in /v2." if not environment.base_url.endswith("/v2") else ""
    return failed(
        "endpoint",
        f"{environment.base_url} answers (HTTP {answer.status}), but not as Cobo's API does: check "
        f"the base URL, and whether a proxy answers in its place.{path}",
    )


def clock_finding(environment: Environment, answer: Answer) -> Finding:
    """Return whether this machine's clock agrees with the server's, as far as that is known."""
    if environment.response_key is None:
        return skipped("clock", "the server's time cannot be verified without COBO_RESPONSE_KEY")
    if not answer.signed:
        return failed(
            "clock",
            "the answer is not signed by this environment's key: check the environment, and "
            "whether a proxy answers in its place",
        )
    off = answer.seconds_ahead
    if off is None:
        return skipped("clock", "the answer does not say the server's time")
    if abs(off) <= _GOOD_CLOCK_S:
        return ok("clock", f"within {_GOOD_CLOCK_S:.0f} s of the server's")
    side = "behind" if off > 0 else "ahead of"
    return failed(
        "clock",
        f"{abs(off):.0f} s {side} the server's: have this machine follow a time server (NTP)",
    )


def key_finding(name: str, signer: Signer, answer: Answer | str) -> Finding:
    """Return whether the key is accepted; its public half is no secret."""
    key = f"public key {signer.public_key}"
    if isinstance(answer, str):
        return failed(name, f"{key}: no answer ({answer})")
    if answer.error_code in _NOT_ACCEPTED:
        return failed(
            name,
            f"{key} is not accepted (code {answer.error_code}): compare it with the manifest's "
            "client_key, or the API key in Cobo Portal; is it of this environment, active already, "
            "and is this machine's address allowed?",
        )
    if answer.error_code is None and not 200 <= answer.status < 300:  # noqa: PLR2004 - 2XX
        return failed(name, f"{key}: no answer of Cobo's API (HTTP {answer.status})")
    return ok(name, f"{key} is accepted")
