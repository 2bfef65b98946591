"""Measures the cells that a file lacks. A stopped run goes on where it ended, and loses at most the cell in work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minisd import UserError
from minisd.base.counted import counted

from . import cells
from .fit import Making

if TYPE_CHECKING:
    from ..protocol import Method
    from ..start.inversion import Inversion


def _never(name: str) -> bool:
    return False


@dataclass(frozen=True, eq=False)
class Job:
    """A cell that the table wants."""

    row: str
    case: Any  # a dataclass, as the table's form has it; case.key tells it from the others
    method: Method | None  # None: nothing is drawn, as in the baselines of pictures
    measure: Callable[[], cells.Cell]  # the scores. UserError if the method cannot draw this case
    inversion: Inversion | None = None
    extras: tuple[str, ...] = ()  # the scores that it has beside the usual ones (extras.py)
    at_hand: Callable[[str], bool] = _never  # whether an older cell's reason to lack such a score is gone

    @property
    def key(self) -> cells.Key:
        return self.row, self.case.key


# measures jobs, in any order, and yields each with its scores; None: every process that tried has died
Measure = Callable[[Sequence[Job]], Iterable[tuple[Job, cells.Cell | None]]]
TRIES = 3  # processes that may die with one cell


def in_turn(jobs: Sequence[Job]) -> Iterator[tuple[Job, cells.Cell]]:
    """Measures the jobs in this process, one after the other."""
    for job in jobs:
        yield job, scores_of(job)


def scores_of(job: Job) -> cells.Cell:
    """The scores, or the reason why the method cannot draw this case."""
    try:
        return job.measure()
    except UserError as error:
        return {"reason": str(error)}


def fill(
    out: Path,
    done: dict[cells.Key, cells.Cell],
    jobs: Sequence[Job],
    making: Making,
    form: cells.Form,
    measure: Measure = in_turn,
    older: Mapping[cells.Key, cells.Cell] | None = None,
) -> None:
    """Measures the jobs that `done` lacks; each cell goes to the file and into `done`, as soon as it is measured.

    older: cells that lack a score (`fit.incomplete`). They stay if their job gives no scores at all now.
    UserError at the end if processes died with some cells. All other cells are measured then.
    """
    from tqdm import tqdm

    lost = []
    todo = [job for job in jobs if job.key not in done]
    try:
        for job, scores in tqdm(measure(todo), desc="measuring", unit="cell", total=len(todo), disable=None):
            if scores is None:
                lost.append(f"{job.row} on {job.case.prompt!r}")
                continue
            if older and "reason" in scores and job.key in older:
                done[job.key] = older[job.key]
                continue
            cell = _cell(job, scores, making, form)
            cells.keep(out, cell)
            done[job.key] = cell
    except KeyboardInterrupt:
        print(f"\nsuppress eval: interrupted; what is measured is in {out}, the same command goes on", file=sys.stderr)
        raise SystemExit(130) from None
    if lost:
        raise UserError(
            f"{out} lacks {counted(len(lost), 'cell')} ({'; '.join(lost[:3])}): {TRIES} processes died with each; "
            "there may be too little memory. The same command tries again"
        )


def _cell(job: Job, scores: cells.Cell, making: Making, form: cells.Form) -> cells.Cell:
    """The line of the file. What made the scores stands before them."""
    cell: cells.Cell = {"row": job.row}
    for part, of in (("case", job.case), ("method", job.method), ("inversion", job.inversion)):
        if part in ("case", *form.parts):
            cell[part] = {} if of is None else asdict(of)
    return cell | {"settings": dict(making.settings), "made by": dict(making.made_by)} | scores
