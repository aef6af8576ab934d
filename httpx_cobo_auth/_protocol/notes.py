"""The note that an exchange has begun: written before it, taken back where nothing was sent.

It counts the attempt as failed, until its outcome replaces it. So an attempt that is abandoned, or
whose process dies, has failed for everybody who shares the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx_cobo_auth._protocol.effects import Save
from httpx_cobo_auth._protocol.maintenance import glance, newer_record
from httpx_cobo_auth._protocol.records import PendingExchange
from httpx_cobo_auth.errors import StoreConflictError, StoreError

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.account import Account
    from httpx_cobo_auth._protocol.asking import Flow
    from httpx_cobo_auth._protocol.records import Record, Version
    from httpx_cobo_auth._protocol.reports import RenewalReports
    from httpx_cobo_auth._protocol.settings import Settings
    from httpx_cobo_auth._protocol.token_endpoint import Failed

__all__ = ["Note"]


class Note:
    """The note of one exchange.

    Args:
        account: whose token it is.
        settings: of the auth object that acts.
        reports: of the renewal.
        record: as it was before.

    """

    def __init__(
        self, account: Account, settings: Settings, reports: RenewalReports, record: Record
    ) -> None:
        self._account = account
        self._settings = settings
        self._reports = reports
        self._record = record
        self._noted: Record | None = None

    def write(
        self, expected: Version, owner: str, *, in_doubt: bool, optional: bool
    ) -> Flow[Record | None]:
        """Return the record with the exchange noted; another, if somebody else renewed meanwhile.

        Returns ``None`` where nothing could be saved, and the renewal has to be all the same.
        """
        account, record = self._account, self._record
        now = account.clock.time()
        attempts = account.attempt_failed(in_doubt=in_doubt)
        noted = record.revised(owner, pending=PendingExchange(owner, now), attempts=attempts)
        try:
            yield from Save(noted, expected)
        except StoreConflictError:
            # The lock lapsed, and somebody else went on: perhaps there is a token by now.
            theirs = yield from newer_record(account)
            if theirs is None:
                raise
            return theirs
        except StoreError as error:
            # Perhaps it was saved all the same, and only the answer was lost.
            stored = yield from glance()
            if stored is None or stored.version != noted.version:
                if optional:
                    raise
                self._reports.save_failed(record.generation, error)
                return None
        account.saved(noted)
        self._noted = noted
        return noted

    def came_to_nothing(self, result: Failed, *, broken: bool) -> Flow[None]:
        """Note what came of an exchange that brought no token.

        Args:
            result: what came instead.
            broken: whether an older exchange is noted, whose end nobody knows.

        """
        noted = self._noted
        retry_after = getattr(result.error, "retry_after", None) or 0.0
        if retry_after:
            self._account.postpone(retry_after)
        if result.unspent and not broken:
            self._account.came_to_nothing()
            yield from self.take_back()
        elif retry_after and noted is not None:
            yield from self._replace(noted, noted)

    def take_back(self) -> Flow[None]:
        """Take the note back: the refresh token has not left. An older note stays."""
        if self._noted is not None:
            yield from self._replace(self._noted, self._record)

    def _replace(self, noted: Record, record: Record) -> Flow[None]:
        """Save a record in place of the noted one, with what is known of attempts."""
        account = self._account
        new = record.revised(self._settings.new_owner(), attempts=account.known.attempts)
        try:
            yield from Save(new, noted.version)
        except StoreError as error:
            self._reports.save_failed(record.generation, error)
        else:
            account.saved(new)
