"""Which nonces the simulator accepts.

Cobo's documentation asks for "any random string"; its table of statuses still speaks of a valid
timestamp. All official SDKs send milliseconds since the epoch, and use one of them for all
requests of that millisecond. So how strict to be is for the test to choose: see
``Settings.check_nonce``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx_cobo_auth.testing._records import Counters
    from httpx_cobo_auth.testing._settings import NonceCheck, Settings

__all__ = ["Nonces"]

_KEPT = 100_000
_DIGITS = re.compile(r"[0-9]{1,19}")
_LOOKS_LIKE_MILLISECONDS = re.compile(r"[0-9]{13}")  # from 2001 to 2286
_ANY_TEXT: frozenset[NonceCheck] = frozenset({"lenient", "once"})
_EACH_ONCE: frozenset[NonceCheck] = frozenset({True, "increasing", "once"})


@dataclass(slots=True)
class _Use:
    at_s: float
    signatures: set[str]


@dataclass(slots=True)
class _Used:
    """What one key has sent: its nonces, in the order of their first arrival."""

    uses: dict[str, _Use] = field(default_factory=dict[str, _Use])
    latest: int = 0

    def forget(self, before_s: float) -> None:
        """Forget the first ones, as long as they are that old."""
        while self.uses:
            nonce, use = next(iter(self.uses.items()))
            if use.at_s >= before_s:
                return
            del self.uses[nonce]


class Nonces:
    """The nonces of all keys. Not locked: the simulator is."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        self._settings = settings
        self._counters = counters
        self._of_key: dict[str, _Used] = {}

    def objection(self, key: str, nonce: str, signature: str, now_s: float) -> str | None:
        """Take note of a well-signed request; return what is wrong with its nonce, if anything."""
        check = self._settings.check_nonce
        if check is False:
            return None
        pattern = _LOOKS_LIKE_MILLISECONDS if check in _ANY_TEXT else _DIGITS
        milliseconds = int(nonce) if pattern.fullmatch(nonce) else None
        if milliseconds is None and check not in _ANY_TEXT:
            return "not a timestamp in milliseconds"
        window_s = self._settings.max_skew_s
        if milliseconds is not None and abs(milliseconds - now_s * 1000) > window_s * 1000:
            return "the timestamp is not within the time window (milliseconds)"
        used = self._of_key.setdefault(key, _Used())
        # By then milliseconds are refused for their age.
        if len(used.uses) > _KEPT:
            used.forget(now_s - 2 * window_s)
        return self._use(used, nonce, signature, now_s) or self._order(used, milliseconds)

    def _use(self, used: _Used, nonce: str, signature: str, now_s: float) -> str | None:
        check = self._settings.check_nonce
        use = used.uses.get(nonce)
        if use is None:
            used.uses[nonce] = _Use(now_s, {signature})
            return None
        self._counters.nonce_reused += 1
        if check in _EACH_ONCE:
            return "used before"
        if check == "lenient" and signature in use.signatures:
            return "used before, by this very request"
        use.signatures.add(signature)
        return None

    def _order(self, used: _Used, milliseconds: int | None) -> str | None:
        if milliseconds is None or self._settings.check_nonce != "increasing":
            return None
        if milliseconds <= used.latest:
            return "not later than one before"
        used.latest = milliseconds
        return None
