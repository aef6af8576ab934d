"""``from_env``: which variables it reads, what takes precedence, what contradicts, what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth import (
    DEVELOPMENT,
    PRODUCTION,
    ConfigurationError,
    Environment,
    FileStore,
    MemoryStore,
)
from httpx_cobo_auth._protocol.key_text import what_a_secret_is
from httpx_cobo_auth.testing import CoboSimulator
from tests.family import CoboAuth, CoboOAuth, PortalApp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"
ORG = "e3986401-4aec-480a-973d-e775a4518413"
KEY = "ab" * 32
NAMES = "prod, dev, sandbox"
SERVER = "http://127.0.0.1:8642/v2"
MAKERS = [
    pytest.param(kind.from_env, id=kind.__name__) for kind in (CoboOAuth, PortalApp, CoboAuth)
]


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Credentials of an app and of an API key; where to is for the test to say."""
    for name, value in {
        "COBO_APP_CLIENT_ID": "client",
        "COBO_APP_SECRET": SECRET,
        "COBO_API_SECRET": SECRET,
        "COBO_ORG_ID": ORG,
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def refusal(make: Callable[[], object]) -> str:
    """Return the message of the error, which shows no secret."""
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert SECRET not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return str(refused.value)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"COBO_ENV": "dev"}, DEVELOPMENT),
        ({"COBO_BASE_URL": SERVER}, Environment("custom", SERVER)),
        (
            {"COBO_BASE_URL": SERVER, "COBO_RESPONSE_KEY": KEY},
            Environment("custom", SERVER, KEY),
        ),
        ({"COBO_BASE_URL": SERVER, "COBO_ENV": "mine"}, Environment("mine", SERVER)),
        ({"COBO_BASE_URL": SERVER, "COBO_ENV": "dev"}, Environment("dev", SERVER)),
        ({"COBO_BASE_URL": "https://api.cobo.com/v2/"}, PRODUCTION),
        ({"COBO_BASE_URL": "https://api.cobo.com/v2", "COBO_ENV": "prod"}, PRODUCTION),
        (
            {"COBO_ENV": "dev", "COBO_RESPONSE_KEY": str(DEVELOPMENT.response_key).upper()},
            DEVELOPMENT,
        ),
        ({"COBO_ENV": "", "COBO_BASE_URL": SERVER, "COBO_RESPONSE_KEY": ""}, None),
    ],
)
def test_where_to(
    variables: pytest.MonkeyPatch,
    make: Callable[[], Any],
    given: dict[str, str],
    expected: Environment | None,
) -> None:
    """A name of Cobo's, or a base URL, beside which ``COBO_ENV`` is only a name.

    A base URL of Cobo's own has Cobo's key, so that verifying cannot be lost by it.
    """
    for name, value in given.items():
        variables.setenv(name, value)
    assert make().environment == (expected or Environment("custom", SERVER))


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "set COBO_ENV in the environment; COBO_ENV is prod, dev or sandbox, and for"),
        ({"COBO_RESPONSE_KEY": KEY}, "set COBO_ENV in the environment"),
        (
            {"COBO_ENV": "development"},
            "COBO_ENV 'development' is unknown (did you mean 'dev'?): it must be one of prod, dev,",
        ),
        ({"COBO_ENV": "DEV"}, "COBO_ENV 'DEV' is unknown (did you mean 'dev'?)"),
        (
            {"COBO_ENV": "staging"},
            f"COBO_ENV 'staging' is unknown: it must be one of {NAMES}, and COBO_BASE_URL is for",
        ),
        ({"COBO_ENV": "dev "}, "COBO_ENV 'dev ' is unknown (did you mean 'dev'?)"),
        ({"COBO_ENV": SERVER}, "COBO_ENV is a URL; it must be one of prod, dev, sandbox."),
        ({"COBO_BASE_URL": "https://api.cobo.com"}, "COBO_BASE_URL: base_url https://api.cobo.com"),
        ({"COBO_BASE_URL": "localhost:8642"}, "COBO_BASE_URL: base_url must look like"),
        ({"COBO_BASE_URL": "http://10.0.0.1/v2"}, "COBO_BASE_URL: base_url must be https"),
        (
            {"COBO_BASE_URL": SERVER, "COBO_RESPONSE_KEY": "abc"},
            "COBO_RESPONSE_KEY: response_key must be",
        ),
        ({"COBO_ENV": "dev", "COBO_RESPONSE_KEY": "abc"}, "COBO_RESPONSE_KEY: response_key must"),
        (
            {"COBO_ENV": "dev", "COBO_RESPONSE_KEY": KEY},
            "COBO_RESPONSE_KEY contradicts the environment 'dev'",
        ),
        (
            {"COBO_BASE_URL": "https://api.cobo.com/v2", "COBO_RESPONSE_KEY": KEY},
            "COBO_RESPONSE_KEY contradicts the environment 'prod'",
        ),
        (
            {"COBO_BASE_URL": "https://api.cobo.com/v2", "COBO_ENV": "dev"},
            "COBO_ENV='dev' contradicts COBO_BASE_URL, which is that of 'prod': unset one of them",
        ),
    ],
)
def test_what_is_wrong_is_said(
    variables: pytest.MonkeyPatch, make: Callable[[], Any], given: dict[str, str], said: str
) -> None:
    """Which variable, what it holds, and what it should; a contradiction is never guessed about."""
    for name, value in given.items():
        variables.setenv(name, value)
    assert refusal(make).startswith(said)


@pytest.mark.parametrize("make", MAKERS)
def test_an_argument_takes_precedence(
    variables: pytest.MonkeyPatch, make: Callable[..., Any]
) -> None:
    """``environment=`` over all three variables, whatever is in them."""
    variables.setenv("COBO_ENV", "nowhere")
    variables.setenv("COBO_BASE_URL", "no URL")
    variables.setenv("COBO_RESPONSE_KEY", "no key")
    assert make(environment="prod").environment is PRODUCTION


@pytest.mark.parametrize(
    ("make", "name"),
    [
        pytest.param(CoboOAuth.from_env, "COBO_APP_SECRET", id="CoboOAuth"),
        pytest.param(PortalApp.from_env, "COBO_APP_SECRET", id="PortalApp"),
        pytest.param(CoboAuth.from_env, "COBO_API_SECRET", id="CoboAuth"),
    ],
)
@pytest.mark.parametrize(
    "secret", [f"{SECRET}\n", f"0x{SECRET}", f'"{SECRET}"', SECRET[:-1], "-----BEGIN PRIVATE KEY"]
)
def test_a_secret_that_cannot_be_one_is_not_shown(
    variables: pytest.MonkeyPatch, make: Callable[[], Any], name: str, secret: str
) -> None:
    """The variable is named, and what is wrong with its value."""
    variables.setenv("COBO_ENV", "dev")
    variables.setenv(name, secret)
    message = refusal(make)
    assert message == f"{name}: {what_a_secret_is('an Ed25519 seed', secret)}"
    assert SECRET[:-1] not in message


def test_the_organization(variables: pytest.MonkeyPatch) -> None:
    """``COBO_ORG_ID``, in one spelling, where no ``org_id`` is given."""
    variables.setenv("COBO_ENV", "dev")
    other = "11111111-2222-4333-8444-555555555555"
    assert CoboOAuth.from_env().org_id == ORG
    assert CoboOAuth.from_env(org_id=other).org_id == other
    variables.setenv("COBO_ORG_ID", ORG.upper())
    assert CoboOAuth.from_env().org_id == ORG
    variables.setenv("COBO_ORG_ID", f"{ORG} ")
    assert refusal(CoboOAuth.from_env).startswith(f"COBO_ORG_ID: org_id '{ORG} ' has white space")
    variables.setenv("COBO_ORG_ID", "")
    assert CoboOAuth.from_env(org_id=other).org_id == other
    assert refusal(CoboOAuth.from_env) == "set COBO_ORG_ID in the environment"
    assert PortalApp.from_env().org(other).org_id == other


def test_the_store(variables: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``COBO_TOKEN_STORE``, where no ``store`` is given; else one in memory."""
    variables.setenv("COBO_ENV", "dev")
    assert isinstance(CoboOAuth.from_env()._session._store, MemoryStore)
    variables.setenv("COBO_TOKEN_STORE", f"file:{tmp_path}/tokens")
    for auth in (CoboOAuth.from_env(), PortalApp.from_env().org(ORG)):
        store = auth._session._store
        assert isinstance(store, FileStore)
        assert store.identity == FileStore(tmp_path / "tokens").identity
    given = MemoryStore()
    assert CoboOAuth.from_env(store=given)._session._store is given
    assert isinstance(CoboOAuth.from_env(store=None)._session._store, FileStore)
    variables.setenv("COBO_TOKEN_STORE", "nonsense")
    for make in (CoboOAuth.from_env, PortalApp.from_env):
        assert refusal(make).startswith("COBO_TOKEN_STORE: ")


def test_a_program_runs_against_the_simulator_by_its_environment(
    variables: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All of it at once, over a socket; the answers are verified by the simulator's key."""
    simulator = CoboSimulator()
    variables.setenv("COBO_APP_CLIENT_ID", simulator.client_id)
    variables.setenv("COBO_TOKEN_STORE", f"file:{tmp_path}/tokens")
    with simulator.serve() as served:
        variables.setenv("COBO_BASE_URL", served.base_url)
        variables.setenv("COBO_RESPONSE_KEY", str(served.response_key))
        auth = CoboOAuth.from_env(verify_responses=True)
        with auth.client() as client, simulator.expect(renewals=1):
            assert client.get("/wallets").status_code == 200
