"""Stores that are named by a text, as ``COBO_TOKEN_STORE`` does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import (
    ConfigurationError,
    FileStore,
    KeyringStore,
    MemoryStore,
    RedisStore,
    SqlStore,
)
from httpx_cobo_auth.stores import store_from_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.stores import StoreKey


@pytest.mark.parametrize("url", ["memory:", "memory://", " memory:\n", "MEMORY:"])
def test_memory(url: str) -> None:
    """White space around it and capitals in the scheme do not matter."""
    assert isinstance(store_from_url(url), MemoryStore)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:/srv/tokens", lambda: Path("/srv/tokens")),
        ("file:///srv/tokens", lambda: Path("/srv/tokens")),
        ("file:tokens/of app", lambda: Path.cwd() / "tokens" / "of app"),
        ("file:~/tokens", lambda: Path("~/tokens").expanduser()),
    ],
)
def test_file(url: str, path: Callable[[], Path]) -> None:
    """Absolute, relative to where the program runs, or in the user's home."""
    store = store_from_url(url)
    assert isinstance(store, FileStore)
    assert store.identity == FileStore(path()).identity


@pytest.mark.parametrize(
    ("url", "like"),
    [
        ("keyring:", KeyringStore),
        ("keyring:my-app", lambda: KeyringStore("my-app")),
        ("keyring://my-app", lambda: KeyringStore("my-app")),
        ("redis://localhost:7000/3", lambda: RedisStore("redis://localhost:7000/3")),
        ("rediss://:5ec2e7@localhost", lambda: RedisStore("rediss://localhost")),
        ("unix:///run/redis.sock?db=2", lambda: RedisStore("unix:///run/redis.sock?db=2")),
    ],
)
def test_others(url: str, like: Callable[[], KeyringStore | RedisStore]) -> None:
    """The same store as its class makes of what follows the scheme."""
    store, other = store_from_url(url), like()
    assert isinstance(store, KeyringStore | RedisStore)
    assert type(store) is type(other)
    assert store.identity == other.identity


@pytest.mark.parametrize(
    ("url", "like"),
    [
        ("postgresql+psycopg://user:5ec2e7@db/app", "postgresql+psycopg://user@db/app"),
        ("mysql+pymysql://user:5ec2e7@db/app", "mysql+pymysql://user@db/app"),
        ("mariadb+pymysql://user@db/app", "mariadb+pymysql://user@db/app"),
        ("sqlite:///tokens.db", f"sqlite:///{Path.cwd()}/tokens.db"),
    ],
)
def test_databases(url: str, like: str) -> None:
    """As SQLAlchemy reads them; nothing of the password in what tells stores apart."""
    store, other = store_from_url(url), SqlStore(like)
    assert isinstance(store, SqlStore)
    assert store.identity == other.identity
    assert "5ec2e7" not in f"{store!r} {store.identity}"


def test_a_table_that_is_missing_is_created(tmp_path: Path, key: StoreKey) -> None:
    """Nobody could call ``create_table()`` where all there is is a variable."""
    store = store_from_url(f"sqlite:///{tmp_path}/tokens.db")
    assert store.load(key) is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "it is empty; expected memory:, file:/path"),
        ("/srv/tokens", "it looks like a path; for a folder write file:/srv/tokens"),
        ("~/tokens", "it looks like a path; for a folder write file:~/tokens"),
        (r"C:\tokens", r"it looks like a path; for a folder write file:C:\tokens"),
        ("5ec2e7", "it does not begin with a scheme; expected memory:"),
        ("s3://user:5ec2e7@bucket", "no store is called s3:…; expected memory:"),
        ("memory:5ec2e7", "no store is called memory:…"),
        ("file:", "file: needs the path of a folder"),
        ("file://host/tokens", "file: needs the path of a folder, and no host"),
        ("redis://:5ec2e7@localhost:port", "the Redis URL is not one"),
        (
            "postgres://user:5ec2e7@host:port/app",
            "the database URL is not one: expected postgresql",
        ),
        ("postgresql+no://user:5ec2e7@host/app", "SQLAlchemy has no driver called postgresql+no"),
        ("postgresql+asyncpg://user:5ec2e7@host/app", "it names an async driver"),
        (
            "postgresql+pg8000://user:5ec2e7@host/app",
            "the driver of postgresql+pg8000:// is not ins",
        ),
        ("sqlite://", "a database in memory belongs to one connection; take a MemoryStore"),
    ],
)
def test_what_names_no_store_is_refused(url: str, told: str) -> None:
    """By the name of the variable; neither message nor frames show what may be a secret."""
    with pytest.raises(ConfigurationError) as caught:
        store_from_url(url, name="OUR_STORE")
    assert str(caught.value).startswith(f"OUR_STORE: {told}")
    assert caught.value.__cause__ is caught.value.__context__ is None
    frames = [entry.frame.f_locals for entry in caught.traceback[1:]]
    assert "5ec2e7" not in str(caught.value) + repr(frames)


@pytest.mark.parametrize(
    ("url", "extra"), [("keyring:", "keyring"), ("redis://localhost", "redis")]
)
def test_a_missing_extra_is_named(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'httpx-cobo-auth\[{extra}\]'"):
        store_from_url(url)


@pytest.mark.hazard(84)
@pytest.mark.parametrize("url", ["file:~/tokens", "keyring:"])
def test_without_a_home_the_error_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a service of no user's; and not as Python's ``RuntimeError``."""

    def no_home(path: Path) -> Path:
        message = "Could not determine home directory."
        raise RuntimeError(message) if str(path).startswith("~") else ValueError

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(ConfigurationError, match="has no home directory; name a folder"):
        store_from_url(url)
