"""What a table needs to be measured, in a form that can be sent to another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from minisd import UserError

from .cells import Cell, Form, Key
from .fit import Making, difference
from .jobs import Job, scores_of

if TYPE_CHECKING:
    from .page.parts import Report


@dataclass(frozen=True)
class Table:
    """A table that is ready to be measured: model and judge are loaded."""

    jobs: Sequence[Job]
    making: Making
    detector: Any  # what names the class of a target
    model: Any  # what draws the pictures of a report: the StableDiffusion, or the `Bench` of pictures


class Plan(Protocol):
    """The choices of a command. It can be hashed and pickled, and every process makes the same jobs from it."""

    @property
    def form(self) -> Form: ...

    def __hash__(self) -> int: ...

    def load(self, device: str) -> Table:
        """The table, with the model on this device."""

    def report(self, done: Mapping[Key, Cell], detector: Any) -> str:
        """Markdown: what the measured cells say."""

    @property
    def names(self) -> Sequence[str]:
        """Of the rows."""

    @property
    def sampled(self) -> Sequence[str]:
        """The rows whose pictures a report shows, if the user names none."""

    def page(self, done: Mapping[Key, Cell], table: Table, command: str, samples: Sequence[str]) -> Report:
        """The report of --report. samples: rows whose pictures it shows; they are drawn again."""

    @property
    def columns(self) -> Sequence[str]:
        """Of the .csv file."""

    def lines(self, done: Mapping[Key, Cell], detector: Any) -> Sequence[Mapping[str, Any]]:
        """Of the .csv file: one for each picture."""


@dataclass(frozen=True)
class Answer:
    """What another process says about a job. One of scores and error is empty."""

    scores: Cell
    made_by: Mapping[str, str]
    error: str = ""  # the reason why it can measure nothing at all


def answers(plan: Plan, device: str, keys: Sequence[Key]) -> list[Answer]:
    """Measures the cells of a group. The table is loaded for the first one, and kept for those that follow."""
    try:
        jobs, making = _loaded(plan, device)
    except UserError as error:
        return [Answer({}, {}, str(error)) for _ in keys]
    return [Answer(scores, making.made_by) for scores in scores_of([jobs[key] for key in keys])]


@lru_cache(maxsize=1)
def _loaded(plan: Plan, device: str) -> tuple[dict[Key, Job], Making]:
    table = plan.load(device)
    return {job.key: job for job in table.jobs}, table.making


def scores_in(given: Answer, making: Making) -> Cell:
    """The scores of an answer, and what made them. UserError if that process can measure nothing that fits."""
    if given.error:
        raise UserError(given.error)
    mine, theirs = ({"settings": {}, "made by": dict(made)} for made in (making.made_by, given.made_by))
    if why := difference(mine, theirs):
        raise UserError(
            f"a worker measures with other things than this process ({why}); install the same version and the same "
            "files on all machines"
        )
    return given.scores | {"made by": theirs["made by"]}
