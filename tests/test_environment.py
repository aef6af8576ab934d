"""Where to talk to: Cobo's own environments, and what may be one."""

# ruff: noqa: ANN401 - arguments of wrong types are what is tested

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any, get_args

import pytest

from httpx_cobo_auth import DEVELOPMENT, PRODUCTION, SANDBOX, ConfigurationError, Environment
from httpx_cobo_auth.environment import EnvironmentName, environment_named
from tests.family import httpx

KEY = "a04ea1d5fa8da71f1dcfccf972b9c4eba0a2d8aba1f6da26f49977b08a0d2718"


@pytest.mark.parametrize(
    ("environment", "name", "base_url", "response_key"),
    [
        (
            PRODUCTION,
            "prod",
            "https://api.cobo.com/v2",
            "8d4a482641adb2a34b726f05827dba9a9653e5857469b8749052bf4458a86729",
        ),
        (DEVELOPMENT, "dev", "https://api.dev.cobo.com/v2", KEY),
        (
            SANDBOX,
            "sandbox",
            "https://api.sandbox.cobo.com/v2",
            "893d8a6112ae22429a7453599256391d7928e16870ecab888ee3ce65febada08",
        ),
    ],
)
def test_cobos_own(environment: Environment, name: str, base_url: str, response_key: str) -> None:
    """Addresses and response keys are those of the official SDK."""
    assert (environment.name, environment.base_url) == (name, base_url)
    assert environment.response_key == response_key
    assert environment.token_url == f"{base_url}/oauth/token"
    assert environment.origin == ("https", httpx.URL(base_url).host, None)
    assert environment_named(name) is environment
    assert environment_named(environment) is environment


@pytest.mark.parametrize("name", ["", "PROD", "production", "staging", None, 5, ["dev"], b"dev"])
def test_an_unknown_name_is_refused(name: Any) -> None:
    """The message says what there is."""
    with pytest.raises(ConfigurationError, match="prod, dev, sandbox") as refused:
        environment_named(name)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("development", "environment 'development' is unknown (did you mean 'dev'?)"),
        ("production", "environment 'production' is unknown (did you mean 'prod'?)"),
        ("DEV", "environment 'DEV' is unknown (did you mean 'dev'?)"),
        ("dev ", "environment 'dev ' is unknown (did you mean 'dev'?)"),
        ("staging", "environment 'staging' is unknown:"),
        ("", "environment '' is unknown:"),
        ("06" * 32, "environment is unknown:"),
        (
            5,
            "environment must be one of prod, dev, sandbox, or an Environment, not of the type int",
        ),
    ],
)
def test_an_unknown_name_is_repeated_with_what_was_meant(name: Any, said: str) -> None:
    """A name is no secret; what is too long for one may be a secret in the wrong place."""
    with pytest.raises(ConfigurationError) as refused:
        environment_named(name)
    assert str(refused.value).startswith(said)
    with pytest.raises(ConfigurationError, match=r"^COBO_ENV"):
        environment_named(name, "COBO_ENV")


def test_the_names_can_be_annotated() -> None:
    """``EnvironmentName`` lists them, and nothing else."""
    assert get_args(EnvironmentName) == ("prod", "dev", "sandbox")
    assert all(environment_named(name).name == name for name in get_args(EnvironmentName))


@pytest.mark.parametrize(
    "base_url",
    ["https://api.cobo.com", "https://API.dev.cobo.com/", "https://api.cobo.com/v2/wallets"],
)
def test_cobos_own_hosts_have_one_path(base_url: str) -> None:
    """``/v2`` forgotten is told at once, with the address meant, not by a 404 of each request."""
    with pytest.raises(ConfigurationError, match=r"must end in /v2.*cobo\.com/v2$"):
        Environment("mine", base_url)
    assert Environment("mine", "https://gateway.example").base_url == "https://gateway.example"
    assert Environment("mine", "https://evilcobo.com").origin[1] == "evilcobo.com"


@pytest.mark.parametrize(
    ("base_url", "origin", "spelled"),
    [
        ("https://a.example", ("https", "a.example", None), "https://a.example"),
        ("https://a.example/", ("https", "a.example", None), "https://a.example"),
        ("https://a.example/v2//", ("https", "a.example", None), "https://a.example/v2"),
        ("HTTPS://A.Example:443/V2", ("https", "a.example", None), "https://a.example/V2"),
        ("https://a.example:/v2", ("https", "a.example", None), "https://a.example/v2"),
        ("https://a.example:08443/v2", ("https", "a.example", 8443), "https://a.example:8443/v2"),
        ("https://a.example:80", ("https", "a.example", 80), "https://a.example:80"),
        ("https://a_b-c.example", ("https", "a_b-c.example", None), "https://a_b-c.example"),
        ("https://xn--b-eha.example", ("https", "xn--b-eha.example", None), None),
        ("https://10.0.0.1", ("https", "10.0.0.1", None), None),
        (
            "https://[2001:DB8::1]:8443",
            ("https", "2001:db8::1", 8443),
            "https://[2001:db8::1]:8443",
        ),
        ("http://localhost", ("http", "localhost", None), None),
        ("http://LOCALHOST:8000", ("http", "localhost", 8000), "http://localhost:8000"),
        ("http://127.0.0.1:80", ("http", "127.0.0.1", None), "http://127.0.0.1"),
        ("http://127.255.1.2:8000", ("http", "127.255.1.2", 8000), None),
        ("http://[::1]:8000/v2", ("http", "::1", 8000), None),
    ],
)
def test_ones_own(base_url: str, origin: tuple[object, ...], spelled: str | None) -> None:
    """https anywhere, http on loopback; one spelling, in which httpx reads the same origin."""
    environment = Environment("mine", base_url)
    assert environment.origin == origin
    assert environment.base_url == (spelled or base_url)
    assert environment.token_url == f"{environment.base_url}/oauth/token"
    url = httpx.URL(environment.token_url)
    assert (url.scheme, url.raw_host.decode(), url.port) == origin
    assert url.path.endswith("/oauth/token")


@pytest.mark.parametrize(
    "base_url",
    [
        *(
            "",
            "/",
            "api.cobo.com/v2",
            "//api.cobo.com/v2",
            "https://",
            "https:///v2",
            "https://:443",
        ),
        *("ftp://api.cobo.com", "wss://api.cobo.com", "file:///etc/passwd", "https:api.cobo.com"),
        *("https://api.cobo.com:x/v2", "https://api.cobo.com:99999/v2", "https://[::1/v2"),
        *("https://u@api.cobo.com/v2", "https://u:p@api.cobo.com/v2", "https://@api.cobo.com/v2"),
        *("https://api.cobo.com/v2?a=b", "https://api.cobo.com/v2#x", "https://api.cobo.com?"),
        *("https://api.cobo.com/v2?", "https://api.cobo.com/v2#", "https://api.cobo.com/v2/?/"),
        *(" https://api.cobo.com/v2", "https://api.cobo.com/v2 ", "https://api cobo.com/v2"),
        *("https://api.cobo.com/v2\n", "https://api.\tcobo.com/v2", "https://api.cobo.com/\x00"),
        *("https://api%2ecobo.com/v2", "https://a\\b.example/v2", "https://a,b.example/v2"),
        *("https://b\u00fccher.example/v2", "https://\u0430pi.cobo.com/v2", "https://a|b/v2"),
        *("http://api.cobo.com/v2", "http://127.0.0.1.example/v2", "http://localhost.example"),
        *("http://localhost./v2", "http://127.1/v2", "http://2130706433/v2", "http://0.0.0.0/v2"),
        *("http://[::]/v2", "http://10.0.0.1/v2", "http://[fe80::1]/v2", "http://[::1%25lo]/v2"),
    ],
)
def test_what_cannot_be_an_address_is_refused(base_url: str) -> None:
    """Before any credentials could go there; the password of a URL is not repeated."""
    with pytest.raises(ConfigurationError, match="base_url") as refused:
        Environment("mine", base_url)
    assert "u:p" not in str(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize("base_url", [None, 5, b"https://api.cobo.com/v2", ["x"]])
def test_an_address_of_another_type_is_refused(base_url: Any) -> None:
    """A typed error here too."""
    with pytest.raises(ConfigurationError, match="base_url"):
        Environment("mine", base_url)


@pytest.mark.parametrize(
    "key", ["", KEY[:-1], KEY + "0", KEY + "\n", "g" * 64, bytes.fromhex(KEY), KEY.encode(), 5]
)
def test_what_cannot_be_a_response_key_is_refused(key: Any) -> None:
    """64 hex digits, or none."""
    with pytest.raises(ConfigurationError, match="response_key"):
        Environment("mine", "https://a.example", key)


def test_without_a_response_key_there_is_none() -> None:
    """Then answers are not verified; capitals in a key make no difference."""
    assert Environment("mine", "https://a.example").response_key is None
    assert Environment("mine", "https://a.example", KEY.upper()).response_key == KEY.upper()


def test_environments_are_values() -> None:
    """Frozen, equal by what they say, hashable, safe to copy and to pickle."""
    environment = Environment("mine", "https://a.example/v2/", KEY)
    same = Environment("mine", "https://a.example/v2", KEY)
    assert environment == same
    assert len({environment, same, DEVELOPMENT}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        environment.base_url = "https://evil.example"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    for twin in (
        copy.copy(environment),
        copy.deepcopy(environment),
        pickle.loads(pickle.dumps(environment)),  # noqa: S301
    ):
        assert twin == environment
        assert twin.origin == environment.origin
    moved = dataclasses.replace(environment, base_url="http://[::1]:8000/v2")
    assert moved.origin == ("http", "::1", 8000)
