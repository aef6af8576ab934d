"""One exchange, from the bytes that arrived to the bytes that go back."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from httpx_cobo_auth.testing._api import Waas
from httpx_cobo_auth.testing._faults import Plan
from httpx_cobo_auth.testing._protocol import Gate, ResponseSigner
from httpx_cobo_auth.testing._records import Counters, IssuedToken, LogEntry
from httpx_cobo_auth.testing._tokens import TokenBook
from httpx_cobo_auth.testing._user_info import UserInfo
from httpx_cobo_auth.testing._wire import Answer, Incoming, Outcome, Refusal, json_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_cobo_auth.testing._faults import Fault
    from httpx_cobo_auth.testing._settings import Settings

__all__ = ["Core"]

_LOG_ENTRIES = 10_000
_DEAD_TOKEN = {500: 1000, 401: 2025}  # 1000 is documented; for 401 nothing is
_OTHER_ORG = 2006
_BODILESS = frozenset({204, 304})


class Core:
    """The parts of a simulator, and the one lock around them.

    An exchange does at once, under the lock, all that has an effect. What takes time is
    left to the way back, so that neither a hold nor a delay keeps anybody else waiting.
    """

    def __init__(self, settings: Settings) -> None:
        # Re-entrant because tools that forbid blocking on an event loop's thread let such a
        # lock pass; it is only ever held for the time of some arithmetic.
        self.lock = threading.RLock()
        self.counters = Counters()
        self.log: deque[LogEntry] = deque(maxlen=_LOG_ENTRIES)
        self.watchers: list[Callable[[LogEntry], None]] = []
        self.signer = ResponseSigner(settings)
        self.gate = Gate(settings, self.counters)
        self.tokens = TokenBook(settings, self.counters)
        self.waas = Waas(settings.clock, self.counters)
        self.user_info = UserInfo(settings)
        self.plan = Plan()
        self.org_of_key: dict[str, str] = {}
        self._settings = settings

    def exchange(self, incoming: Incoming) -> Outcome:
        """Let one request take effect and say what goes back."""
        with self.lock:
            keys = self.user_info.keys(incoming)
            if keys is not None:  # for anybody: neither signed for, nor counted
                return Outcome(self.signer.sign(keys, self._settings.clock.time()))
            if self.plan.take(incoming, refusing=True) is not None:
                return Outcome(Answer(503, b""), "refuse")
            self._count_arrival(incoming)
            org_id: str | None = None
            fault: Fault | None = None
            issued: IssuedToken | None = None
            try:
                key = self._admit(incoming)
                org_id = self._org_of(incoming, key)
                fault = self.plan.take(incoming)
                if fault is not None and not fault.effect:
                    answer = fault.instead(incoming)
                elif incoming.for_token:
                    answer, issued = self._serve_token(incoming, key)
                else:
                    answer = self._serve_api(incoming, key, org_id)
            except Refusal as refusal:
                answer = refusal.answer(for_token=incoming.for_token)
            outcome = self._way_back(incoming, answer, fault)
            self._note(incoming, outcome, org_id, fault, issued)
            return outcome

    def _count_arrival(self, incoming: Incoming) -> None:
        if not incoming.for_token:
            self.counters.requests += 1
            return
        self.counters.exchanges += 1
        self.counters.refreshes += incoming.method == "POST"
        self.counters.implicits += incoming.method == "GET"

    def _admit(self, incoming: Incoming) -> str:
        try:
            return self.gate.admit(incoming, self._settings.clock.time())
        except Refusal:
            self.counters.rejected += not incoming.for_token
            raise

    def _org_of(self, incoming: Incoming, key: str) -> str | None:
        if incoming.for_token:
            return self.tokens.org_of(incoming)
        return self.org_of_key.get(key) or self.tokens.bearer(incoming)[0]

    def _serve_token(self, incoming: Incoming, key: str) -> tuple[Answer, IssuedToken]:
        if key != self.gate.app_key:
            raise Refusal(401, "invalid_client", "an API key gets no Org Access Token")
        return self.tokens.answer(incoming)

    def _serve_api(self, incoming: Incoming, key: str, org_id: str | None) -> Answer:
        alive = key in self.org_of_key or self.tokens.bearer(incoming)[1]
        if org_id is None or not alive:
            self.counters.rejected += 1
            self.counters.bounced_writes += incoming.writes
            status = self._settings.expired_status
            raise Refusal(status, _DEAD_TOKEN[status], "the Org Access Token is not valid")
        if (incoming.header(b"X-Expected-Org") or org_id) != org_id:
            self.counters.wrong_org += 1
            raise Refusal(400, _OTHER_ORG, "the Org Access Token is another organization's")
        answer = self.waas.answer(incoming, org_id)
        self.counters.executed_writes += incoming.writes
        return answer

    def _way_back(self, incoming: Incoming, answer: Answer, fault: Fault | None) -> Outcome:
        pauses: tuple[float | threading.Event, ...] = self.plan.stop(incoming)
        kind = fault.kind if fault is not None else None
        if fault is not None:
            answer = fault.upon(incoming, answer)
            pauses += fault.pauses
        if incoming.method == "HEAD" or answer.status in _BODILESS:
            answer = replace(answer, body=b"")
        if fault is None or fault.signed:
            now_s = self._settings.clock.time()
            answer = self.signer.sign(answer, now_s, tamper=kind == "tamper")
        failure = kind if kind in {"drop", "hang"} else None
        return Outcome(answer, failure, pauses)

    def _note(
        self,
        incoming: Incoming,
        outcome: Outcome,
        org_id: str | None,
        fault: Fault | None,
        issued: IssuedToken | None,
    ) -> None:
        arrives = outcome.failure is None
        entry = LogEntry(
            incoming.method,
            incoming.target,
            incoming.headers,
            incoming.body,
            outcome.answer.status if arrives else None,
            org_id,
            self._settings.clock.time(),
            fault.kind if fault is not None else None,
            issued,
            refused=arrives and not incoming.for_token and _refuses(outcome.answer),
        )
        self.log.append(entry)
        for watcher in self.watchers:
            watcher(entry)


def _refuses(answer: Answer) -> bool:
    """Return whether the answer is one to a token that is not valid."""
    match answer.status:
        case 401:
            return True
        case 500:
            return json_object(answer.body).get("error_code") == _DEAD_TOKEN[500]
        case _:
            return False
