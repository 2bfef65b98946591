"""Measures the cells that a file lacks. A stopped run goes on where it ended, and loses at most the cell in work.

`--batch N` draws up to N pictures at once, of several cells of a row. Their scores are those of each cell alone, to
rounding, and a stopped run loses at most the batch in work. This is meant for GPUs, which few seeds do not keep busy;
on a CPU there is little to gain.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
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
class Together:
    """How a job is measured in one batch with others of its row."""

    kind: Hashable  # the same for all jobs of a batch: their method, and what else its passes depend on
    pictures: int  # that the job adds to the batch
    measure: Callable[[Sequence[Job]], list[cells.Cell]]  # the scores of each. UserError if one cannot be drawn


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
    together: Together | None = None  # None: it is measured alone

    @property
    def key(self) -> cells.Key:
        return self.row, self.case.key


Group = Sequence[Job]  # jobs that are measured in one batch, or a job alone
# measures groups, in any order, and yields each job with its scores; None: every process that tried has died
Measure = Callable[[Sequence[Group]], Iterable[tuple[Job, cells.Cell | None]]]
TRIES = 3  # processes that may die with one cell


def grouped(jobs: Sequence[Job], at_once: int | None) -> list[list[Job]]:
    """The jobs as they are drawn: up to `at_once` pictures of one row and kind together. None: each job alone.

    A group has the place of its first job.
    """
    groups: list[list[Job]] = []
    unfilled: dict[Hashable, tuple[list[Job], int]] = {}  # by row and kind: a group, and its pictures
    for job in jobs:
        if at_once is None or job.together is None:
            groups.append([job])
            continue
        key = job.row, job.together.kind
        group, pictures = unfilled.get(key, ([], at_once))
        pictures += job.together.pictures
        if pictures > at_once:
            group, pictures = [], job.together.pictures
            groups.append(group)
        group.append(job)
        unfilled[key] = group, pictures
    return groups


def in_turn(groups: Sequence[Group]) -> Iterator[tuple[Job, cells.Cell]]:
    """Measures the groups in this process, one after the other."""
    for group in groups:
        yield from zip(group, scores_of(group), strict=True)


def scores_of(group: Group) -> list[cells.Cell]:
    """For each job its scores, or the reason why the method cannot draw this case."""
    together = group[0].together
    if len(group) > 1 and together is not None:
        try:
            return together.measure(group)
        except UserError:
            pass  # one of them cannot be drawn: alone, it says so, and the others have scores
    return [_scores_alone(job) for job in group]


def _scores_alone(job: Job) -> cells.Cell:
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
    at_once: int | None = None,
) -> None:
    """Measures the jobs that `done` lacks; each cell goes to the file and into `done`, as soon as it is measured.

    at_once: pictures of several cells that are drawn in one batch. None: each cell is drawn alone.
    older: cells that lack a score (`fit.incomplete`). They stay if their job gives no scores at all now.
    UserError at the end if processes died with some cells. All other cells are measured then.
    """
    from tqdm import tqdm

    lost = []
    todo = [job for job in jobs if job.key not in done]
    found = measure(grouped(todo, at_once))
    try:
        for job, scores in tqdm(found, desc="measuring", unit="cell", total=len(todo), disable=None):
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
