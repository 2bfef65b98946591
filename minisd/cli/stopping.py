"""Ctrl-C while pictures are drawn: the step at work is finished, and what is drawn by then is kept."""

from __future__ import annotations

import signal
import sys
from types import FrameType, TracebackType
from typing import Any

from ..base.outputs import UNFINISHED


class Stopping:
    """A callback that stops the drawing after Ctrl-C. Use it around one batch:

        with Stopping() as stopping:
            pictures = sd.generate(…, callback=stopping)
        if stopping.at is not None:
            …  # the pictures are those that step `at` expects

    A second Ctrl-C, and one before the first step is done, stop at once with KeyboardInterrupt, as without this.
    """

    def __init__(self) -> None:
        self.pressed = False
        self.at: int | None = None  # the step after which the drawing was stopped
        self.total = 0  # how many steps a finished picture has
        self._begun = False

    @property
    def finished(self) -> bool:
        """Whether the drawing went on to its last step."""
        return self.at is None

    @property
    def ending(self) -> str:
        """What the name of an unfinished picture's file ends in."""
        return "" if self.finished else UNFINISHED

    def fields(self) -> dict[str, object]:
        """What the parameters of an unfinished picture say about it."""
        return {} if self.at is None else {"Stopped after step": self.at + 1}

    def remark(self) -> str:
        """What a message about unfinished pictures ends in."""
        if self.at is None:
            return ""
        return f"; unfinished ones look as step {self.at + 1} of {self.total} expects them"

    def __call__(self, step: Any) -> bool:
        self._begun, self.total = True, step.total
        if self.pressed and step.i < step.total - 1:
            self.at = step.i
        return not self.pressed

    def __enter__(self) -> Stopping:
        try:
            self._before = signal.signal(signal.SIGINT, self._press)
        except ValueError:  # only the main thread has signals
            self._before = None
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed or not self._begun:
            raise KeyboardInterrupt
        self.pressed = True
        print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)
