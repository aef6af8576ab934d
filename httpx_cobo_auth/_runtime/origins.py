"""Credentials go to the environment's origin, by whatever a request names its host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth.errors import UnsignableRequestError, WrongOriginError

if TYPE_CHECKING:
    import httpx

    from httpx_cobo_auth.environment import Environment

__all__ = ["OriginCheck"]

_DEFAULT_PORTS = {"https": 443, "http": 80}


class OriginCheck:
    """Refuses requests that would take credentials anywhere but to one environment."""

    __slots__ = ("_base_url", "_host", "_host_headers", "_origin")

    def __init__(self, environment: Environment) -> None:
        """Note the spellings that are as good as the environment's own."""
        scheme, host, port = environment.origin
        self._base_url = environment.base_url
        # As it goes over the wire: ``URL.host`` gives an internationalized name in letters.
        self._origin = (scheme, host.encode("ascii"), port)
        self._host = host
        named = f"[{host}]" if ":" in host else host
        self._host_headers = {f"{named}:{port or _DEFAULT_PORTS[scheme]}".encode()}
        if port is None:
            self._host_headers.add(named.encode())

    def __call__(self, request: httpx.Request) -> None:
        """Let a request pass, or refuse it.

        Raises:
            WrongOriginError: it goes to another scheme, host or port, or names a user; or its
                ``Host`` header or its extension ``sni_hostname`` names another host: front ends
                choose by these who gets it.
            UnsignableRequestError: an extension replaces the path that would be signed.

        """
        url, extensions = request.url, request.extensions
        if (url.scheme, url.raw_host, url.port) != self._origin or url.userinfo:
            raise WrongOriginError(self._elsewhere(url))
        # Not by ``headers.get``: that first looks for an encoding, and takes long.
        hosts = [value for name, value in request.headers.raw if name.lower() == b"host"]
        if hosts and (len(hosts) > 1 or hosts[0].lower() not in self._host_headers):
            host = b", ".join(hosts).decode("latin-1")
            raise WrongOriginError(self._hidden("header 'Host'", host))
        if "sni_hostname" in extensions:
            self._check_server_name(extensions["sni_hostname"])
        if "target" in extensions:
            message = "the extension 'target' replaces the path on the wire, which is signed"
            raise UnsignableRequestError(message)

    def _check_server_name(self, name: object) -> None:
        if not name:  # httpcore then takes the URL's
            return
        text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        if text.lower() != self._host:
            raise WrongOriginError(self._hidden("extension 'sni_hostname'", text))

    def _elsewhere(self, url: httpx.URL) -> str:
        where = f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
        message = f"credentials for {self._base_url} must not be sent to {where}"
        if url.scheme and url.raw_host:
            return message
        return (
            f"{message}: the request's URL has no host. Give the client "
            f"base_url={self._base_url!r}, or make it by auth.client() or auth.async_client()"
        )

    def _hidden(self, by: str, name: str) -> str:
        return (
            f"credentials for {self._base_url} must not be sent to another host, and the "
            f"request's {by} names {name!r}"
        )
