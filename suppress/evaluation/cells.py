"""The file of measured cells, a line of JSON each: kept and added to, so that a stopped run goes on.

What is not ours is never lost: a file that holds anything else is refused, and so is a .md beside it that this command
did not write.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minisd import UserError
from minisd.outputs import write_file

from ..methods import Method
from .protocol import Case

Cell = dict[str, Any]
Key = tuple[str, str]  # (row, prompt)

# how the table's file begins, so that it is known again
HEADING = "<!-- made by `suppress eval`; the next run writes it anew -->"
_BEGINS = b'{"row": '  # every cell
_NAMES = {"row", "case", "method", "settings"}
_SCORES = {"before", "after", "clip before", "clip after", "ssim", "passes", "seconds"}  # or "reason"


def key(cell: Cell) -> Key:
    return cell["row"], cell["case"]["prompt"]


def check_out(name: str) -> Path:
    """The cells' file, before the work starts. UserError where it or the table beside it cannot be written."""
    out = Path(name)
    if out.suffix != ".jsonl":
        raise UserError(f"--out {out}: expected a name that ends in .jsonl; the table goes to the same name in .md")
    folder = out.absolute().parent
    if not folder.is_dir():
        raise UserError(f"--out {out}: there is no folder {folder}")
    for file in (out, out.with_suffix(".md")):
        if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
            raise UserError(f"--out {out}: {file} cannot be written; name another --out")
    table = out.with_suffix(".md")
    if table.exists() and not table.read_bytes().startswith(HEADING.encode()):
        raise UserError(f"--out {out}: {table} was not made by this command; move it away, or name another --out")
    return out


def read(out: Path, settings: dict[str, Any]) -> dict[Key, Cell]:
    """The cells that are there. A last line that was torn when a run was stopped leaves the file, nothing else does.

    UserError where a line is no cell, or was measured with other settings.
    """
    cells: dict[Key, Cell] = {}
    if not out.exists():
        return cells
    *lines, rest = out.read_bytes().split(b"\n")  # a cell that was written in full ends its line
    torn = _cell(rest) is None and (rest.startswith(_BEGINS) or _BEGINS.startswith(rest))
    if not torn:
        lines.append(rest)
    for n, line in enumerate(lines, 1):
        cell = _cell(line)
        if cell is None:
            raise UserError(f"{out}: line {n} is no cell of this command ({line[:40]!r}…); name another --out")
        if cell["settings"] != settings:
            raise UserError(f"{out} holds cells measured with {cell['settings']}, not {settings}; name another --out")
        cells[key(cell)] = cell
    if rest:
        _write(out, lines)
    return cells


def is_current(cell: Cell, case: Case, method: Method) -> bool:
    """Whether the cell is what would be measured now. A setting that is newer than the cell counts with its default."""
    try:
        same = type(method)(**cell["method"]) == method
    except (TypeError, UserError):  # settings of another method, or no longer allowed
        return False
    return same and cell["case"] == asdict(case)


def keep(out: Path, cell: Cell, replace: bool) -> None:
    """Adds the cell to the file; replace: its row and prompt stand there already, and that line goes."""
    line = json.dumps(cell, ensure_ascii=False).encode()
    if replace:
        lines = out.read_bytes().split(b"\n")[:-1]
        _write(out, [*(other for other in lines if key(json.loads(other)) != key(cell)), line])
    else:
        with open(out, "ab") as file:
            file.write(line + b"\n")


def _write(out: Path, lines: list[bytes]) -> None:
    write_file(out, lambda file: file.write(b"".join(line + b"\n" for line in lines)))


def _cell(line: bytes) -> Cell | None:
    """None where the line is no cell."""
    try:
        cell = json.loads(line)
    except ValueError:  # no JSON, or no text
        return None
    if not isinstance(cell, dict) or not set(cell) >= _NAMES or not ("reason" in cell or set(cell) >= _SCORES):
        return None
    return cell if isinstance(cell["case"], dict) and "prompt" in cell["case"] else None
