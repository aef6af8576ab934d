"""A Django project in one file: views of many threads and processes, one token.

Run it with ``python django_app.py runserver``, or ``gunicorn django_app:application``, and
these variables:

- ``DJANGO_SECRET_KEY``, as for any project.
- ``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET``, ``COBO_ENV``, ``COBO_ORG_ID``: who asks.
- ``COBO_TOKENS``: a folder on a local disk. For several hosts take a ``RedisStore``.

In a project of several files, what follows the settings is a module of your own, and the
views go where views are.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

from httpx_cobo_auth import CoboOAuth, FileStore, TokenUnavailableError

if TYPE_CHECKING:
    import httpx
    from django.http import HttpRequest

settings.configure(
    SECRET_KEY=os.environ["DJANGO_SECRET_KEY"],
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
)
django.setup()

auth = CoboOAuth.from_env(
    org_id=os.environ["COBO_ORG_ID"], store=FileStore(os.environ["COBO_TOKENS"])
)


@functools.cache
def cobo() -> httpx.Client:
    """Give this process's client: made when first needed, for connections survive no fork."""
    return auth.client(timeout=10.0)


def wallets(_: HttpRequest) -> HttpResponse:
    """List the organization's wallets."""
    try:
        answer = cobo().get("/wallets")
    except TokenUnavailableError as error:
        headers = {"Retry-After": f"{error.retry_after:.0f}"} if error.retry_after else None
        return HttpResponse("Cobo cannot be asked at the moment", status=503, headers=headers)
    return HttpResponse(answer.content, status=answer.status_code, content_type="application/json")


urlpatterns = [path("wallets", wallets)]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
