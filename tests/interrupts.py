"""Interrupting code at a chosen moment, by an exception like a signal handler's."""

from __future__ import annotations

import dis
import functools
import itertools
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

__all__ = ["ANY_OPCODE", "Interrupt"]

ANY_OPCODE = frozenset(dis.opname)
_SIGNALS = frozenset({"CALL", "CALL_KW", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD"})
"""The instructions at whose end CPython lets signal handlers run."""


class Interrupt:
    """A ``KeyboardInterrupt`` at one moment of a call.

    The call is made in a thread of its own: tracing would end coverage's, and what is raised
    right before ``POP_EXCEPT`` leaves a thread with an exception that it handles for ever.

    Args:
        moment: counted from 0.
        of: whether a file's code is to be interrupted, by its path.
        after: the instructions after which it may be.

    Attributes:
        struck: whether the moment came.
        error: what was raised then, with its frames, unless it was swallowed.

    """

    def __init__(
        self, moment: int, of: Callable[[str], bool], after: frozenset[str] = _SIGNALS
    ) -> None:
        self.struck = False
        self.error: BaseException | None = None
        self._of = of
        self._after = after
        self._left = itertools.count(-moment)
        self._last: dict[int, str] = {}

    def strike(self, call: Callable[[], object]) -> None:
        """Make the call."""
        thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()

    def _run(self, call: Callable[[], object]) -> None:
        sys.settrace(self._trace)
        try:
            call()
        except KeyboardInterrupt as error:
            self.error = error
        finally:
            sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if not self._of(frame.f_code.co_filename):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            before = self._last.get(id(frame))
            self._last[id(frame)] = _instructions(frame.f_code)[frame.f_lasti]
            if before in self._after and next(self._left) == 0:
                self.struck = True
                raise KeyboardInterrupt
        elif event == "return":
            self._last.pop(id(frame), None)
        return self._trace


@functools.cache
def _instructions(code: CodeType) -> dict[int, str]:
    return {step.offset: step.opname for step in dis.get_instructions(code)}
