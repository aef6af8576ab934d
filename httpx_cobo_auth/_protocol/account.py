"""What one process knows about the token of one organization.

Shared by every flow of the process that serves the same store, environment, client and
organization. Readers take no lock: they read ``held``, a frozen value replaced whole. Only
who has the renewer's seat replaces it, or looks for a newer one with the store's consent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.throttle import RenewalThrottle
from httpx_cobo_auth._protocol.tokens import HeldToken, TokenState

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.records import Record, StoreKey, Version
    from httpx_cobo_auth._protocol.settings import Settings
    from httpx_cobo_auth.errors import CoboAuthError

__all__ = ["Account", "Unsaved"]

_EARLY_SPACING_S = 30.0
_EARLY_SPACING_FRACTION = 1 / 4
_LOOK_SPACING_S = 5.0
_FIRST_HOLD_S = 1.0
_LONGEST_HOLD_S = 30.0
_RESAVE_SPACING_S = 5.0


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A record that is yet to be saved.

    Attributes:
        record: with a token that so far is in memory only.
        expected: the version that it replaces.
        retry_at: when to try again, on the monotonic clock.

    """

    record: Record
    expected: Version
    retry_at: float


class Account:
    """The state that flows of one process share.

    Attributes:
        key: whose token it is.
        settings: of the auth object that came first.
        held: the token in use.
        refused: the token that a write was refused with, to be renewed by the next flow.
        refused_cause: that write.
        epoch: counts the exchanges begun.
        begun: an exchange has begun, and nobody knows yet how it ended. Where nobody has the
            renewer's seat either, nobody ever will: token and refresh token are in doubt.
        unsaved: a record that is yet to be saved.
        spacing: of forced renewals.

    """

    def __init__(self, key: StoreKey, settings: Settings) -> None:
        """Know nothing yet."""
        self.key = key
        self.settings = settings
        self.forget()

    def forget(self) -> None:
        """Know nothing any more, as in a forked child."""
        self.held: HeldToken | None = None
        self.refused: HeldToken | None = None
        self.refused_cause: str = ""
        self.begun: bool = False
        self.epoch: int = 0
        self.unsaved: Unsaved | None = None
        self.throttle: RenewalThrottle = RenewalThrottle()
        self._spacing_reset = RenewalThrottle()
        self._seen = 0
        self._early_from = float("-inf")
        self._look_from = float("-inf")
        self._failures = 0
        self._doubts = 0
        self._hold: tuple[float, CoboAuthError] | None = None

    # ------------------------------------------------------------------------------- tokens
    @property
    def settled(self) -> bool:
        """Whether nothing is known that would keep a FRESH token from being used at once."""
        return not self.begun and self.refused is None and self.unsaved is None

    @property
    def state(self) -> TokenState:
        """What the held token is good for now."""
        held = self.held
        return held.state(self.settings.clock) if held is not None else TokenState.MISSING

    @property
    def usable(self) -> HeldToken | None:
        """The held token, unless it is EXPIRED."""
        return self.held if self.state in (TokenState.FRESH, TokenState.STALE) else None

    @property
    def next_generation(self) -> int:
        """Higher than any seen so far."""
        return self._seen + 1

    def rolled_back(self, record: Record) -> bool:
        """Tell whether the store lost what it once had; its token may be spent."""
        return record.generation < self._seen

    def saw(self, record: Record) -> None:
        """Learn a record's generation and spacing."""
        self._seen = max(self._seen, record.generation)
        if record.throttle != self._spacing_reset and (
            record.throttle.ineffective_until >= self.throttle.ineffective_until
        ):
            self.throttle = record.throttle

    def is_newer(self, record: Record) -> bool:
        """Tell whether the record has a token other than ours, and not an older one."""
        return (
            record.token is not None
            and not self.rolled_back(record)
            and (self.held is None or record.token.access_token != self.held.token.access_token)
        )

    def begin(self) -> None:
        """Note that an exchange begins; ``adopt`` ends it, or else nobody knows its end."""
        self.begun = True
        self.epoch += 1
        self._early_from = float("-inf")

    def adopt(self, record: Record) -> HeldToken:
        """Use the record's token from now on."""
        if record.token is None:
            message = "there is no token in that record"
            raise ValueError(message)
        self._seen = max(self._seen, record.generation)
        self.held = held = HeldToken.now(record.token, record.generation, self.settings.clock)
        self.refused = None
        self.begun = False
        self.recovered()
        return held

    # ---------------------------------------------------------------------- failures, spaced
    def early_allowed(self) -> bool:
        """Tell whether a renewal that could as well come later may be tried now."""
        return self.settings.clock.monotonic() >= self._early_from

    def early_failed(self, *, in_doubt: bool = False, at_least: float = 0.0) -> None:
        """Space out the renewals that could as well come later.

        With a token in doubt the first ones come sooner: a write may be refused with it.
        """
        window = self.held.token.renewal_window if self.held else 0.0
        pause = min(_EARLY_SPACING_S, window * _EARLY_SPACING_FRACTION)
        if in_doubt:
            self._doubts += 1
            pause = min(pause, _doubled(self._doubts))
        self._early_from = self.settings.clock.monotonic() + max(at_least, pause)

    def failed(self, error: CoboAuthError, *, at_least: float) -> None:
        """Remember a failure, so that not every request asks again.

        The first of a row is remembered only where ``at_least`` says so, in seconds.
        """
        hold = max(at_least, min(_doubled(self._failures), _LONGEST_HOLD_S))
        self._failures += 1
        self._hold = (self.settings.clock.monotonic() + hold, error)

    def recovered(self) -> None:
        """Forget the failures."""
        self._failures = 0
        self._doubts = 0
        self._hold = None
        self._early_from = float("-inf")

    def held_failure(self) -> CoboAuthError | None:
        """Give the failure that is still remembered, if there is one."""
        hold = self._hold
        if hold is None or self.settings.clock.monotonic() >= hold[0]:
            return None
        return hold[1]

    def may_look(self) -> bool:
        """Tell whether the store may be looked into once more, and take note of it."""
        now = self.settings.clock.monotonic()
        if now < self._look_from:
            return False
        self._look_from = now + _LOOK_SPACING_S
        return True

    # ----------------------------------------------------------------------------- refusals
    def refuse(self, held: HeldToken, cause: str) -> None:
        """Have the next flow renew first, for this token was refused."""
        if self.held is held:
            self.refused_cause = cause
            self.refused = held

    def forced_wait(self) -> float:
        """Seconds before the next forced renewal."""
        return self.throttle.wait(self.settings.clock.time())

    def vain(self, cause: str) -> bool:
        """Note that a forced renewal did not help; ``False`` where that is known already."""
        before = self.throttle
        self.throttle = before.ineffective(self.settings.clock.time(), cause)
        return self.throttle is not before

    def accepted(self, cause: str) -> None:
        """Note that a request was accepted; it may be the one that renewals did not help."""
        if self.throttle.ineffective_count and self.throttle.ineffective_cause == cause:
            self._spacing_reset = self.throttle
            self.throttle = self.throttle.accepted()

    # -------------------------------------------------------------------------- saving later
    def keep_unsaved(self, record: Record, expected: Version) -> None:
        """Keep a record in memory, to be saved later."""
        retry_at = self.settings.clock.monotonic() + _RESAVE_SPACING_S
        self.unsaved = Unsaved(record, expected, retry_at)

    def unsaved_due(self) -> bool:
        """Tell whether a record that is yet to be saved should be tried again."""
        unsaved = self.unsaved
        return unsaved is not None and self.settings.clock.monotonic() >= unsaved.retry_at


def _doubled(failures: int) -> float:
    """Give the seconds to wait after so many failures in a row; none after none."""
    return _FIRST_HOLD_S * 2.0 ** min(failures - 1, 16) if failures else 0.0
