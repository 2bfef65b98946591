"""The table of prompts: (method × prompt), each with several seeds. And that of a user's own prompts and pictures."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from minisd import StableDiffusion, UserError, ddim
from minisd.cli.model_choice import ModelChoice

from ..defaults import measured_start
from ..metrics import Judge
from ..protocol import Method
from ..protocols import PROTOCOLS, Protocol
from ..protocols import table as protocol_table
from . import measure
from .all_methods import DELETED, OURS, SWR, about_start, forecast, with_own_start
from .cases import Case
from .cells import Cell, Form, Key
from .extras import Extras, Shown
from .fit import Making
from .forms import OWN, PROMPTS
from .jobs import Job, Together
from .model import EMBEDDED, described
from .own_prompts import OwnCase
from .page.parts import Report
from .page.prompt_report import prompt_report
from .page.protocol_report import protocol_report
from .page.samples import prompt_sheets
from .page.shared import about_model
from .plan import Table
from .prompt_table import report, report_all
from .provenance import made_by, make_judge
from .spreadsheet import PROMPT_COLUMNS, Line, prompt_lines
from .targets import phrase_of, targets_of


@dataclass(frozen=True)
class PromptPlan:
    """rows: (name of the row, method as `measure.method_of` takes it). every_method: the table is `--rows all`.

    at_once: pictures that are drawn at once, also of several prompts. None: those of one prompt.
    """

    rows: tuple[tuple[str, str], ...]
    cases: tuple[Case, ...] | tuple[OwnCase, ...]
    steps: int
    start: float
    seeds: int | None  # per prompt; None: the cases are a user's own and have their own seeds
    every_method: bool = False
    protocol: str | None = None  # the name of the protocol whose table it is
    device: str = "cpu"  # where the model is, as the cells have it
    judge: str | None = None  # "module:Class" of a user's own detector
    judge_folder: str = "."  # where its module is
    folder: str = "."  # to which the names of a user's pictures are relative
    model: ModelChoice = EMBEDDED
    at_once: int | None = None

    columns = PROMPT_COLUMNS

    @property
    def form(self) -> Form:
        return PROMPTS if self.seeds is not None else OWN

    def load(self, device: str) -> Table:
        """UserError for steps that the model's schedule does not have, and for targets that the judge cannot see."""
        self._check_files()
        sd = self.model.load(device)
        ddim.timesteps(self.steps, sd.config.schedule)  # an error now, not one in every cell
        judge = make_judge(sd, self.judge, self.judge_folder).load()
        judge.match([phrase for case in self.cases for phrase in targets_of(case.target)])
        seeds = {} if self.seeds is None else {"seeds": self.seeds}
        settings = {"steps": self.steps, "start": self.start, **seeds, "device": device_name(self.device)}
        making = Making(settings, judge.detector.names, made_by(sd, judge, clip=True), self.judge is not None)
        extras = self._extras(judge)
        rows = self._rows(sd).items()
        jobs = [self._job(sd, judge, extras, row, spec, case) for case in self.cases for row, spec in rows]
        return Table(jobs, making, judge.detector, sd)

    def _rows(self, sd: StableDiffusion) -> dict[str, str]:
        """Name -> method, with what was measured on the model."""
        rows = dict(self.rows)
        return with_own_start(rows, measured_start(sd)) if self.every_method else rows

    def _check_files(self) -> None:
        """UserError if a user's picture is not there, as may be on another machine."""
        names = [name for case in self.cases if isinstance(case, OwnCase) for name in (case.picture, case.mask) if name]
        if missing := [name for name in names if not (Path(self.folder) / name).is_file()]:
            raise UserError(f"{platform.node()} has no file {missing[0]} in {self.folder}")

    @property
    def _protocol(self) -> Protocol | None:
        """The protocol whose table it is, with the rows and prompts of this run."""
        if self.protocol is None:
            return None
        cases = [case for case in self.cases if isinstance(case, Case)]
        protocol = PROTOCOLS[self.protocol].of(cases, dict(self.rows))
        return replace(protocol, steps=self.steps, start=self.start, seeds=self.seeds or 0)

    def _extras(self, judge: Judge) -> Extras:
        """The scores that the protocol's table has beside the usual ones."""
        protocol = self._protocol
        if protocol is None:
            return Extras((), judge.clip, (), {})
        objects = {
            case.prompt: name for group, name in protocol.objects.items() for case in protocol.groups.get(group, ())
        }
        return Extras(protocol.extras, judge.clip, protocol.classes, objects)

    def _job(self, sd: StableDiffusion, judge: Judge, extras: Extras, row: str, spec: str, case: Case | OwnCase) -> Job:
        try:
            method = measure.method_of(sd, spec, case, self.steps, self.start)
        except UserError as error:
            return Job(row, case, None, partial(_cannot, str(error)))
        if isinstance(case, OwnCase) and case.picture:
            return Job(row, case, method, partial(_measure_own, sd, judge, case, method, Path(self.folder)))
        at_once = self.at_once or measure.AT_ONCE
        alone = partial(_measure, sd, judge, extras, case, method, self._seeds(case), at_once)
        # settings need not be hashable, but their text tells one method from another
        kind = repr(method), len(targets_of(case.target))
        several = partial(_measure_together, sd, judge, extras, self._seeds)
        together = Together(kind, len(self._seeds(case)), several)
        return Job(row, case, method, alone, extras=extras.names, at_hand=extras.at_hand, together=together)

    def _seeds(self, case: Case | OwnCase) -> tuple[int, ...]:
        """Of a case that is drawn."""
        return case.seeds if isinstance(case, OwnCase) else tuple(range(self.seeds or 0))

    def forecast(self, done: Mapping[Key, Cell]) -> str:
        """A sentence about the time that the missing cells take. One cell has to be measured."""
        return forecast(dict(self.rows), self.cases, done, self.seeds or 1)

    def report(self, done: Mapping[Key, Cell], detector: Any) -> str:
        if (protocol := self._protocol) is not None:
            return protocol_table.report(protocol, done, detector)
        measured = dict(done), dict(self.rows), self.cases, detector
        if not self.every_method:
            return report(*measured)
        return report_all(*measured, described(self.model), self.start)

    @property
    def names(self) -> list[str]:
        return [row for row, _ in self.rows]

    @property
    def sampled(self) -> Sequence[str]:
        """Of a table of methods those with which others are compared, in one table or the other; of a protocol all."""
        return (OURS, DELETED, SWR, "SWR", "Unread", "unread") if self.protocol is None else self.names

    def page(self, done: Mapping[Key, Cell], table: Table, command: str, samples: Sequence[str]) -> Report:
        rows = self._rows(table.model)
        settings, detector = table.making.settings, table.detector
        shown = {row: rows[row] for row in samples}
        sheets = prompt_sheets(table.model, detector, done, shown, self.cases, settings, Path(self.folder))
        about = about_model(self.model) + (f" {about_start(done, self.start)}" if self.every_method else "")
        report = prompt_report(done, rows, self.cases, detector, command, settings, sheets, about)
        protocol = self._protocol
        return report if protocol is None else protocol_report(report, protocol, done, detector)

    def lines(self, done: Mapping[Key, Cell], detector: Any) -> list[Line]:
        """Of the .csv file."""
        return list(prompt_lines(done, dict(self.rows), self.cases, range(self.seeds or 0), detector))


def _measure(
    sd: StableDiffusion,
    judge: Judge,
    extras: Extras,
    case: Case | OwnCase,
    method: Method,
    seeds: Sequence[int],
    at_once: int,
) -> Cell:
    return measure.measure(sd, judge, case, method, list(seeds), extra=partial(_extra, extras, case), at_once=at_once)


def _measure_together(
    sd: StableDiffusion,
    judge: Judge,
    extras: Extras,
    seeds: Callable[[Case | OwnCase], Sequence[int]],
    jobs: Sequence[Job],
) -> list[Cell]:
    """Jobs with one method."""
    [method, *_] = [job.method for job in jobs]
    assert method is not None
    cells = [(job.case, seeds(job.case), partial(_extra, extras, job.case)) for job in jobs]
    return measure.measure_together(sd, judge, cells, method)


def _extra(extras: Extras, case: Case | OwnCase, before: Sequence[Image.Image], after: Sequence[Image.Image]) -> Cell:
    return extras.of(Shown(case.prompt, phrase_of(case.target), before, after))


def _measure_own(sd: StableDiffusion, judge: Judge, case: OwnCase, method: Method, folder: Path) -> Cell:
    """A picture of the user's is edited."""
    picture, mask = (folder / name if name else None for name in (case.picture, case.mask))
    return measure.measure(sd, judge, case, method, [], picture, mask)


def _cannot(reason: str) -> Cell:
    raise UserError(reason)


def device_name(device: str) -> str:
    """What the cells say of the device. The times belong to it, and the last digits of the scores."""
    return device if device != "cpu" else platform.processor() or "cpu"
