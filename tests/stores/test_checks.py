"""What the stores have in common: failures as text, and what may replace what."""

from __future__ import annotations

import pytest

from httpx_cobo_auth._protocol.records import PendingExchange, Record
from httpx_cobo_auth.errors import StoreConflictError
from httpx_cobo_auth.stores._checks import Trouble, attempt, require_version


def _fail() -> None:
    message = "5ec2e7 " * 100
    raise ValueError(message)


def test_a_failure_keeps_name_and_text_up_to_a_length() -> None:
    """The name of the error and what it says, on 500 characters at most."""
    found = attempt(_fail, ValueError)
    assert found == Trouble(("ValueError: " + "5ec2e7 " * 100)[:500])


def test_a_failure_without_details_keeps_the_name_alone() -> None:
    """Where what the error says may hold a secret, nothing of it is repeated."""
    assert attempt(_fail, ValueError, detailed=False) == Trouble("ValueError")


def test_a_conflict_is_told_in_full() -> None:
    """The error says why the record was not saved."""
    with pytest.raises(StoreConflictError) as conflict:
        require_version(None, Record(1), (1, None))
    assert str(conflict.value) == "the record moved on since it was read"


def test_a_record_of_the_same_generation_may_replace_the_one_it_was_read_as() -> None:
    """A note is written without a new token: same generation, same version."""
    stored = Record(3)
    require_version(stored, stored.with_pending(PendingExchange("me", 1.0)), (3, None))
    with pytest.raises(StoreConflictError):
        require_version(stored, Record(2), (3, None))
