"""How a result shows itself in a notebook: its pictures beside each other, and its scores if there are some."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from PIL import Image

from ..evaluation.page.html import data_uri
from ..evaluation.page.markdown import plain
from ..metrics.judge import RECONSTRUCTION, SUPPRESSED, Scores, both
from .scores import score_rows

if TYPE_CHECKING:
    from ..result import Result

MOST = 8  # pairs of pictures on the page of a result with many


def markdown(scores: Scores) -> str:
    """A table of scores: one line per score, with the means over the pictures; the reason, if there is no score."""
    branches, rows = score_rows(scores)
    cells = [["score", *branches], ["---"] * (1 + len(branches))]
    for name, columns, remark in rows:
        cells.append([plain(f"{name} ({remark})" if remark else name), *columns])
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def page(result: Result) -> str:
    """HTML: a row per seed with the original and the edited picture; a table of the scores, if they are known."""
    original, edited = both(result)
    removed = ", ".join(result.targets)
    lines = [f"<p>{escape(result.prompt)} – without {escape(removed)}{_stop(result)}</p><table>"]
    rebuilt = [result.reconstruction] * len(edited)
    for k, pictures in enumerate(zip(original, rebuilt, edited, strict=True)):
        if k == MOST:
            lines.append(f"<tr><td>and {len(edited) - MOST} more</td></tr>")
            break
        named = zip(("original", RECONSTRUCTION, SUPPRESSED), pictures, strict=True)
        seed = f" (seed {result.seeds[k]})" if k < len(result.seeds) else ""
        cells = [_cell(picture, name + seed) for name, picture in named if isinstance(picture, Image.Image)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</table>")
    if result.scored:
        lines.append(_score_table(result.scored))
    return "\n".join(lines)


def _stop(result: Result) -> str:
    return "" if result.stopped_at is None else f" (stopped after step {result.stopped_at + 1})"


def _cell(picture: Image.Image, label: str) -> str:
    return f'<td style="text-align:left"><img src="{data_uri(picture)}" alt="{label}"><br>{label}</td>'


def _score_table(scores: Scores) -> str:
    branches, rows = score_rows(scores)
    lines = ["<table>", "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in ("score", *branches)) + "</tr>"]
    for name, columns, remark in rows:
        first = escape(f"{name} ({remark})" if remark else name)
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in (first, *columns)) + "</tr>")
    return "\n".join([*lines, "</table>"])
