"""``status``, ``renew`` and ``forget``: the tokens of organizations, and no secret of them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from httpx_cobo_auth import ConfigurationError, StoreCorruptError, TokenState
from httpx_cobo_auth._cli.chosen import auth_of, shared_store
from httpx_cobo_auth._cli.screen import Colour, time_text
from httpx_cobo_auth._protocol.known import Known
from httpx_cobo_auth._protocol.records import StoreKey, Trust
from httpx_cobo_auth._protocol.status import TokenStatus, status_of, with_record
from httpx_cobo_auth.clock import SystemClock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from httpx_cobo_auth import CoboOAuth, TokenStore
    from httpx_cobo_auth._cli.screen import Screen

__all__ = ["forget", "renew", "status"]

_CLOCK = SystemClock()
_COLOURS = {
    TokenState.FRESH: Colour.GREEN,
    TokenState.STALE: Colour.YELLOW,
    TokenState.EXPIRED: Colour.RED,
    TokenState.MISSING: Colour.RED,
}
_PENDING = "a token request has begun, and nobody knows yet how it ended"


def status(arguments: argparse.Namespace, screen: Screen) -> int:
    """Show what the store knows of one organization's token, or of all."""
    if arguments.all:
        return _status_of_all(shared_store(arguments), screen)
    auth = auth_of(arguments)
    return _show(auth, auth.status(refresh=True), screen)


def renew(arguments: argparse.Namespace, screen: Screen) -> int:
    """Get a new token now, and show its status."""
    auth = auth_of(arguments)
    with auth.client() as client:
        auth.renew(client)
    return _show(auth, auth.status(), screen)


def forget(arguments: argparse.Namespace, screen: Screen) -> int:
    """Drop the token; the next request of any program gets a first one."""
    auth = auth_of(arguments)
    auth.forget()
    return _show(auth, auth.status(refresh=True), screen)


def _show(auth: CoboOAuth, found: TokenStatus, screen: Screen) -> int:
    where = auth.environment
    key = StoreKey(where.base_url, auth.client_id, auth.org_id)
    screen.data(_data(key, found))
    screen.fields(
        {
            "organization": auth.org_id,
            "environment": f"{where.name}, {where.base_url}",
            "client ID": auth.client_id,
            **_fields(found, screen),
        }
    )
    return 0


def _fields(found: TokenStatus, screen: Screen) -> dict[str, str]:
    now = _CLOCK.time()
    fields = {"token": _state(found, screen), "generation": str(found.generation)}
    if found.expires_at is not None:
        fields["expires"] = time_text(found.expires_at, now)
        fields["trust"] = _trust(found, screen)
    if found.exchange_pending:
        fields["pending"] = _PENDING
    if found.next_attempt_at is not None:
        fields["next attempt"] = time_text(found.next_attempt_at, now)
    return fields


def _state(found: TokenStatus, screen: Screen, width: int = 0) -> str:
    return screen.paint(found.state.value.ljust(width), _COLOURS[found.state])


def _trust(found: TokenStatus, screen: Screen) -> str:
    colour = Colour.GREEN if found.trust is Trust.TRUSTED else Colour.YELLOW
    return screen.paint(found.trust.value, colour)


# ------------------------------------------------------------------------- what a store holds
def _status_of_all(store: TokenStore, screen: Screen) -> int:
    keys = sorted(_keys(store), key=_where)
    found = {key: _found(store, key) for key in keys}
    screen.data([_data(key, each) for key, each in found.items()])
    if not keys:
        screen.text("the store holds no token")
    for (base_url, client_id), group in groupby(keys, lambda key: (key.base_url, key.client_id)):
        screen.text(f"{base_url}, client ID {client_id}")
        _rows([(key.org_id, found[key]) for key in group], screen)
    return int(any(isinstance(each, str) for each in found.values()))


def _where(key: StoreKey) -> tuple[str, str, str]:
    return key.base_url, key.client_id, key.org_id


def _keys(store: TokenStore) -> Iterable[StoreKey]:
    listed: Callable[[], Iterable[StoreKey]] | None = getattr(store, "keys", None)
    if listed is None:
        message = f"{store!r} cannot list what it holds: name organizations by --org"
        raise ConfigurationError(message)
    return listed()


def _found(store: TokenStore, key: StoreKey) -> TokenStatus | str:
    """Return the status, or why the record cannot be understood."""
    try:
        record = store.load(key)
    except StoreCorruptError as error:
        return str(error)
    known = with_record(Known(), record, _CLOCK) if record is not None else Known()
    return status_of(known, _CLOCK)


def _rows(rows: list[tuple[str, TokenStatus | str]], screen: Screen) -> None:
    width = max(len(org_id) for org_id, _ in rows)
    for org_id, found in rows:
        if isinstance(found, str):
            what = f"{screen.paint('unreadable', Colour.RED)}  {found}"
        elif found.expires_at is None:
            what = _state(found, screen)
        else:
            parts = [_state(found, screen, len("missing"))]
            parts += [time_text(found.expires_at, _CLOCK.time()), _trust(found, screen)]
            what = "  ".join(parts)
        screen.text(f"  {org_id:<{width}}  {what}")


def _data(key: StoreKey, found: TokenStatus | str) -> dict[str, object]:
    whose = {"org_id": key.org_id, "client_id": key.client_id, "base_url": key.base_url}
    if isinstance(found, str):
        return {**whose, "state": "unreadable", "message": found}
    return {
        **whose,
        "state": found.state.value,
        "expires_at": found.expires_at,
        "generation": found.generation,
        "trust": found.trust.value,
        "exchange_pending": found.exchange_pending,
        "next_attempt_at": found.next_attempt_at,
    }
