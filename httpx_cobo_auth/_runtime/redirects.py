"""Redirects that httpx followed below the auth layer, credentials and all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth.errors import RedirectedError, WrongOriginError

if TYPE_CHECKING:
    import httpx

    from httpx_cobo_auth._runtime.requests import Wire

__all__ = ["check_redirects"]


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
