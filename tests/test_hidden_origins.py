"""Front ends choose by ``Host``, or by the name in TLS, who gets a request: origins, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from httpx_cobo_auth.errors import UnsignableRequestError, WrongOriginError
from tests.family import httpx

if TYPE_CHECKING:
    from httpx_cobo_auth.testing import CoboSimulator
    from tests.conftest import MakesAuth


@pytest.mark.hazard(64)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"host": "cobo.test.evil.example"},
        [("Host", "cobo.test"), ("Host", "evil.example")],
    ],
)
def test_a_host_header_of_another_is_refused(
    headers: Any,  # noqa: ANN401 - as httpx takes them
    simulator: CoboSimulator,
    make_auth: MakesAuth,
) -> None:
    """Before anything is sent, by a safe client and by one's own."""
    auth = make_auth(simulator)
    url = f"{auth.environment.base_url}/wallets"
    with auth.client(transport=simulator) as client:
        with pytest.raises(WrongOriginError, match="header 'Host' names"):
            client.get("/wallets", headers=headers)
        with pytest.raises(WrongOriginError, match="header 'Host' names"):
            httpx.Client(transport=simulator, auth=auth).get(url, headers=headers)
    assert simulator.counters.requests == 0


@pytest.mark.hazard(64)
@pytest.mark.parametrize("name", ["evil.example", b"evil.example"], ids=["text", "bytes"])
def test_another_name_in_tls_is_refused(
    name: str | bytes, simulator: CoboSimulator, make_auth: MakesAuth
) -> None:
    """As text and as bytes; its own name, or none, changes nothing."""
    with make_auth(simulator).client(transport=simulator) as client:
        with pytest.raises(WrongOriginError, match="extension 'sni_hostname' names"):
            client.get("/wallets", extensions={"sni_hostname": name})
        assert simulator.counters.requests == 0
        for own in ("COBO.test", b"cobo.test", None, ""):
            client.get("/wallets", extensions={"sni_hostname": own}).raise_for_status()


def test_another_path_on_the_wire_is_refused(
    simulator: CoboSimulator, make_auth: MakesAuth
) -> None:
    """The URL's is what is signed."""
    with (
        make_auth(simulator).client(transport=simulator) as client,
        pytest.raises(UnsignableRequestError, match="'target'"),
    ):
        client.get("/wallets", extensions={"target": b"/v2/other"})
    assert simulator.counters.requests == 0


def test_a_url_without_a_host_says_what_is_missing(
    simulator: CoboSimulator, make_auth: MakesAuth
) -> None:
    """The client has no base URL."""
    with (
        httpx.Client(transport=simulator, auth=make_auth(simulator)) as client,
        pytest.raises(WrongOriginError, match="the request's URL has no host"),
    ):
        client.get("/wallets")
