"""Interrupting code at a chosen moment, by an exception like a signal handler's."""

from __future__ import annotations

import contextlib
import dis
import functools
import itertools
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import CodeType, FrameType

__all__ = ["ANY_OPCODE", "SIGNALS", "interrupted"]

ANY_OPCODE = frozenset(dis.opname)
SIGNALS = frozenset({"CALL", "CALL_KW", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD"})
"""The instructions at whose end CPython lets signal handlers run."""


@contextlib.contextmanager
def interrupted(
    moment: int, of: Callable[[str], bool], *, after: frozenset[str] = SIGNALS
) -> Generator[list[str]]:
    """Raise ``KeyboardInterrupt`` at that moment; gives where that was, nothing if it was nowhere.

    Args:
        moment: counted from 0.
        of: whether a file's code is to be interrupted, by its path.
        after: the instructions after which it may be.

    """
    left = itertools.count(-moment)
    struck: list[str] = []
    last: dict[int, str] = {}

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if not of(frame.f_code.co_filename):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            before = last.get(id(frame))
            last[id(frame)] = _instructions(frame.f_code)[frame.f_lasti]
            if before in after and next(left) == 0:
                struck.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
                raise KeyboardInterrupt
        elif event == "return":
            last.pop(id(frame), None)
        return trace

    others = sys.gettrace()  # coverage's
    sys.settrace(trace)
    try:
        yield struck
    finally:
        sys.settrace(others)


@functools.cache
def _instructions(code: CodeType) -> dict[int, str]:
    return {step.offset: step.opname for step in dis.get_instructions(code)}
