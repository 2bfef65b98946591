"""The table of prompts: (method × prompt), each with several seeds."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from minisd import StableDiffusion, ddim, load

from ..metrics import Judge
from ..protocol import Method
from . import measure
from .all_methods import forecast
from .cases import Case
from .cells import Cell, Key
from .fit import Making
from .forms import PROMPTS
from .jobs import Job
from .plan import Table
from .prompt_table import report, report_all
from .provenance import made_by


@dataclass(frozen=True)
class PromptPlan:
    """rows: (name of the row, method as `measure.method_of` takes it). every_method: the table is `--rows all`."""

    rows: tuple[tuple[str, str], ...]
    cases: tuple[Case, ...]
    steps: int
    start: float
    seeds: int
    every_method: bool = False
    device: str = "cpu"  # where the model is, as the cells have it

    form = PROMPTS

    def load(self, device: str) -> Table:
        """UserError for steps that the model's schedule does not have."""
        sd = load("tiny", device=device)
        ddim.timesteps(self.steps, sd.config.schedule)  # an error now, not one in every cell
        judge = Judge(sd).load()
        settings = {"steps": self.steps, "start": self.start, "seeds": self.seeds, "device": device_name(self.device)}
        making = Making(settings, judge.detector.names, made_by(sd, judge, clip=True))
        jobs = [self._job(sd, judge, row, spec, case) for case in self.cases for row, spec in self.rows]
        return Table(jobs, making, judge.detector)

    def _job(self, sd: StableDiffusion, judge: Judge, row: str, spec: str, case: Case) -> Job:
        method = measure.method_of(sd, spec, case, self.steps, self.start)
        return Job(row, case, method, partial(_measure, sd, judge, case, method, list(range(self.seeds))))

    def forecast(self, done: Mapping[Key, Cell]) -> str:
        """A sentence about the time that the missing cells take. One cell has to be measured."""
        return forecast(dict(self.rows), self.cases, done, self.seeds)

    def report(self, done: Mapping[Key, Cell], detector: Any) -> str:
        make = report_all if self.every_method else report
        return make(dict(done), dict(self.rows), self.cases, detector)


def _measure(sd: StableDiffusion, judge: Judge, case: Case, method: Method, seeds: Sequence[int]) -> Cell:
    return measure.measure(sd, judge, case, method, list(seeds))


def device_name(device: str) -> str:
    """What the cells say of the device. The times belong to it, and the last digits of the scores."""
    return device if device != "cpu" else platform.processor() or "cpu"
