"""A folder with a figure and a table for each analysis. Nothing is overwritten, and no file is left half written."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minisd import UserError
from minisd.base.outputs import check_folder, slug, write_text


def choose_folder(out: str | None, prompt: str, names: Sequence[str], overwrite: bool) -> Path:
    """The folder for the files of the analyses `names`, chosen before the work starts. It need not exist yet.

    Without `out` it is the first free name of a-man-without-glasses-analysis, …-analysis-2, …. A folder `out` that
    exists may hold other files. UserError if it holds a file of these analyses, or if the folder cannot be made or
    written to.
    """
    if out is None:
        stem = f"{slug(prompt)}-analysis"
        folder, n = Path(stem), 1
        while folder.exists() or folder.is_symlink():
            n += 1
            folder = Path(f"{stem}-{n}")
    else:
        folder = Path(out)
    check_folder(folder)
    existing = [file.name for name in names for file in files(folder, name) if file.exists()]
    if existing and not overwrite:
        held = ", ".join(existing)
        raise UserError(f"--out {folder} holds {held}; give another folder, or --overwrite to replace them")
    return folder


def files(folder: Path, name: str) -> tuple[Path, Path]:
    """(figure, table) of an analysis."""
    return folder / f"{name}.png", folder / f"{name}.csv"


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A header, then one line per row. A number has six digits, a missing value is empty. UTF-8."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return write_text(path, text.getvalue())


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
