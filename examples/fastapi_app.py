"""A Portal App's backend: several workers, many organizations, one store of tokens.

Run it with ``uvicorn fastapi_app:api --workers 4`` and these variables:

- ``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET``, ``COBO_ENV``: the app, as Cobo's tools name it.
- ``COBO_ORG_IDS``: the organizations that the app serves, comma between them. An app of your
  own will look them up in its database.
- ``COBO_TOKEN_STORE``: where the workers share tokens: ``file:/var/lib/my-app/tokens`` on one
  host, ``redis://…`` or ``postgresql+psycopg://…`` on several.

It needs PyJWT with ``cryptography`` beside FastAPI, for Cobo's User Info Tokens.
"""

import contextlib
import functools
import logging
import os
from collections.abc import AsyncGenerator
from typing import Annotated, Any, TypedDict

import anyio
import httpx
import jwt
from anyio.abc import TaskGroup
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

from httpx_cobo_auth import (
    CoboAuthError,
    PortalApp,
    ResponseSignatureError,
    TokenRefusedError,
)
from httpx_cobo_auth.callback import ApprovalCallback, verify_signed

logger = logging.getLogger(__name__)
organizations = frozenset(os.environ["COBO_ORG_IDS"].lower().split(","))
portal = PortalApp.from_env()
callback = ApprovalCallback(known=organizations.__contains__)

ISSUER = "https://portal.dev.cobo.com/"  # as documented; of "dev"
OLDEST_EVENT_S = 300.0


class State(TypedDict):
    """What every request finds in ``request.state``."""

    cobo: httpx.AsyncClient
    tasks: TaskGroup


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[State]:
    """Keep one client for each worker, and tokens fresh in hours without a request."""
    async with (
        portal.async_client() as cobo,
        portal.keep_fresh(cobo),
        anyio.create_task_group() as tasks,
    ):
        yield {"cobo": cobo, "tasks": tasks}
        tasks.cancel_scope.cancel()


api = FastAPI(lifespan=lifespan)


# ------------------------------------------------------------------- the page in Cobo's Portal
@functools.cache
def signing_keys() -> jwt.PyJWKClient:
    """Return the keys of User Info Tokens, which PyJWT fetches and keeps for five minutes."""
    return jwt.PyJWKClient(f"{portal.environment.base_url}/oauth/authorize/jwks.json")


def user(authorization: Annotated[str, Header()]) -> dict[str, Any]:
    """Say who uses the page: its script sends the token that Cobo's UI toolkit gave it."""
    token = authorization.removeprefix("Bearer ")
    try:
        # By the key's own algorithm: what the token says of it is whatever its sender likes.
        key = signing_keys().get_signing_key_from_jwt(token)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=os.environ["COBO_APP_CLIENT_ID"],
            issuer=ISSUER,
            options={"require": ["exp", "iss", "aud"]},
        )
    except jwt.PyJWTError as error:
        raise HTTPException(401) from error
    return claims


@api.get("/organizations/{org_id}/wallets")
async def wallets(
    org_id: str, request: Request, who: Annotated[dict[str, Any], Depends(user)]
) -> Response:
    """List an organization's wallets, to its own people."""
    if org_id not in organizations or who.get("org_id") != org_id:
        raise HTTPException(404)
    cobo: httpx.AsyncClient = request.state.cobo
    answer = await cobo.get("/wallets", auth=portal.org(org_id))
    return Response(answer.content, answer.status_code, media_type="application/json")


# ------------------------------------------------------------------------- what Cobo calls
@api.api_route("/cobo/callback", methods=["GET", "POST"])
async def approved(request: Request) -> Response:
    """Take Cobo's call: an organization has installed the app, or changed its settings.

    Anybody can make this call. So it is believed in small doses only, and the answer does
    not tell who is a customer.
    """
    approval = callback.take(request.query_params)
    if approval is None:
        raise HTTPException(400)
    if approval.renew_in is not None:
        tasks: TaskGroup = request.state.tasks
        tasks.start_soon(renew, request.state.cobo, approval.org_id, approval.renew_in)
    return Response(status_code=204)


async def renew(cobo: httpx.AsyncClient, org_id: str, delay: float) -> None:
    """Get a new token, which knows of the change. A restart of the worker forgets the delayed."""
    await anyio.sleep(delay)
    try:
        await portal.org(org_id).arenew(cobo)
    except Exception:  # whatever it is: it would end all tasks of the group
        logger.exception("no new token for %s", org_id)


@api.post("/cobo/webhook")
async def event(request: Request) -> Response:
    """Take an event. It may come twice, and out of order: note it now, and work on it later."""
    body = await request.body()
    try:
        verify_signed(body, request.headers, portal.environment, max_age=OLDEST_EVENT_S)
    except ResponseSignatureError as error:
        logger.warning("not an event of Cobo's: %s", error)
        raise HTTPException(401) from error
    logger.info("an event of %d bytes", len(body))
    return Response(status_code=200)


# --------------------------------------------------------------------------------- trouble
@api.exception_handler(TokenRefusedError)
async def refused(_: Request, error: Exception) -> Response:
    """Say that the organization has to install the app, or to install it again."""
    logger.warning("no token: %s", error)
    return Response("The app is not installed by this organization", 409)


@api.exception_handler(CoboAuthError)
async def unavailable(_: Request, error: Exception) -> Response:
    """Say that there is no token to be had, and for how long, where Cobo said it."""
    logger.error("no token: %s: %s", type(error).__name__, error)
    seconds = getattr(error, "retry_after", None)
    headers = {"Retry-After": f"{seconds:.0f}"} if seconds is not None else None
    return Response("Cobo cannot be asked at the moment", 503, headers)


@api.exception_handler(httpx.TransportError)
async def unreachable(_: Request, error: Exception) -> Response:
    """Say that Cobo did not answer."""
    logger.error("Cobo did not answer: %s", type(error).__name__)
    return Response("Cobo did not answer", 502)
