"""What a command works with: the settings of the environment, and the options before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth import CoboOAuth, ConfigurationError
from httpx_cobo_auth._auth.from_env import with_store
from httpx_cobo_auth.stores._urls import store_from_url

if TYPE_CHECKING:
    import argparse

    from httpx_cobo_auth import TokenStore

__all__ = ["auth_of", "shared_store", "store_of"]

_NO_STORE = (
    "set COBO_TOKEN_STORE (or --store) to the store that your programs use, such as "
    "file:/var/lib/my-app/cobo-tokens: tokens in the memory of another process cannot be seen"
)


def store_of(arguments: argparse.Namespace) -> TokenStore | None:
    """Return the store of ``--store`` or ``COBO_TOKEN_STORE``; ``None`` where there is neither.

    Raises:
        ConfigurationError: what is named is no store.

    """
    if arguments.store is not None:
        return store_from_url(arguments.store, name="--store")
    # Of a text it is always a sync one.
    store: TokenStore | None = with_store({}).get("store")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # ty: ignore[invalid-assignment]
    return store


def shared_store(arguments: argparse.Namespace) -> TokenStore:
    """Return the store, which other processes use as well.

    Raises:
        ConfigurationError: there is none, or it is this process's memory. A token that was
            asked for here would then replace those of the programs that are running.

    """
    store = store_of(arguments)
    if store is None or not store.shared:
        raise ConfigurationError(_NO_STORE)
    return store


def auth_of(arguments: argparse.Namespace) -> CoboOAuth:
    """Return the auth of one organization.

    Raises:
        ConfigurationError: a setting is missing, or cannot be used.

    """
    return CoboOAuth.from_env(
        org_id=arguments.org, environment=arguments.env, store=shared_store(arguments)
    )
