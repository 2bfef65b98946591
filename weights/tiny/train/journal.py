"""The log of a run: a file of JSON lines, and the same in short on the terminal.

{"stage": "unet", "step": 50, "loss": 0.31, "seconds": 12.4, "rate": 0.0004}

`seconds` counts from the stage's first step, without the time in which the run was stopped. If there are several
processes, the losses are those of the first.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from .processes import Processes


class Journal:
    """Only the first process writes."""

    def __init__(self, file: Path, processes: Processes):
        self.file, self.processes = file, processes

    def write(self, stage: str, **fields: Any) -> None:
        """Adds a line."""
        if not self.processes.is_first:
            return
        line = {"stage": stage, **{k: round(v, 6) if isinstance(v, float) else v for k, v in fields.items()}}
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        print(stage, *(f"{name} {_short(value)}" for name, value in fields.items()), sep="  ", flush=True)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Watch:
    """The seconds of a stage, with those before it was stopped."""

    def __init__(self, before: float):
        self.before = before
        self.start()

    def start(self) -> None:
        """From now on, time counts."""
        self.begin = time.perf_counter() - self.before

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.begin
