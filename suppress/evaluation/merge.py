"""Joins the files of cells that several processes have measured: `suppress eval merge`.

All cells must be of one run: the same settings, version, weights and judge. Within one file, the last line of a row and
a case counts. What several files have is kept once if the scores agree; if they do not, nothing is written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minisd import UserError
from minisd.base.arguments import shown

from .cells import Cell, Form, Key, read_cells
from .fit import difference
from .forms import FORMS

_COSTS = ("seconds", "inversion seconds")  # differ each time
# what made the cell; and scores of the same pictures, some of which are texts that two machines round differently
_NOT_COMPARED = ("made by", "settings", "extra")
_TOLERANCE = 1e-3  # relative and absolute: two machines round differently


@dataclass(frozen=True)
class Placed:
    """A cell, and where it stands."""

    file: Path
    line: int
    cell: Cell

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass
class Merged:
    cells: dict[Key, Placed]
    twice: int = 0  # cells that another file has too, with the same scores
    replaced: int = 0  # lines of a file whose row and case have a later line there


def merge(files: Sequence[Path]) -> Merged:
    """The cells of all files. UserError if they are of different tables or runs, or if their scores contradict."""
    form = _form(files[0])
    merged = Merged({})
    for file in files:
        placed = [Placed(file, n, cell) for n, cell in enumerate(read_cells(file, form, mend=False), 1)]
        if not placed:
            raise UserError(f"{file} holds no cell; leave it out")
        last = {form.key(each.cell): each for each in placed}
        merged.replaced += len(placed) - len(last)
        for key, each in last.items():
            if merged.cells:
                _check_run(next(iter(merged.cells.values())), each)
            if key in merged.cells:
                _check_scores(merged.cells[key], each)
                merged.twice += 1
            else:
                merged.cells[key] = each
    return merged


def _form(file: Path) -> Form:
    """The form whose case has the fields of the file's first cell."""
    try:
        fields = set(json.loads(file.read_bytes().partition(b"\n")[0])["case"])
    except (ValueError, KeyError, TypeError, RecursionError):  # no cell: `read_cells` says what is wrong
        fields = set()
    return next((form for form in FORMS if set(form.case) - set(form.newer) <= fields <= set(form.case)), FORMS[0])


def _check_run(one: Placed, other: Placed) -> None:
    if why := difference(one.cell, other.cell):
        raise UserError(f"{one} and {other} are of different runs ({why}); merge files of one run")


def _check_scores(one: Placed, other: Placed) -> None:
    for name in sorted({*one.cell, *other.cell} - {*_COSTS, *_NOT_COMPARED}):
        a, b = one.cell.get(name), other.cell.get(name)
        if not _agree(a, b):
            raise UserError(
                f"{one} and {other} contradict each other: {name} is {shown(a)} and {shown(b)} for {one.cell['row']} "
                f"on {one.cell['case']['prompt']!r}; remove the line that is wrong, or leave a file out"
            )


def _agree(a: Any, b: Any) -> bool:
    """Whether two values are the same, numbers to rounding."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return set(a) == set(b) and all(_agree(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_agree, a, b))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
    return math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) if numbers else a == b
