"""A table that draws nothing: its scores come from the names. For tests of what happens around the measuring.

Other processes import it too. Run as a program, it is `suppress eval` with this table.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from minisd import UserError
from minisd.cli import options
from suppress.cli.evaluate_report import add_report_options
from suppress.cli.evaluate_table import add_scale_options, evaluate_table
from suppress.evaluation.cases import CASES
from suppress.evaluation.fit import Making
from suppress.evaluation.forms import PROMPTS
from suppress.evaluation.jobs import Job, Together
from suppress.evaluation.plan import Table
from suppress.evaluation.spreadsheet import PROMPT_COLUMNS, prompt_lines
from suppress.evaluation.table import markdown, summarise

ROWS = ("one", "two", "three")
CLASSES = ("target", "hat", "dog")
MADE_BY = {"code": "0.1.0+abc", "weights": "01", "judge": "02"}


@dataclass(frozen=True)
class FakePlan:
    """log: a file that gets a line for each measured cell."""

    log: str
    seconds: float = 0.0  # that a cell takes
    steps: int = 25
    weights: str = "01"
    kill: str = ""  # a file; the process that measures the fifth case writes it and dies, unless it exists
    always: bool = False  # it dies each time
    device: str = "cpu"

    form = PROMPTS
    columns = PROMPT_COLUMNS
    names = ROWS
    sampled = ()

    def load(self, device: str) -> Table:
        if device == "no such device":
            raise UserError("there is no such device")
        making = Making({"steps": self.steps}, CLASSES, MADE_BY | {"weights": self.weights})
        together = Together("any", 2, self.measure_together)
        jobs = [
            Job(row, case, None, partial(self.measure, row, case), together=together) for case in CASES for row in ROWS
        ]
        return Table(jobs, making, None, None)

    def measure(self, row, case) -> dict:
        time.sleep(self.seconds)
        if self.kill and case == CASES[4] and (self.always or not Path(self.kill).exists()):
            Path(self.kill).write_text("killed")
            os.kill(os.getpid(), 9)
        with open(self.log, "a") as file:
            file.write(f"{row}: {case.prompt} by {os.getpid()}\n")
        if (row, case) == ("two", CASES[2]):
            raise UserError("this one cannot")
        numbers = [byte / 255 for byte in hashlib.sha256(f"{row} {case}".encode()).digest()]
        pairs = iter(zip(numbers[::2], numbers[1::2], strict=True))
        before, after = ({name: list(next(pairs)) for name in CLASSES} for _ in range(2))
        lists = {name: list(next(pairs)) for name in ("clip before", "clip after", "ssim")}
        return {"before": before, "after": after, **lists, "passes": 9, "seconds": 1.0}

    def measure_together(self, jobs) -> list[dict]:
        with open(self.log + "-batches", "a") as file:
            file.write(f"{jobs[0].row}: {len(jobs)}\n")
        if any((job.row, job.case) == ("two", CASES[2]) for job in jobs):
            raise UserError("one of these cannot")
        return [self.measure(job.row, job.case) for job in jobs]

    def lines(self, done, detector) -> list[dict]:
        target = SimpleNamespace(match=lambda phrase: SimpleNamespace(name="target"))
        return list(prompt_lines(done, ROWS, CASES, [0, 1], target))

    def report(self, done, detector) -> str:
        cells = [(row, done.get((row, case.prompt), {})) for row in ROWS for case in CASES]
        return markdown({r: summarise(("target", c) for row, c in cells if row == r and "after" in c) for r in ROWS})


def run(plan: FakePlan, *argv: str) -> int:
    """`suppress eval` with this table."""
    parser = argparse.ArgumentParser()
    options.add_model_options(parser)
    add_scale_options(parser)
    add_report_options(parser)
    parser.add_argument("--out", default="cells.jsonl")
    return options.run("suppress eval", partial(evaluate_table, plan=plan), options.parse(parser, argv))


def measured(log: Path) -> list[SimpleNamespace]:
    """The cells that were measured: what, and by which process."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [SimpleNamespace(what=line.rpartition(" by ")[0], by=line.rpartition(" by ")[2]) for line in lines]


if __name__ == "__main__":
    raise SystemExit(run(FakePlan(sys.argv[1], seconds=float(sys.argv[2])), *sys.argv[3:]))
