"""Cobo's official SDK, its requests sent by a client that signs them and keeps the token fresh.

The SDK brings its models and operations; httpx and this package bring connections, signatures,
tokens, renewals and replays. So everything promised of them holds for calls of the SDK, too.

``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET``, ``COBO_ENV`` and ``COBO_ORG_ID`` say who asks;
``COBO_TOKEN_STORE`` where several processes share the token.
"""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cobo_waas2
from cobo_waas2.rest import RESTResponse

from httpx_cobo_auth import CoboOAuth

if TYPE_CHECKING:
    import httpx

waas: Any = cobo_waas2  # generated code, typed in part


class HttpxRest:
    """Takes the place of the SDK's ``rest_client``, which sends requests by urllib3."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def request(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        body: object = None,
        post_params: object = None,
        _request_timeout: float | None = None,
    ) -> Any:  # noqa: ANN401
        """Send a request; the SDK's own signature headers are replaced on the way."""
        if post_params:
            message = "forms are not passed on: send them by the client itself"
            raise NotImplementedError(message)
        answer = self._client.request(
            method,
            url,
            headers=headers,
            # As the SDK writes it; it is signed as it is sent.
            content=None if body is None else json.dumps(body),
            timeout=_request_timeout or self._client.timeout,
        )
        return RESTResponse(
            SimpleNamespace(
                status=answer.status_code,
                reason=answer.reason_phrase,
                data=answer.content,
                headers=answer.headers,
            )
        )


def sdk_client(auth: CoboOAuth, client: httpx.Client) -> Any:  # noqa: ANN401
    """Return an ``ApiClient`` of the SDK that sends by this client."""
    # The SDK verifies answers as well, and knows no other keys than those of Cobo's environments.
    key = {"resp_pubkey": auth.environment.response_key}
    configuration = type("Configuration", (waas.Configuration,), key)
    sdk = waas.ApiClient(
        configuration(
            # The SDK wants to sign as well. Any key will do: what it signs is signed anew.
            api_private_key=os.urandom(32).hex(),
            host=auth.environment.base_url,
        )
    )
    sdk.rest_client = HttpxRest(client)
    return sdk


def main() -> None:
    """List the organization's wallets, as the SDK's models."""
    auth = CoboOAuth.from_env()
    with auth.client() as client:
        wallets = waas.WalletsApi(sdk_client(auth, client))
        for wallet in wallets.list_wallets(limit=50).data:
            print(wallet.actual_instance.wallet_id, wallet.actual_instance.name)


if __name__ == "__main__":
    main()
