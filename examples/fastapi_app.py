"""A Portal App's backend: several workers, many organizations, one folder of tokens.

Run it with ``uvicorn fastapi_app:api --workers 4`` and these variables:

- ``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET``, ``COBO_ENV``: the app, as Cobo's tools name it.
- ``COBO_ORG_IDS``: the organizations that the app serves, comma between them. An app of your
  own will look them up in its database.
- ``COBO_TOKENS``: a folder on a local disk. For several hosts take a ``RedisStore``.
"""

import contextlib
import logging
import os
from collections.abc import AsyncGenerator
from typing import TypedDict

import anyio
import httpx
from anyio.abc import TaskGroup
from fastapi import FastAPI, HTTPException, Request, Response

from httpx_cobo_auth import CoboAuthError, FileStore, PortalApp
from httpx_cobo_auth.callback import ApprovalCallback

logger = logging.getLogger(__name__)
organizations = frozenset(os.environ["COBO_ORG_IDS"].lower().split(","))
portal = PortalApp.from_env(store=FileStore(os.environ["COBO_TOKENS"]))
callback = ApprovalCallback(known=organizations.__contains__)


class State(TypedDict):
    """What every request finds in ``request.state``."""

    cobo: httpx.AsyncClient
    tasks: TaskGroup


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[State]:
    """Keep one client, and somewhere to renew in the background, for each worker."""
    async with (
        httpx.AsyncClient(base_url=portal.environment.base_url) as cobo,
        anyio.create_task_group() as tasks,
    ):
        yield {"cobo": cobo, "tasks": tasks}
        tasks.cancel_scope.cancel()


api = FastAPI(lifespan=lifespan)


@api.get("/organizations/{org_id}/wallets")
async def wallets(org_id: str, request: Request) -> Response:
    """List an organization's wallets."""
    # Your own log-in belongs here: who may see this organization?
    if org_id not in organizations:
        raise HTTPException(404)
    cobo: httpx.AsyncClient = request.state.cobo
    answer = await cobo.get("/wallets", auth=portal.org(org_id))
    return Response(answer.content, answer.status_code, media_type="application/json")


@api.post("/cobo/callback")
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


@api.exception_handler(CoboAuthError)
async def unavailable(_: Request, error: Exception) -> Response:
    """Say that there is no token to be had, and for how long, where Cobo said it."""
    seconds = getattr(error, "retry_after", None)
    headers = {"Retry-After": f"{seconds:.0f}"} if seconds is not None else None
    return Response("Cobo cannot be asked at the moment", 503, headers)


@api.exception_handler(httpx.TransportError)
async def unreachable(_: Request, error: Exception) -> Response:
    """Say that Cobo did not answer."""
    logger.warning("Cobo did not answer: %s", type(error).__name__)
    return Response("Cobo did not answer", 502)
