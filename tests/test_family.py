"""httpx and httpx2: which of them a thing belongs to, and which these tests run over."""

from __future__ import annotations

import os
import socketserver

import httpx
import httpx2
import pytest

from httpx_cobo_auth._runtime.family import family_of
from tests import family
from tests.conftest import OF_THE_MACHINE
from tests.passes import FAMILY


def test_a_thing_belongs_to_the_family_of_its_class() -> None:
    """Also one of a class of the program's own."""

    class Mine(httpx2.Request):
        """Some client's own request."""

    assert family_of(httpx.Request("GET", "https://a")) is httpx
    assert family_of(httpx2.Response(200)) is httpx2
    assert family_of(Mine("GET", "https://a")) is httpx2


@pytest.mark.parametrize("thing", [object(), "httpx", None, socketserver.BaseServer])
def test_others_belong_to_none(thing: object) -> None:
    """The message says what was given."""
    with pytest.raises(TypeError, match=r"httpx or httpx2, got \w"):
        family_of(thing)


def test_the_tests_run_over_the_family_of_this_pass() -> None:
    """Classes and clients alike; else the second pass would be the first, once more."""
    auth = family.CoboOAuth(client_id="c", app_secret="00" * 32, org_id="o", environment="dev")
    with auth.client() as client:
        ours = {family_of(thing) for thing in (auth, client, client.build_request("GET", "/x"))}
    assert ours == {family.httpx} == {{"httpx": httpx, "httpx2": httpx2}[FAMILY]}


@pytest.mark.hazard(77)
async def test_a_client_may_be_built_in_an_event_loop_on_any_machine() -> None:
    """Either family looks for certificates then, in files; that is not held against the package."""
    auth = family.CoboOAuth(client_id="c", app_secret="00" * 32, org_id="o", environment="dev")
    async with auth.async_client() as client:
        assert client.trust_env


@pytest.mark.hazard(77)
def test_settings_of_the_machine_are_forgotten() -> None:
    """Proxies, certificates, folders, keyrings, credentials: none reaches a test."""
    assert not [name for name in os.environ if OF_THE_MACHINE.fullmatch(name)]
    assert OF_THE_MACHINE.fullmatch("https_proxy")
    assert not OF_THE_MACHINE.fullmatch("COBO_FUZZ")
