"""The life of a token: the first calls, a death before its time, a crowd at its end.

Cobo is played by the simulator, over a real socket of the loopback interface. It checks every
signature and counts what reaches it; this script checks that the counts are as told.
"""

from __future__ import annotations

import sys
import uuid
from functools import partial
from typing import TYPE_CHECKING

import anyio

from httpx_cobo_auth import CoboOAuth
from httpx_cobo_auth.testing import CoboSimulator, ManualClock

if TYPE_CHECKING:
    import httpx

CROWD = 50


def expect(simulator: CoboSimulator, **told: int) -> None:
    """Print the simulator's counts, and stop if they are not as told."""
    counted = {name: getattr(simulator.counters, name) for name in told}
    print(f"    {', '.join(f'{name} {count}' for name, count in counted.items())}\n")
    if counted != told:
        sys.exit(f"That is wrong: it should be {told}.")


def send_transfer(client: httpx.Client, wallet_id: str) -> None:
    """Send one USDT, under a request ID that Cobo accepts only once."""
    transfer = {
        "request_id": str(uuid.uuid4()),
        "source": {"source_type": "Asset", "wallet_id": wallet_id},
        "token_id": "ETH_USDT",
        "destination": {
            "destination_type": "Address",
            "account_output": {"address": f"0x{'EE' * 20}", "amount": "1"},
        },
    }
    client.post("/transactions/transfer", json=transfer).raise_for_status()


async def crowd(auth: CoboOAuth) -> None:
    """Let many tasks ask at the same moment."""
    async with auth.async_client() as client:

        async def ask() -> None:
            (await client.get("/wallets")).raise_for_status()

        async with anyio.create_task_group() as tasks:
            for _ in range(CROWD):
                tasks.start_soon(ask)


def main() -> None:
    """Tell the story."""
    clock = ManualClock(running=True)
    simulator = CoboSimulator(clock=clock)
    counted = partial(expect, simulator)
    with simulator.serve() as environment:
        auth = CoboOAuth(
            client_id=simulator.client_id,
            app_secret=simulator.app_secret,
            org_id=simulator.org_id,
            environment=environment,
            clock=clock,
        )
        with auth.client() as client:
            print("The first call gets a token on its way.")
            wallets = client.get("/wallets").raise_for_status().json()["data"]
            counted(requests=1, exchanges=1)

            print("Two more are signed and go with it. One of them moves money.")
            client.get("/wallets", params={"limit": 1}).raise_for_status()
            send_transfer(client, wallets[0]["wallet_id"])
            counted(requests=3, exchanges=1, executed_writes=1)

            print("The token dies before its time. Cobo answers 500; the caller sees a 200.")
            simulator.revoke_tokens()
            client.get("/wallets").raise_for_status()
            counted(requests=5, rejected=1, exchanges=2)

        print(f"Thirteen hours later it has expired. {CROWD} tasks come at once; one renews.")
        clock.advance(13 * 3600)
        anyio.run(crowd, auth)
        counted(requests=5 + CROWD, rejected=1, exchanges=3)

        print("Nothing was used twice, nothing was signed wrongly.")
        counted(spent_refresh_reused=0, nonce_reused=0, bad_signatures=0)


if __name__ == "__main__":
    main()
