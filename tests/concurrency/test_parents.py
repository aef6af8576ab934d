"""What the running code is inside of, and no longer."""

from __future__ import annotations

import contextvars

from httpx_cobo_auth._runtime.parents import inside, parents
from httpx_cobo_auth._runtime.permits import Permits


def numbers() -> list[int]:
    """Return the permits of the requests that this is inside of."""
    return [parent.number for parent in parents.get()]


def test_what_was_interrupted_is_forgotten() -> None:
    """A thread whose requests are interrupted again and again does not remember them all."""

    def in_a_thread() -> None:
        permits = Permits()
        outer, left, dropped = permits.begin_write(), permits.begin_write(), permits.begin_write()
        assert outer
        assert left
        assert dropped
        with inside(outer, "me"):
            inside(left, "me").__enter__()
            inside(dropped, "me").__enter__()
            assert numbers() == [outer.number, left.number, dropped.number]
            left.release()
            del dropped
            inner = permits.begin_write()
            assert inner
            with inside(inner, "me"):
                assert numbers() == [outer.number, inner.number]
        assert numbers() == []

    contextvars.Context().run(in_a_thread)
