"""Cobo's own SDK as a client of the simulator: what the one sends, the other accepts."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import cobo_waas2
import pytest

from httpx_cobo_auth.testing import CoboSimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER_ORG = "11111111-2222-4333-8444-555555555555"
waas: Any = cobo_waas2  # generated code, typed in part: fields that always come are Optional


class Sdk:
    """The SDK as it is, told where to go."""

    def __init__(self, served: CoboSimulator) -> None:
        self.served = served
        configuration = waas.Configuration(
            api_private_key=served.app_secret, host=served.environment.base_url
        )
        self.client: Any = waas.ApiClient(configuration)
        self.oauth: Any = waas.OAuthApi(self.client)
        self.wallets: Any = waas.WalletsApi(self.client)
        self.transactions: Any = waas.TransactionsApi(self.client)

    def first_token(self) -> tuple[str, str]:
        """Get a token and send it along from now on."""
        token = self.oauth.get_token(
            client_id=self.served.client_id,
            org_id=self.served.org_id,
            grant_type="org_implicit",
        )
        self.client.set_default_header("Authorization", f"Bearer {token.access_token}")
        return token.access_token, token.refresh_token

    def transfer(self, wallet_id: str, request_id: str) -> str:
        """Send a little of something to somebody; gives the transaction's ID."""
        output = waas.AddressTransferDestinationAccountOutput(address="0x0", amount="0.1")
        destination = waas.AddressTransferDestination(
            destination_type="Address", account_output=output
        )
        source = waas.CustodialTransferSource(source_type="Asset", wallet_id=wallet_id)
        made = self.transactions.create_transfer_transaction(
            waas.TransferParams(
                request_id=request_id,
                source=waas.TransferSource(source),
                token_id="ETH",
                destination=waas.TransferDestination(destination),
            )
        )
        return str(made.transaction_id)


@pytest.fixture
def served() -> Iterator[CoboSimulator]:
    """A simulator as it is by default, on real time, as the SDK reads the machine's clock."""
    simulator = CoboSimulator()
    with simulator.serve():
        yield simulator


@pytest.fixture
def sdk(served: CoboSimulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sdk]:
    """An SDK that also knows whose signature to expect: by itself it knows Cobo's hosts only."""
    monkeypatch.setattr(waas.Configuration, "resp_pubkey", served.environment.response_key)
    sdk = Sdk(served)
    yield sdk
    sdk.client.rest_client.pool_manager.clear()


def test_the_sdk_gets_and_renews_tokens(served: CoboSimulator, sdk: Sdk) -> None:
    """By ``org_implicit`` and by refresh token, both answers well signed."""
    access_token, refresh_token = sdk.first_token()
    renewed = sdk.oauth.refresh_token(
        waas.RefreshTokenRequest(
            client_id=served.client_id, grant_type="refresh_token", refresh_token=refresh_token
        )
    )
    assert renewed.expires_in == 43199
    assert access_token != renewed.access_token
    assert (served.counters.implicits, served.counters.refreshes) == (1, 1)


def test_the_sdk_reads_wallets(served: CoboSimulator, sdk: Sdk) -> None:
    """In pages, one by one, and after creating one; the chains as well."""
    sdk.first_token()
    page = sdk.wallets.list_wallets(limit=2)
    rest = sdk.wallets.list_wallets(limit=2, after=page.pagination.after)
    assert [len(page.data), len(rest.data), rest.pagination.total_count] == [2, 1, 3]
    wallet = page.data[0].actual_instance
    assert sdk.wallets.get_wallet_by_id(wallet.wallet_id).actual_instance == wallet
    new = waas.CreateCustodialWalletParams(
        name="New", wallet_type="Custodial", wallet_subtype="Asset"
    )
    created = sdk.wallets.create_wallet(waas.CreateWalletParams(new))
    assert created.actual_instance.org_id == served.org_id
    chains = sdk.wallets.list_supported_chains(chain_ids="BTC,ETH")
    assert "BTC" in [chain.chain_id for chain in chains.data]


def test_the_sdk_makes_transfers(served: CoboSimulator, sdk: Sdk) -> None:
    """Once; the same ``request_id`` is refused in a shape that the SDK understands."""
    sdk.first_token()
    wallet_id = sdk.wallets.list_wallets().data[0].actual_instance.wallet_id
    request_id = str(uuid.uuid4())
    transaction_id = sdk.transfer(wallet_id, request_id)
    with pytest.raises(waas.ApiException) as refused:
        sdk.transfer(wallet_id, request_id)
    assert (refused.value.status, refused.value.data.error_code) == (400, 30001)
    (listed,) = sdk.transactions.list_transactions().data
    assert listed.transaction_id == transaction_id
    assert listed.source.actual_instance.wallet_id == wallet_id
    assert sdk.transactions.get_transaction_by_id(transaction_id).request_id == request_id
    assert served.counters.executed_writes == 1


@pytest.mark.hazard(74)
def test_the_sdk_may_call_twice_within_a_millisecond(
    served: CoboSimulator, sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends one nonce twice, which Cobo does not forbid; it is counted."""
    sdk.first_token()
    now = time.time() + 1
    monkeypatch.setattr(time, "time", lambda: now)
    sdk.wallets.list_wallets()
    sdk.transactions.list_transactions()
    assert served.counters.nonce_reused == 1


@pytest.mark.usefixtures("sdk")  # which tells the SDK whose signature to expect
def test_the_sdk_may_have_a_secp256k1_key(served: CoboSimulator) -> None:
    """An API key of the other kind, which needs no token."""
    configuration = waas.Configuration(
        api_private_key="22" * 32, curve_type="SECP256K1", host=served.environment.base_url
    )
    served.add_api_key(configuration.signer.get_public_key())
    with waas.ApiClient(configuration) as client:
        assert len(waas.WalletsApi(client).list_wallets().data) == 3
        client.rest_client.pool_manager.clear()


def test_the_sdk_sees_the_documented_codes(served: CoboSimulator, sdk: Sdk) -> None:
    """2028 for what is not there, 4001 for another organization's."""
    sdk.first_token()
    served.add_org(OTHER_ORG)
    other = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{OTHER_ORG}/1"))
    for wallet_id, status, code in ((str(uuid.uuid4()), 404, 2028), (other, 403, 4001)):
        with pytest.raises(waas.ApiException) as refused:
            sdk.wallets.get_wallet_by_id(wallet_id)
        assert (refused.value.status, refused.value.data.error_code) == (status, code)


def test_the_sdk_sees_a_dead_token_as_500(served: CoboSimulator, sdk: Sdk) -> None:
    """With the documented code, and an ``error_id`` to quote."""
    sdk.first_token()
    served.revoke_tokens()
    with pytest.raises(waas.ApiException) as dead:
        sdk.wallets.list_wallets()
    assert (dead.value.status, dead.value.data.error_code) == (500, 1000)
    assert dead.value.data.error_id


def test_the_sdk_understands_a_refused_refresh(served: CoboSimulator, sdk: Sdk) -> None:
    """OAuth's error name arrives in the SDK's model."""
    form = waas.RefreshTokenRequest(
        client_id=served.client_id, grant_type="refresh_token", refresh_token="unknown"
    )
    with pytest.raises(waas.ApiException) as refused:
        sdk.oauth.refresh_token(form)
    assert (refused.value.status, refused.value.data.error) == (400, "invalid_grant")


def test_the_sdk_refuses_a_wrong_signature(served: CoboSimulator, sdk: Sdk) -> None:
    """What the simulator breaks on purpose, the SDK notices."""
    served.inject("token", "tamper")
    with pytest.raises(waas.ApiException, match="Invalid resp signature"):
        sdk.first_token()


def test_the_sdk_refuses_a_missing_signature(served: CoboSimulator, sdk: Sdk) -> None:
    """A success that nobody signed is none."""
    served.inject("token", "unsigned")
    with pytest.raises(waas.ApiException, match="Missing resp signature"):
        sdk.first_token()
