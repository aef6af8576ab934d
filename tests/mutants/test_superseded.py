"""Tokens that others bring, and that are refused as well: an end comes to that, too."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth._protocol.effects import Enter, Load, ResponseSummary, Send
from tests.flow.stepping import ENTERED, Desk, Sending, perform, read

if TYPE_CHECKING:
    from httpx_cobo_auth._protocol.effects import Effect
    from httpx_cobo_auth._protocol.records import Record


def test_the_fifth_refusal_is_handed_over_though_others_go_on_renewing() -> None:
    """Three tokens taken over are no renewal of ours; the fourth stands for the forced one."""
    desk = Desk()
    desk.having("0", 0)
    generations = itertools.count(1)
    sent: list[str] = []

    def newer(_: Effect) -> Record:
        generation = next(generations)
        return desk.record(str(generation), generation)

    def refused(effect: Effect) -> ResponseSummary:
        assert isinstance(effect, Send)
        assert effect.held is not None
        sent.append(effect.held.token.access_token)
        assert len(sent) < 10
        return ResponseSummary(401, 2021)

    perform(desk.flow.request(read()), {Enter: ENTERED, Load: newer, Send: refused})
    assert sent == ["access-0", "access-1", "access-2", "access-3", "access-4"]


def test_a_missing_permission_is_handed_over_the_second_time() -> None:
    """Though yet another token came meanwhile: one that has no permission either, it seems."""
    desk = Desk()
    desk.having("a")
    flow = desk.flow.request(read())
    assert Sending("a").fits(next(flow))
    desk.having("b", 2)
    assert Sending("b").fits(flow.send(ResponseSummary(403, 2025)))
    desk.having("c", 3)
    with pytest.raises(StopIteration):
        flow.send(ResponseSummary(403, 2025))
