"""The table of pictures: (method, inversion) × drawn picture, whose ideal edit is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minisd import UserError, ddim, load
from minisd.base.counted import counted

from ..metrics import Judge
from ..protocols import PICTURE_PROTOCOLS, PictureProtocol
from ..protocols import picture_table as protocol_table
from . import picture_table
from .cells import Cell, Key
from .extras import Extras
from .fit import Making
from .forms import PICTURES
from .measure_pictures import Bench
from .page.parts import Report
from .page.picture_report import picture_report
from .page.protocol_report import picture_protocol_report
from .page.samples import picture_sheets
from .pairs import GUIDANCE, IDEAL, VAE, Pair
from .pictures import PictureCase
from .plan import Table
from .prompt_plan import device_name
from .provenance import made_by, make_judge
from .spreadsheet import PICTURE_COLUMNS, Line, picture_lines


@dataclass(frozen=True)
class PicturePlan:
    """start: R of all rows; None: each method's own."""

    pairs: tuple[Pair, ...]
    cases: tuple[PictureCase, ...]
    steps: int
    start: float | None
    device: str = "cpu"  # where the model is, as the cells have it
    judge: str | None = None  # "module:Class" of a user's own detector
    judge_folder: str = "."  # where its module is
    protocol: str | None = None  # the name of the protocol whose table it is

    form = PICTURES
    columns = PICTURE_COLUMNS

    def load(self, device: str) -> Table:
        """UserError for steps that the model's schedule does not have."""
        sd = load("tiny", device=device)
        ddim.timesteps(self.steps, sd.config.schedule)  # an error now, not one in every cell
        judge = make_judge(sd, self.judge, self.judge_folder)
        bench = Bench(sd, judge, self.steps, self._extras(judge))
        settings = {
            "steps": self.steps,
            "start": self.start,
            "guidance": GUIDANCE,
            "device": device_name(self.device),
        }
        detector = bench.judge.detector
        if missing := sorted({case.name for case in self.cases} - set(detector.names)):
            raise UserError(f"--judge {self.judge} cannot see {', '.join(missing)}, which these pictures show")
        made = made_by(sd, judge, clip=bench.extras is not None)
        making = Making(settings, detector.names, made, self.judge is not None)
        return Table(bench.jobs(self.cases, self.pairs, self.start), making, detector, bench)

    def _extras(self, judge: Judge) -> Extras | None:
        """The scores that the protocol's table has beside the usual ones."""
        protocol = self._protocol
        if protocol is None or not protocol.extras:
            return None
        return Extras(protocol.extras, judge.clip, protocol.classes, {})

    @property
    def _protocol(self) -> PictureProtocol | None:
        """The protocol whose table it is, with the rows of this run."""
        if self.protocol is None:
            return None
        return replace(PICTURE_PROTOCOLS[self.protocol].of(self.pairs), steps=self.steps, start=self.start)

    @property
    def names(self) -> list[str]:
        return [pair.row for pair in self.pairs]

    @property
    def sampled(self) -> Sequence[str]:
        """Of the table of pairs those with which others are compared; of a protocol all."""
        usual = ("Unread, keep 1", "phrase deleted", "SWR + ITO", "Unread")
        return tuple(f"{name} on direct" for name in usual) if self.protocol is None else self.names

    def page(self, done: Mapping[Key, Cell], table: Table, command: str, samples: Sequence[str]) -> Report:
        pairs = [pair for pair in self.pairs if pair.row in samples]
        sheets = picture_sheets(table.model, done, pairs, self.cases, self.start)
        report = picture_report(done, self.pairs, self.cases, command, table.making.settings, sheets)
        protocol = self._protocol
        return report if protocol is None else picture_protocol_report(report, protocol, done, self.cases)

    def _rows(self) -> list[str]:
        return [VAE, IDEAL, *(pair.row for pair in self.pairs)]

    def lines(self, done: Mapping[Key, Cell], detector: Any) -> list[Line]:
        """Of the .csv file."""
        return list(picture_lines(done, self._rows(), self.cases))

    def report(self, done: Mapping[Key, Cell], detector: Any) -> str:
        """Markdown: the tables of all pairs that were measured on these pictures, or the protocol's."""
        if (protocol := self._protocol) is not None:
            return protocol_table.report(protocol, done, self.cases)
        names = self._rows()
        rows = picture_table.measured_rows(done, names, self.cases)
        skipped = sum(case.skipped for case in self.cases)
        return "\n\n".join(
            part
            for part in (
                f"**{counted(len(self.cases), 'drawn picture')}, {counted(self.steps, 'step')}, guidance "
                f"{GUIDANCE:g}** (captions skipped because they do not name the target: {skipped})",
                picture_table.edits(rows),
                picture_table.by_kind(rows),
                picture_table.best(rows, self.pairs),
                picture_table.reconstructions(rows, self.pairs),
                _failures(done, names, self.cases),
            )
            if part
        )


def _failures(done: Mapping[Key, Cell], names: Sequence[str], cases: Sequence[PictureCase]) -> str:
    """One line for each row that could not draw a picture: how many, and the first reason."""
    lines = []
    for name in names:
        reasons = [reason for case in cases if (reason := done.get((name, case.number), {}).get("reason"))]
        if reasons:
            lines.append(
                f"- {name}: {counted(len(reasons), 'picture')} without a result ({reasons[0].splitlines()[0]})"
            )
    return "\n".join(lines)
