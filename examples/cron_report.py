"""A report that cron runs: each run uses the token that the one before has left behind.

One line of the crontab::

    0 * * * *  . ~/.config/my-app/cobo.env && python cron_report.py

where the file sets and exports ``COBO_APP_CLIENT_ID``, ``COBO_APP_SECRET``, ``COBO_ENV``,
``COBO_ORG_ID``, and ``COBO_TOKEN_STORE=file:/var/lib/my-app/tokens``, where the token is kept. Runs
that overlap share it as well, and its renewal.
"""

from __future__ import annotations

import logging
import sys

import httpx

from httpx_cobo_auth import CoboAuthError, CoboOAuth


def report(client: httpx.Client) -> None:
    """Print each wallet of the organization, page by page."""
    after = ""
    while True:
        answer = client.get("/wallets", params={"limit": 50, "after": after})
        page = answer.raise_for_status().json()
        for wallet in page["data"]:
            print(wallet["wallet_id"], wallet["name"])
        after = page["pagination"]["after"]
        if not after:
            break


def main() -> None:
    """Report; what went wrong goes to stderr, and from there into cron's mail."""
    logging.basicConfig(level=logging.WARNING)
    try:
        with CoboOAuth.from_env().client() as client:
            report(client)
    except CoboAuthError as error:
        # The message says who has to do what; no secret is in it.
        sys.exit(f"{type(error).__name__}: {error}")
    except httpx.HTTPError as error:
        sys.exit(f"Cobo did not answer as it should: {error}")


if __name__ == "__main__":
    main()
