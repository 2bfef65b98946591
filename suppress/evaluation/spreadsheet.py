"""The measured cells as a .csv file beside the cells, for spreadsheets and data frames: one line per picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minisd.base.outputs import write_text

from .cells import Cell, Key
from .targets import judged

FIRST = "row"  # the first column, by which a file of this command is recognised
PROMPT_COLUMNS = (
    *(FIRST, "kind", "prompt", "target", "picture", "seed", "detscore_before", "detscore_after"),
    *("clip_before", "clip_after", "ssim", "structure_distance", "passes", "seconds", "reason"),
)
PICTURE_COLUMNS = (
    *(FIRST, "number", "kind", "prompt", "target", "detscore_before", "detscore_after", "psnr_outside", "error_inside"),
    *("psnr_ideal", "ssim_ideal", "passes", "inversion_passes", "seconds", "inversion_seconds", "reason"),
)
Line = dict[str, Any]


def write_sheet(path: Path, columns: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> Path:
    """A header, then one line per picture. A value that a picture does not have is empty. UTF-8."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return write_text(path, text.getvalue())


def prompt_lines(
    done: Mapping[Key, Cell], rows: Iterable[str], cases: Sequence[Any], seeds: Sequence[int], detector: Any
) -> Iterator[Line]:
    """seeds: of the cases that have none of their own."""
    for row in rows:
        for case in cases:
            cell = done.get((row, case.key))
            if cell is None:
                continue
            about = {FIRST: row, "kind": case.kind, "prompt": case.prompt, "target": case.target}
            about["picture"] = getattr(case, "picture", "")
            if "reason" in cell:
                yield about | {"reason": cell["reason"]}
                continue
            name, cell = judged(case.target, cell, detector)
            for k, seed in enumerate(["" if about["picture"] else s for s in getattr(case, "seeds", seeds) or [""]]):
                yield about | {
                    "seed": seed,
                    "detscore_before": cell["before"][name][k],
                    "detscore_after": cell["after"][name][k],
                    "clip_before": cell["clip before"][k],
                    "clip_after": cell["clip after"][k],
                    "ssim": cell["ssim"][k],
                    "structure_distance": cell["structure"][k] if "structure" in cell else "",
                    "passes": cell["passes"],
                    "seconds": cell["seconds"],
                }


def picture_lines(done: Mapping[Key, Cell], rows: Iterable[str], cases: Sequence[Any]) -> Iterator[Line]:
    scores = PICTURE_COLUMNS[7:-1]
    for row in rows:
        for case in cases:
            cell = done.get((row, case.key))
            if cell is None:
                continue
            about = {FIRST: row, "number": case.number, "kind": case.kind, "prompt": case.prompt, "target": case.target}
            if "reason" in cell:
                yield about | {"reason": cell["reason"]}
            else:
                found = {"detscore_before": cell["before"][case.name], "detscore_after": cell["after"][case.name]}
                yield about | found | {name: cell[name.replace("_", " ")] for name in scores}
