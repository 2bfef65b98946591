"""A protocol of pictures as Markdown: one row for each pair (method, inversion), one column for each metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minisd import UserError
from minisd.base.counted import counted

from ..evaluation.cells import reasons
from ..evaluation.pairs import IDEAL as IDEAL_ROW
from ..evaluation.pairs import VAE
from ..evaluation.picture_table import Measured, det_score, measured_rows, psnr_outside
from .protocol import DET, FID, IDEAL, IFID, INSIDE, OUTSIDE, PictureProtocol
from .scores import EXPLAINED, Found, extra_values, frechet

Cells = Mapping[Any, dict[str, Any]]  # by (row, number of the picture)
BASELINES = {VAE: "nothing changed but by the VAE", IDEAL_ROW: "the ideal edit, through the VAE"}


def report(protocol: PictureProtocol, done: Cells, cases: Sequence[Any]) -> str:
    """done: the cells. cases: the pictures of this run."""
    how = f"{counted(len(cases), 'drawn picture')}, {counted(protocol.steps, 'step')}"
    head = protocol.heading(how, "photos" if protocol.paper else "")
    explained = "; ".join(f"{metric}: {EXPLAINED[metric]}" for metric in protocol.metrics)
    return "\n\n".join([*head, _table(protocol, done, cases), f"{explained}.", *_failures(protocol, done, cases)])


def rows_of(protocol: PictureProtocol) -> list[str]:
    """The baselines, our rows, and those of the paper that have no method here."""
    ours = [*BASELINES, *(pair.row for pair in protocol.rows)]
    return [*ours, *(row for row in protocol.paper if row not in ours)]


def found(row: str, metric: str, done: Cells, cases: Sequence[Any]) -> Found:
    """Our figure for a row: the mean over its pictures."""
    measured = measured_rows(done, [row], cases).get(row, ())
    if not measured:
        return Found()
    try:
        if metric in (IFID, FID):
            return Found(frechet([cell for _, cell in measured], "before" if metric == IFID else "ideal"))
        values = _values(measured, metric)
    except UserError as reason:
        return Found(reason=f"{metric}: {reason}")
    return Found(float(np.mean(values))) if values else Found()


def _values(measured: Measured, metric: str) -> list[float]:
    if metric == DET:
        return [det_score(*one) for one in measured]
    if metric == OUTSIDE:
        return [value for _, cell in measured if (value := psnr_outside(cell)) is not None]
    if metric == INSIDE:
        return [cell["error inside"] for _, cell in measured]
    if metric == IDEAL:
        return [cell["ssim ideal"] for _, cell in measured]
    return [value for _, cell in measured for value in extra_values(cell, metric, "after")]


def _table(protocol: PictureProtocol, done: Cells, cases: Sequence[Any]) -> str:
    lines = [f"| | {' | '.join(protocol.metrics)} | UNet samples |", "|---" * (len(protocol.metrics) + 2) + "|"]
    for row in rows_of(protocol):
        paper = protocol.paper.get(row, {})
        cells = [found(row, metric, done, cases).text(metric, paper.get(metric)) for metric in protocol.metrics]
        lines.append(f"| {BASELINES.get(row, row)} | {' | '.join(cells)} | {cost(row, done, cases)} |")
    return "\n".join(lines)


def cost(row: str, done: Cells, cases: Sequence[Any]) -> str:
    """The UNet samples of an edit and of the inversion, which serves many edits."""
    measured = measured_rows(done, [row], cases).get(row, ())
    if not measured:
        return "–"
    passes, inversion = (
        float(np.mean([cell[name] for _, cell in measured])) for name in ("passes", "inversion passes")
    )
    return f"{passes:.0f} + {inversion:.0f}"


def missing(protocol: PictureProtocol, done: Cells, cases: Sequence[Any]) -> list[str]:
    """Why cells have no scores, and figures are not there: each reason once."""
    rows = [pair.row for pair in protocol.rows]
    lines = [f"{row}: {reason}" for row, reason in sorted(reasons(done, rows, [case.key for case in cases]))]
    figures = (found(row, metric, done, cases) for metric in protocol.metrics for row in rows)
    return [*lines, *dict.fromkeys(each.reason for each in figures if each.reason)]


def _failures(protocol: PictureProtocol, done: Cells, cases: Sequence[Any]) -> list[str]:
    lines = [f"- {reason}" for reason in missing(protocol, done, cases)]
    return ["Not measured:\n\n" + "\n".join(lines)] if lines else []
