"""httpx requests, signed: the caller's own, and those to the token endpoint."""

from __future__ import annotations

import json
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from httpx_cobo_auth._protocol.effects import ExchangeReply
from httpx_cobo_auth._protocol.signing import canonical_query, request_digest, verified_time
from httpx_cobo_auth._runtime.family import family_of
from httpx_cobo_auth.errors import (
    CoboAuthError,
    RedirectedError,
    ResponseSignatureError,
    SignerError,
    UnsignableRequestError,
    WrongOriginError,
)

if TYPE_CHECKING:
    import httpx

    from httpx_cobo_auth._protocol.records import StoreKey
    from httpx_cobo_auth._protocol.signing import NonceSource, Signer
    from httpx_cobo_auth._protocol.tokens import Token
    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.environment import Environment

__all__ = ["Wire", "check_redirects"]

_SEPARATOR = b"?"


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
        scheme, host, port = environment.origin
        # As it goes over the wire: ``URL.host`` gives an internationalized name in letters.
        self._origin = (scheme, host.encode("ascii"), port)

    def check_origin(self, request: httpx.Request) -> None:
        """Refuse a request that would take credentials anywhere else.

        Raises:
            WrongOriginError: it goes to another scheme, host or port, or names a user.
            UnsignableRequestError: an extension replaces the path that would be signed.

        """
        url = request.url
        if (url.scheme, url.raw_host, url.port) != self._origin or url.userinfo:
            message = (
                f"credentials for {self.environment.base_url} must not be sent to "
                f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
            )
            raise WrongOriginError(message)
        if "target" in request.extensions:
            message = "the extension 'target' replaces the path on the wire, which is signed"
            raise UnsignableRequestError(message)

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
            return self._signer.sign(digest).hex()
        except CoboAuthError:
            raise
        except Exception as error:
            message = f"the signer failed ({type(error).__name__}); nothing was sent"
            raise SignerError(message) from error

    def exchange_request(
        self, member: object, key: StoreKey, spend: Token | None, timeout: float
    ) -> httpx.Request:
        """Build the signed request to the token endpoint, of the caller's own family.

        A request made by hand has no timeout unless it is given one here.
        """
        like: type[httpx.Request] = family_of(member).Request
        extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)}
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        url = self.environment.token_url
        if spend is None:
            query = {
                "client_id": key.client_id,
                "org_id": key.org_id,
                "grant_type": "org_implicit",
            }
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
        self, response: httpx.Response, body: bytes | None, base: float | None = None
    ) -> ExchangeReply:
        """Give what matters of an answer of the token endpoint; ``base``: as for seconds_off."""
        server_time = self._server_time(response, body)
        return ExchangeReply(
            status=response.status_code,
            body=body,
            server_time=server_time,
            seconds_off=self._seconds_off(server_time, base),
            retry_after=_retry_after(response.headers.get("Retry-After"), self._clock),
        )

    def seconds_off(
        self, response: httpx.Response, body: bytes | None, base: float | None = None
    ) -> float | None:
        """Tell how far the nonces lag behind the server's verified time, if that is known.

        ``base`` is that of the nonces when the request was signed: by the time of the answer
        another request's may have corrected them.
        """
        return self._seconds_off(self._server_time(response, body), base)

    def claimed_time(self, response: httpx.Response) -> float | None:
        """Return the time at which the response says that it was signed, unverified."""
        claimed = response.headers.get("Biz-Timestamp") or response.headers.get("BIZ_TIMESTAMP")
        if not claimed or not claimed.isascii() or not claimed.isdecimal():
            return None
        return int(claimed[:20]) / 1000

    def _seconds_off(self, server_time: float | None, base: float | None) -> float | None:
        return self.nonces.seconds_behind(server_time, base) if server_time else None

    def _server_time(self, response: httpx.Response, body: bytes | None) -> float | None:
        key = self.environment.response_key
        if key is None or body is None:
            return None
        headers = response.headers
        return verified_time(
            key, body, headers.get("Biz-Timestamp"), headers.get("Biz-Resp-Signature")
        )

    def verify(self, response: httpx.Response, body: bytes | None) -> None:
        """Refuse an answer as the official SDK does (cobo-waas2 1.46).

        A badly signed one is refused whatever its status, an unsigned one if it is a
        success; an unsigned error comes from a gateway on the way, and passes.

        Raises:
            ResponseSignatureError: it is refused.

        """
        signed = {"Biz-Timestamp", "Biz-Resp-Signature"} <= _present(response)
        if not signed and not response.is_success:
            return
        if self._server_time(response, body) is None:
            how = "badly signed" if signed else "not signed"
            message = f"the answer (HTTP {response.status_code}) is {how}; it may be forged"
            raise ResponseSignatureError(message)


def check_redirects(response: httpx.Response, wire: Wire, *, exchange: bool) -> None:
    """Notice that httpx followed a redirect, below the auth layer, credentials and all.

    Raises:
        RedirectedError: the redirect led to another origin, or it was an exchange.

    """
    hops = [earlier for earlier in response.history if earlier.has_redirect_location]
    if not hops:
        return
    if exchange:
        message = (
            "the token endpoint redirected the exchange and the client followed; its tokens "
            "count as exposed. Use auth.client(), or a client with follow_redirects=False"
        )
        raise RedirectedError(message)
    try:
        for request in (*(hop.request for hop in hops), response.request):
            wire.check_origin(request)
    except WrongOriginError as error:
        message = (
            f"a redirect was followed with credentials on board: {error}. The token counts as "
            "exposed. Use auth.client(), or a client with follow_redirects=False"
        )
        raise RedirectedError(message) from None


def _refresh_body(key: StoreKey, spend: Token) -> bytes:
    return json.dumps(
        {
            "client_id": key.client_id,
            "grant_type": "refresh_token",
            "refresh_token": spend.refresh_token,
        }
    ).encode()


def _present(response: httpx.Response) -> set[str]:
    return {name for name in ("Biz-Timestamp", "Biz-Resp-Signature") if response.headers.get(name)}


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
