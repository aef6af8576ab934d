"""``examples/official_sdk.py``: the SDK's operations, over this package's client."""

from __future__ import annotations

import importlib.util
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cobo_waas2
import pytest

from httpx_cobo_auth import CoboOAuth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from httpx_cobo_auth.testing import CoboSimulator

waas: Any = cobo_waas2  # generated code, typed in part
SdkClient = Any
EXAMPLE = Path(__file__).parents[2] / "examples" / "official_sdk.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> ModuleType:
    """The example as a module."""
    for name, value in variables.items():
        if name.startswith("COBO_"):
            monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("official_sdk", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sdk(example: ModuleType) -> Iterator[SdkClient]:
    """A client of the SDK."""
    auth = CoboOAuth.from_env()
    with auth.client() as client:
        yield example.sdk_client(auth, client)


def test_it_lists_wallets(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """The example as it stands prints the three wallets of the simulator."""
    example.main()
    names = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert names == ["Wallet 1", "Wallet 2", "Wallet 3"]


def test_the_sdk_gets_tokens_and_outlives_them(served: CoboSimulator, sdk: SdkClient) -> None:
    """A revoked token is replaced behind the SDK's back, and every signature is right."""
    wallets = waas.WalletsApi(sdk)
    # A comma in a parameter is what the SDK encodes in a way of its own, and we sign.
    assert len(wallets.list_supported_chains(chain_ids="BTC,ETH").data) == 3
    served.revoke_tokens()
    page = wallets.list_wallets(limit=1)
    assert len(wallets.list_wallets(limit=2, after=page.pagination.after).data) == 2
    assert served.counters.exchanges == 2
    assert served.counters.bad_signatures == 0


def test_the_sdk_writes_and_sees_errors(served: CoboSimulator, sdk: SdkClient) -> None:
    """A transfer is made once; its second copy is the SDK's own exception, with Cobo's code."""
    wallet_id = waas.WalletsApi(sdk).list_wallets().data[0].actual_instance.wallet_id
    output = waas.AddressTransferDestinationAccountOutput(address="0x0", amount="0.1")
    to = waas.AddressTransferDestination(destination_type="Address", account_output=output)
    source = waas.CustodialTransferSource(source_type="Asset", wallet_id=wallet_id)
    order = waas.TransferParams(
        request_id=str(uuid.uuid4()),
        source=waas.TransferSource(source),
        token_id="ETH",
        destination=waas.TransferDestination(to),
    )
    transactions = waas.TransactionsApi(sdk)
    assert transactions.create_transfer_transaction(order).status == "Submitted"
    with pytest.raises(waas.ApiException) as refused:
        transactions.create_transfer_transaction(order)
    assert (refused.value.status, refused.value.data.error_code) == (400, 30001)
    assert served.counters.executed_writes == 1


def test_forms_are_refused(sdk: SdkClient) -> None:
    """The transport passes none on: an error of its own, and nothing is sent."""
    with pytest.raises(NotImplementedError):
        sdk.rest_client.request("POST", "https://cobo.test/v2/x", post_params=[("a", "b")])
