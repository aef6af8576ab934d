"""httpx requests, signed: the caller's own, and those to the token endpoint."""

from __future__ import annotations

import json
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from httpx_cobo_auth._protocol.effects import ExchangeReply
from httpx_cobo_auth._protocol.freshness import ReplyAge, ServerClock
from httpx_cobo_auth._protocol.signing import (
    canonical_query,
    request_digest,
    signature_headers,
    verified_time,
)
from httpx_cobo_auth._runtime.origins import OriginCheck
from httpx_cobo_auth.errors import CoboAuthError, ResponseSignatureError, SignerError

if TYPE_CHECKING:
    import httpx

    from httpx_cobo_auth._protocol.nonces import NonceSource
    from httpx_cobo_auth._protocol.records import StoreKey
    from httpx_cobo_auth._protocol.reply_body import ReplyBody
    from httpx_cobo_auth._protocol.signing import Signer
    from httpx_cobo_auth._protocol.tokens import Token
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment

__all__ = ["Wire"]

_SEPARATOR = b"?"
_OUR_NAME = "httpx-cobo-auth"


class Wire:
    """What turns tokens and requests into what goes over the wire, for one environment."""

    def __init__(
        self, environment: Environment, signer: Signer, nonces: NonceSource, clock: Clock
    ) -> None:
        """Bind the key to the environment."""
        self.environment = environment
        self.nonces = nonces
        self._signer = signer
        self._clock = clock
        self._server_clock = ServerClock()
        self.check_origin = OriginCheck(environment)

    def sign(self, request: httpx.Request, token: Token | None) -> None:
        """Sign anew, over what will be sent, and attach the token."""
        path, separator, query = request.url.raw_path.partition(_SEPARATOR)
        if separator:
            canonical = canonical_query(query)
            if canonical != query:
                request.url = request.url.copy_with(query=canonical or None)
                path, _, query = request.url.raw_path.partition(_SEPARATOR)
        nonce = str(self.nonces.next())
        digest = request_digest(request.method, path, nonce, query, request.content)
        signer, headers = self._signer, request.headers
        headers["Biz-Api-Key"] = signer.public_key
        headers["Biz-Api-Nonce"] = nonce
        headers["Biz-Api-Signature"] = self._signature(digest)
        if token is not None:
            headers["Authorization"] = "Bearer " + token.access_token

    def _signature(self, digest: bytes) -> str:
        try:
            try:
                return self._signer.sign(digest).hex()
            except (ConnectionError, TimeoutError, RuntimeError):
                # A key service that hiccups, perhaps. Nothing was sent, so once more does no harm.
                return self._signer.sign(digest).hex()
        except CoboAuthError:
            raise
        except Exception as error:
            message = f"the signer failed ({type(error).__name__}); nothing was sent"
            raise SignerError(message) from error

    def exchange_request(
        self,
        like: type[httpx.Request],
        key: StoreKey,
        spend: Token | None,
        timeout: float,
        *,
        sender: httpx.Request | httpx.Client | httpx.AsyncClient | None = None,
        again: bool = False,
    ) -> httpx.Request:
        """Build the signed request to the token endpoint, of the caller's own family.

        A request made by hand has no timeout unless it is given one here, and no default headers
        of its client. Gateways refuse requests without a ``User-Agent``.

        Args:
            like: the class of requests.
            key: whose token.
            spend: the token whose refresh token is sent; ``None`` for ``org_implicit``.
            timeout: seconds for each of connecting, writing, reading and getting a connection.
            sender: whose ``User-Agent`` it carries: the client that sends it, or the request in
                whose flow it travels.
            again: ``org_implicit`` by a URL that says the same, but is another to a cache.

        """
        extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)}
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-store, no-cache",  # neither keep it nor answer from what was kept
            "Pragma": "no-cache",  # the same, to caches from before HTTP/1.1
            "User-Agent": sender.headers.get("User-Agent", "") if sender is not None else "",
        }
        headers["User-Agent"] = headers["User-Agent"] or _OUR_NAME
        url = self.environment.token_url
        if spend is None:
            query = {
                "client_id": key.client_id,
                "org_id": key.org_id,
                "grant_type": "org_implicit",
            }
            if again:
                query = dict(reversed(query.items()))
            request = like(
                "GET", f"{url}?{urlencode(query)}", headers=headers, extensions=extensions
            )
        else:
            headers["Content-Type"] = "application/json"
            request = like(
                "POST",
                url,
                headers=headers,
                content=_refresh_body(key, spend),
                extensions=extensions,
            )
        self.check_origin(request)
        self.sign(request, None)
        return request

    def exchange_answer(
        self,
        response: httpx.Response,
        body: ReplyBody | bytes | None,
        base: float,
        sent_at: float,
    ) -> ExchangeReply:
        """Return what matters of an answer of the token endpoint.

        Args:
            response: of which only status and headers are read.
            body: taken out of it; ``None`` where it was too long.
            base: as for ``seconds_off``.
            sent_at: as for ``seconds_off``.

        """
        server_time = self._server_time(response, body)
        return ExchangeReply(
            status=response.status_code,
            body=None if body is None else bytes(body),
            server_time=server_time,
            seconds_off=self._seconds_off(server_time, base, sent_at),
            retry_after=_retry_after(response.headers.get("Retry-After"), self._clock),
            age=self._reply_age(response, server_time, base, sent_at),
        )

    def _reply_age(
        self,
        response: httpx.Response,
        server_time: float | None,
        base: float,
        sent_at: float,
    ) -> ReplyAge | None:
        """Return how old an answer of the token endpoint is; ``None`` where it does not tell.

        Args:
            response: the answer.
            server_time: the time at which it was signed; ``None`` or 0.0 where that is not known.
            base: as for ``seconds_off``.
            sent_at: as for ``seconds_off``.

        """
        at_least = float("inf") if _is_from_cache(response.headers.get("Age")) else 0.0
        if not server_time:
            return ReplyAge(at_least, 0.0, 0.0, sent_at, "") if at_least else None
        _, signature = signature_headers(response.headers.get)
        return ReplyAge(
            at_least=max(at_least, self._server_clock.not_before(sent_at) - server_time),
            by_our_clock=self.nonces.time(sent_at, base) - server_time,
            signed_at=server_time,
            sent_at=sent_at,
            signature=signature or "",
        )

    def claimed_time(self, response: httpx.Response) -> float | None:
        """Return the time at which the response says that it was signed, unverified."""
        claimed, _ = signature_headers(response.headers.get)
        if claimed is None or not claimed.isascii() or not claimed.isdecimal():
            return None
        return int(claimed[:20]) / 1000

    def seconds_off(
        self,
        response: httpx.Response,
        body: bytes | None,
        base: float | None = None,
        sent_at: float | None = None,
    ) -> float | None:
        """Return how far the nonces lag behind the server's verified time, if that is known.

        Args:
            response: the answer.
            body: of the answer, decoded.
            base: of the nonces when the request was signed: by the time of the answer another
                request's may have corrected them.
            sent_at: the monotonic clock when it was signed. A server that made its answer at
                any time from then until now is not off, however long the answer took.

        """
        return self._seconds_off(self._server_time(response, body), base, sent_at)

    def _seconds_off(
        self, server_time: float | None, base: float | None, sent_at: float | None
    ) -> float | None:
        return self.nonces.seconds_behind(server_time, base, sent_at) if server_time else None

    def _server_time(
        self, response: httpx.Response, body: ReplyBody | bytes | None
    ) -> float | None:
        key = self.environment.response_key
        if key is None or body is None:
            return None
        server_time = verified_time(key, body, *signature_headers(response.headers.get))
        if server_time:
            self._server_clock.saw(server_time, self._clock.monotonic())
        return server_time

    def verify(self, response: httpx.Response, body: bytes | None) -> None:
        """Refuse an answer as the official SDK does (cobo-waas2 1.46).

        A badly signed one is refused whatever its status, an unsigned one if it is a
        success; an unsigned error comes from a gateway on the way, and passes.

        Raises:
            ResponseSignatureError: it is refused.

        """
        signed = None not in signature_headers(response.headers.get)
        if not signed and not response.is_success:
            return
        if self._server_time(response, body) is None:
            how = "badly signed" if signed else "not signed"
            message = f"the answer (HTTP {response.status_code}) is {how}; it may be forged"
            raise ResponseSignatureError(message)


def _refresh_body(key: StoreKey, spend: Token) -> bytes:
    return json.dumps(
        {
            "client_id": key.client_id,
            "grant_type": "refresh_token",
            "refresh_token": spend.refresh_token,
        }
    ).encode()


def _is_from_cache(age: str | None) -> bool:
    # RFC 9111, section 5.1: seconds, and to be ignored if it is anything else. Some proxies say 0
    # of what they have just fetched.
    return age is not None and age.strip().isdecimal() and age.strip("0 \t") != ""


def _retry_after(value: str | None, clock: Clock) -> float | None:
    if not value:
        return None
    if value.strip().isdecimal() and value.isascii():
        return float(value.strip()[:9])
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:  # HTTP dates are in GMT, also in the form that does not say so.
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - clock.time())
    except (ValueError, OverflowError):
        return None
