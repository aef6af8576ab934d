"""A Django project in one file: views of many threads and processes, one token.

Run it with ``python django_app.py runserver``, or ``gunicorn django_app:application``, and
these variables:

- ``DJANGO_SECRET_KEY``, as for any project.
- ``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET``, ``COBO_ENV``, ``COBO_ORG_ID``: who asks.
- ``COBO_TOKEN_STORE``: where the processes share the token: ``file:/var/lib/my-app/tokens`` on
  one host. The database that the project has anyway will do for several, named as SQLAlchemy
  reads it (``postgresql+psycopg://…``); ``SqlStore.create_table()`` creates its table.

In a project of several files, what follows the settings is a module of your own, and the
views go where views are.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from httpx_cobo_auth import (
    CoboAuthError,
    CoboOAuth,
    ResponseSignatureError,
    TokenRefusedError,
    TokenUnavailableError,
)
from httpx_cobo_auth.callback import ApprovalCallback, verify_signed

if TYPE_CHECKING:
    import httpx
    from django.http import HttpRequest

settings.configure(
    SECRET_KEY=os.environ["DJANGO_SECRET_KEY"],
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
)
django.setup()

logger = logging.getLogger(__name__)
auth = CoboOAuth.from_env()
callback = ApprovalCallback(known={auth.org_id}.__contains__)

OLDEST_EVENT_S = 300.0


@functools.cache
def cobo() -> httpx.Client:
    """Return this process's client: made when first needed, for connections survive no fork."""
    return auth.client(timeout=10.0)


@require_http_methods(["GET"])
def wallets(_: HttpRequest) -> HttpResponse:
    """List the organization's wallets."""
    try:
        answer = cobo().get("/wallets")
    except TokenRefusedError as error:
        logger.warning("no token: %s", error)
        return HttpResponse("The app is not installed by this organization", status=409)
    except TokenUnavailableError as error:
        logger.exception("no token")
        headers = {"Retry-After": f"{error.retry_after:.0f}"} if error.retry_after else None
        return HttpResponse("Cobo cannot be asked at the moment", status=503, headers=headers)
    return HttpResponse(answer.content, status=answer.status_code, content_type="application/json")


@csrf_exempt
@require_http_methods(["GET", "POST"])
def approved(request: HttpRequest) -> HttpResponse:
    """Take Cobo's call: the organization has installed the app, or changed its settings.

    Anybody can make this call: it is believed in small doses only.
    """
    approval = callback.take(request.GET)
    if approval is None:
        return HttpResponse(status=400)
    if approval.renew_in is not None:
        timer = threading.Timer(approval.renew_in, renew)
        timer.daemon = True
        timer.start()
    return HttpResponse(status=204)


def renew() -> None:
    """Get a new token, which knows of the change. A restart of the process forgets the delayed."""
    try:
        auth.renew(cobo())
    except CoboAuthError:
        logger.exception("no new token")


@csrf_exempt
@require_http_methods(["POST"])
def event(request: HttpRequest) -> HttpResponse:
    """Take an event. It may come twice, and out of order: note it now, and work on it later."""
    try:
        verify_signed(request.body, request.META, auth.environment, max_age=OLDEST_EVENT_S)
    except ResponseSignatureError as error:
        logger.warning("not an event of Cobo's: %s", error)
        return HttpResponse(status=401)
    logger.info("an event of %d bytes", len(request.body))
    return HttpResponse(status=200)


urlpatterns = [
    path("wallets", wallets),
    path("cobo/callback", approved),
    path("cobo/webhook", event),
]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
