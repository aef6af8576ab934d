"""The suite runs twice, over httpx and over httpx2: which pass this is, and what needs only one.

``tests/family.py`` has the classes. Whatever is not named here runs over both.
"""

from __future__ import annotations

import os

__all__ = ["BEHIND_THE_CLIENT", "FAMILY", "ONCE", "OWN_CHOICE", "WITHOUT_CLIENT"]

FAMILY = os.environ.get("HTTPX_FAMILY", "httpx")

# No client, no request, no auth object: a second time would be the first again.
WITHOUT_CLIENT = (
    "exploration",
    "flow/test_account.py",
    "flow/test_decisions.py",
    "flow/test_exchange.py",
    "flow/test_refused_tokens.py",
    "flow/test_renewal.py",
    "flow/test_state_machine.py",
    "flow/test_waiting.py",
    "simulator/test_javascript_sdk.py",
    "simulator/test_python_sdk.py",
    "stores/test_checks.py",
    "stores/test_contract.py",
    "stores/test_file.py",
    "stores/test_records_json.py",
    "stores/test_sealing.py",
    "test_architecture.py",
    "test_callback.py",
    "test_throttle.py",
)

# They choose the family themselves: to set one beside the other, or because what they run,
# an example, a page of the documentation or the soak, is written for httpx.
OWN_CHOICE = (
    "alone.py",
    "cli",
    "examples",
    "test_docs.py",
    "test_httpx2.py",
    "test_opentelemetry.py",
    "test_packaging.py",
    "test_public_api.py",
    "test_site.py",
    "test_soak.py",
    "testing_kit",
)

# What they test is behind the client: the flow's decisions over time, the stores, the crowds of
# threads, tasks and processes. Both families meet these in the other tests as well, and here they
# would only take long.
BEHIND_THE_CLIENT = (
    "concurrency/test_bursts.py",
    "concurrency/test_clock_bursts.py",
    "concurrency/test_fork.py",
    "concurrency/test_interrupted.py",
    "concurrency/test_parents.py",
    "concurrency/test_peer_table.py",
    "concurrency/test_permits.py",
    "concurrency/test_promises.py",
    "concurrency/test_store_threads.py",
    "concurrency/test_writes.py",
    "flow/test_clock.py",
    "flow/test_failure_policy.py",
    "flow/test_permanent_failures.py",
    "simulator/test_no_proxy.py",
    "simulator/test_nonces.py",
    "simulator/test_server.py",
    "stores/test_file_hazards.py",
    "stores/test_fleet.py",
    "stores/test_folder_modes.py",
    "stores/test_keyring.py",
    "stores/test_own_store.py",
    "stores/test_pickling.py",
    "stores/test_redis.py",
    "stores/test_sql.py",
    "stores/test_sql_contract.py",
    "stores/test_urls.py",
    "test_nonces.py",
    "test_secrets.py",
    "test_tokens.py",
    "test_verdicts.py",
)

ONCE = (*WITHOUT_CLIENT, *OWN_CHOICE, *BEHIND_THE_CLIENT)
