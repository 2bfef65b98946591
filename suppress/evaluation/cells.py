"""The file of measured cells, one line of JSON per cell. Lines are only added to it, so a stopped run can go on.

Every cell has a row of the table, a case, the settings of its method and of the run, what measured it, and scores, or
the reason why there are none. What a case is and which scores there are belongs to the table: its `Form`.

Files of others are never lost: a file that holds anything else is refused, and so are files beside it that this
command did not write. Cells that fit the run no longer stay in the file (fit.py).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minisd import UserError
from minisd.base.arguments import is_finite, is_number, shown
from minisd.base.outputs import output_path

Cell = dict[str, Any]
Key = tuple[str, Any]  # (row, what names the case)

# the first line of the table's file, by which it is recognised
HEADING = "<!-- made by `suppress eval`; the next run writes it anew -->"
BEGINNINGS = {".md": HEADING, ".csv": "row,"}  # how the tables beside the cells begin
_BEGINS = b'{"row": '  # how every cell begins


@dataclass(frozen=True)
class Form:
    """What the cells of one table hold."""

    case: Mapping[str, type]  # the fields of the case, and what they hold
    names: tuple[str, ...]  # the fields that tell one case from another
    check_scores: Callable[[Cell], None]  # ValueError, with the reason, if the scores are not those of the table
    parts: tuple[str, ...] = ("method", "settings")  # what made the scores: names with their values
    newer: tuple[str, ...] = ()  # fields of the case that older cells do not have

    def key(self, cell: Cell) -> Key:
        values = tuple(cell["case"][name] for name in self.names)
        return cell["row"], values if len(values) > 1 else values[0]


def reasons(
    done: Mapping[Any, Mapping[str, Any]], rows: Iterable[str], keys: Iterable[Any]
) -> Counter[tuple[str, str]]:
    """(row, why a case has no scores) -> how many cases. keys: what names the cases."""
    names = list(keys)
    found = [(row, done.get((row, key), {}).get("reason")) for row in rows for key in names]
    return Counter((row, " ".join(reason.split())) for row, reason in found if reason)


def check_out(name: str) -> Path:
    """The path of the cells' file, checked before the work starts.

    UserError if this file, or the tables beside it (.md and .csv), cannot be written or are of somebody else.
    """
    out = output_path(name)
    if out.suffix.lower() != ".jsonl":
        raise UserError(
            f"--out {out}: expected a name that ends in .jsonl; the tables go to the same name in .md and .csv"
        )
    folder = out.absolute().parent
    if not folder.is_dir():
        raise UserError(f"--out {out}: there is no folder {folder}")
    for file in (out, *(out.with_suffix(ending) for ending in BEGINNINGS)):
        if (file.exists() and not file.is_file()) or not os.access(file if file.exists() else folder, os.W_OK):
            raise UserError(f"--out {out}: {file} cannot be written; name another --out")
    for ending, begins in BEGINNINGS.items():
        table = out.with_suffix(ending)
        if table.exists() and not table.read_bytes().startswith(begins.encode()):
            raise UserError(f"--out {out}: {table} was not made by this command; move it away, or name another --out")
    return out


def read_cells(out: Path, form: Form, mend: bool = True) -> list[Cell]:
    """The cells in the file, in the order of its lines. The beginning of a cell at its end, from a stop, is no cell.

    mend: makes the file ready for more cells, and so removes such a beginning; no other line is ever removed.
    UserError if a line is not a cell.
    """
    if not out.exists():
        return []
    data = out.read_bytes()
    *lines, rest = data.split(b"\n")  # a complete cell ends with a line break
    torn = _is_torn(rest)
    cells = []
    for n, line in enumerate([*lines, *([] if torn else [rest])], 1):
        try:
            cells.append(_cell(line, form))
        except ValueError as reason:
            raise UserError(
                f"{out}: line {n} is no cell of this command: {reason} ({line[:40]!r}…); mend the line, or name "
                "another --out"
            ) from None
    if not mend:
        return cells
    if torn and rest:
        os.truncate(out, len(data) - len(rest))
    elif rest:
        with open(out, "ab") as file:
            file.write(b"\n")
    return cells


def keep(out: Path, cell: Cell) -> None:
    """Adds the cell to the file. It is on the disk afterwards, whatever happens to the process or the machine."""
    with open(out, "ab") as file:
        file.write(json.dumps(cell, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


# ---------------------------------------------------------------------- one line


def _is_torn(line: bytes) -> bool:
    """Whether the last line is the beginning of a cell: the run was stopped while it wrote it."""
    try:
        json.loads(line)
    except RecursionError:
        return False
    except ValueError:
        return line.startswith(_BEGINS) or _BEGINS.startswith(line)
    return False


def _cell(line: bytes, form: Form) -> Cell:
    """The cell in a line. ValueError, with the reason, if the line holds anything that `measure` would not write."""
    try:
        cell = json.loads(line)
    except RecursionError:
        raise ValueError("lists within lists without end") from None
    except ValueError:  # not JSON, or not text
        raise ValueError("it is not JSON") from None
    if not isinstance(cell, dict):
        raise ValueError(f"it holds {shown(cell)}")
    check("row", cell, isinstance(cell.get("row"), str), "a name")
    for name in ("case", *form.parts):
        check(name, cell, isinstance(cell.get(name), dict), "names with their values")
    if "made by" in cell:
        told = cell["made by"]
        fits = isinstance(told, dict) and all(isinstance(value, str) for value in told.values())
        check("made by", cell, fits, "names with texts")
    case = cell["case"]
    known = {name: kind for name, kind in form.case.items() if name in case or name not in form.newer}
    if set(case) != set(known) or not all(type(case[name]) is kind for name, kind in known.items()):
        fields = ", ".join(f"{name} ({kind.__name__})" for name, kind in sorted(form.case.items()))
        raise ValueError(f"case is {shown(case)}; expected {fields}")
    if "reason" in cell:
        check("reason", cell, isinstance(cell["reason"], str), "a text")
    else:
        form.check_scores(cell)
    return cell


def check(name: str, cell: Cell, fits: bool, expected: str) -> None:
    """ValueError, with the value found and the one expected, unless it fits."""
    if not fits:
        raise ValueError(f"{name} is {shown(cell[name]) if name in cell else 'not there'}; expected {expected}")


def is_score(value: Any) -> bool:
    return is_number(value) and is_finite(value)
