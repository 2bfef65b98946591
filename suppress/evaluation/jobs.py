"""Measures the cells that a file lacks, one after the other. A stopped run goes on where it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minisd import UserError

from . import cells

if TYPE_CHECKING:
    from ..protocol import Method
    from ..start.inversion import Inversion


@dataclass(frozen=True, eq=False)
class Job:
    """A cell that the table wants."""

    row: str
    case: Any  # a dataclass, as the table's form has it
    method: Method | None  # None: nothing is drawn, as in the baselines of pictures
    measure: Callable[[], cells.Cell]  # the scores. UserError if the method cannot draw this case
    inversion: Inversion | None = None


def fill(
    out: Path,
    done: dict[cells.Key, cells.Cell],
    jobs: Sequence[Job],
    settings: dict[str, Any],
    form: cells.Form,
    classes: Collection[str],
) -> None:
    """Measures the jobs without a current cell; each cell goes to the file and into `done`. classes: the detector's."""
    try:
        for job in _missing(jobs, done, form, classes):
            cell: cells.Cell = {"row": job.row}
            for part, made_by in (("case", job.case), ("method", job.method), ("inversion", job.inversion)):
                if part in ("case", *form.parts):
                    cell[part] = {} if made_by is None else asdict(made_by)
            cell |= {"settings": settings} | _measured(job)
            key = form.key(cell)
            cells.keep(out, cell, form, replace=key in done)
            done[key] = cell
    except KeyboardInterrupt:
        print(f"\nsuppress eval: interrupted; what is measured is in {out}, the same command goes on", file=sys.stderr)
        raise SystemExit(130) from None


def _missing(
    jobs: Sequence[Job], done: Mapping[cells.Key, cells.Cell], form: cells.Form, classes: Collection[str]
) -> Iterable[Job]:
    """The jobs without a current cell, with a progress bar. Says which of them had a cell before."""
    from tqdm import tqdm

    def cell(job: Job) -> cells.Cell | None:
        return done.get((job.row, getattr(job.case, form.name)))

    todo = [
        job
        for job in jobs
        if (known := cell(job)) is None or not cells.is_current(known, job.case, job.method, classes, job.inversion)
    ]
    stale = [f"{job.row} on {job.case.prompt!r}" for job in todo if cell(job) is not None]
    if stale:
        print(f"measured again, because method, case or detector have changed: {'; '.join(stale)}", file=sys.stderr)
    return tqdm(todo, desc="measuring", unit="cell", disable=None)


def _measured(job: Job) -> cells.Cell:
    """The scores, or the reason why the method cannot draw this case."""
    try:
        return job.measure()
    except UserError as error:
        return {"reason": str(error)}
