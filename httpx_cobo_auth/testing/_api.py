"""A few operations of WaaS 2.0, in the shape that the official SDK's models accept."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from httpx_cobo_auth.testing._wire import Answer, Incoming, Refusal, json_answer, json_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx_cobo_auth.clock import Clock
    from httpx_cobo_auth.testing._records import Counters

__all__ = ["Waas"]

# Cobo's documentation, "Error codes". Which status comes along, it does not say.
_BAD_PARAMETER = 2006
_NO_SUCH_OPERATION = 2021
_NOT_FOUND = 2028
_OTHER_ORGANIZATION = 4001
_DUPLICATE_REQUEST_ID = 30001
_NO_REQUEST_ID = 30028
_WALLETS_AT_FIRST = 3
_CHAINS = ("BTC", "ETH", "TRON")

_Record = dict[str, object]


class Waas:
    """Wallets and transactions of all organizations. Not locked: the simulator is."""

    def __init__(self, clock: Clock, counters: Counters) -> None:
        self._clock = clock
        self._counters = counters
        self._wallets: dict[str, _Record] = {}
        self._transactions: dict[str, _Record] = {}
        self._request_ids: set[tuple[str, str]] = set()

    def add_org(self, org_id: str) -> None:
        """Add an organization's first wallets; their IDs follow from its own."""
        for number in range(1, _WALLETS_AT_FIRST + 1):
            wallet_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{org_id}/{number}"))
            self._add_wallet(org_id, wallet_id, {"name": f"Wallet {number}"})

    def answer(self, incoming: Incoming, org_id: str) -> Answer:
        """Serve one operation for the organization.

        Raises:
            Refusal: there is no such operation or object, or a parameter is wrong.

        """
        root, *segments = incoming.path.decode("latin-1").removeprefix("/").split("/")
        sent = json_object(incoming.body)
        match incoming.method, root, [unquote(segment) for segment in segments]:
            case _, "v2", ["echo", *_]:
                content = _echo(incoming, org_id)
            case "GET", "v2", ["wallets"]:
                content = _page(incoming, self._owned(self._wallets, org_id), "wallet_id")
            case "POST", "v2", ["wallets"]:
                content = self._add_wallet(org_id, str(uuid.uuid4()), sent)
            case "GET", "v2", ["wallets", "chains"]:
                content = _page(incoming, [{"chain_id": name} for name in _CHAINS], "chain_id")
            case "GET", "v2", ["wallets", wallet_id] if wallet_id:
                content = self._one(self._wallets, org_id, wallet_id)
            case "GET", "v2", ["transactions"]:
                owned = self._owned(self._transactions, org_id)
                content = _page(incoming, owned, "transaction_id")
            case "POST", "v2", ["transactions", "transfer"]:
                content = self._transfer(org_id, sent)
            case "GET", "v2", ["transactions", transaction_id] if transaction_id:
                content = self._one(self._transactions, org_id, transaction_id)
            case _:
                message = "no such operation in the simulator: wrong path, slash or method"
                raise Refusal(404, _NO_SUCH_OPERATION, message)
        created = incoming.method == "POST" and segments[0] != "echo"
        return json_answer(201 if created else 200, content)

    def latest_transaction(self, org_id: str) -> _Record:
        """Return the organization's latest transaction, or one that was never made."""
        made = self._owned(self._transactions, org_id)
        return made[-1] if made else self._transaction(org_id, str(uuid.uuid4()), {})

    def _add_wallet(self, org_id: str, wallet_id: str, content: Mapping[str, object]) -> _Record:
        wallet = {"wallet_type": "Custodial", "wallet_subtype": "Asset", "name": "", **content}
        self._wallets[wallet_id] = {**wallet, "wallet_id": wallet_id, "org_id": org_id}
        return self._wallets[wallet_id]

    def _transfer(self, org_id: str, content: Mapping[str, object]) -> _Record:
        """Note a transfer. Only ``request_id`` is demanded; the rest has defaults."""
        request_id = content.get("request_id")
        if not isinstance(request_id, str) or not request_id:
            raise Refusal(400, _NO_REQUEST_ID, "request_id is missing")
        if not isinstance(content.get("source") or {}, dict):
            raise Refusal(400, _BAD_PARAMETER, "source is not an object")
        transaction = self._transaction(org_id, request_id, content)
        self._one(self._wallets, org_id, str(transaction["wallet_id"]))
        if (org_id, request_id) in self._request_ids:
            self._counters.duplicate_request_ids += 1
            raise Refusal(400, _DUPLICATE_REQUEST_ID, "request_id was used before")
        self._request_ids.add((org_id, request_id))
        self._transactions[str(transaction["transaction_id"])] = transaction
        return {name: transaction[name] for name in ("request_id", "transaction_id", "status")}

    def _transaction(self, org_id: str, request_id: str, content: Mapping[str, object]) -> _Record:
        first_wallet = self._owned(self._wallets, org_id)[0]["wallet_id"]
        asset = {"source_type": "Asset", "wallet_id": first_wallet}
        source = cast("_Record", content.get("source") or asset)
        now_ms = int(self._clock.time() * 1000)
        return {
            "transaction_id": str(uuid.uuid4()),
            "request_id": request_id,
            "org_id": org_id,
            "wallet_id": str(source.get("wallet_id")),
            "type": "Withdrawal",
            "status": "Submitted",
            "token_id": content.get("token_id", "ETH"),
            "source": source,
            "destination": content.get("destination", {"destination_type": "Address"}),
            "initiator_type": "API",
            "created_timestamp": now_ms,
            "updated_timestamp": now_ms,
        }

    def _owned(self, records: Mapping[str, _Record], org_id: str) -> list[_Record]:
        return [record for record in records.values() if record["org_id"] == org_id]

    def _one(self, records: Mapping[str, _Record], org_id: str, key: str) -> _Record:
        record = records.get(key)
        if record is None:
            raise Refusal(404, _NOT_FOUND, "no such object")
        if record["org_id"] != org_id:
            self._counters.wrong_org += 1
            raise Refusal(403, _OTHER_ORGANIZATION, "the object is another organization's")
        return record


def _page(incoming: Incoming, records: list[_Record], key: str) -> _Record:
    """Cut out the page that ``limit``, ``after`` and ``before`` ask for."""
    asked = incoming.parameters
    ids = [str(record[key]) for record in records]
    first, end = 0, len(ids)
    try:
        limit = int(asked.get("limit", "10"))
        if asked.get("after"):
            first = ids.index(asked["after"]) + 1
        if asked.get("before"):
            end = ids.index(asked["before"])
            first = max(first, end - limit)
    except ValueError:
        raise Refusal(400, _BAD_PARAMETER, "limit, after or before is wrong") from None
    if limit not in range(1, 51):
        raise Refusal(400, _BAD_PARAMETER, "limit must be from 1 to 50")
    end = min(end, first + limit)
    pagination = {
        "before": ids[first] if 0 < first < end else "",
        "after": ids[end - 1] if first < end < len(ids) else "",
        "total_count": len(ids),
    }
    return {"data": records[first:end], "pagination": pagination}


def _echo(incoming: Incoming, org_id: str) -> _Record:
    return {
        "method": incoming.method,
        "path": incoming.path.decode("latin-1"),
        "query": incoming.query.decode("latin-1"),
        "body_sha256": hashlib.sha256(incoming.body).hexdigest(),
        "org_id": org_id,
    }
