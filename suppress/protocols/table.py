"""A protocol's measured cells as Markdown: one table for each metric, with the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluation.cases import Case
from ..evaluation.cells import reasons
from ..evaluation.table import other_attributes
from .protocol import CLIP, DET, ORIGINAL, OTHERS, SPILL, SSIM, Protocol

Cells = Mapping[Any, Mapping[str, Any]]  # by (row, prompt)
EXPLAINED = {
    DET: "mean score of the embedded model's detector for the target",
    CLIP: "CLIP score of the target's words",
    SSIM: "to the original",
    OTHERS: "mean |change| of the detector's other attributes",
    SPILL: "mean |change| of the neighbour's score",
}


def report(protocol: Protocol, done: Cells, detector: Any) -> str:
    """done: the cells. detector: `match(words).name` is the class of a target."""
    head = [
        f"**{protocol.name}**: {protocol.source}",
        f"{protocol.claim} {protocol.differs}".strip(),
        f"`suppress eval --protocol {protocol.name}`. {protocol.steps} steps, R = {protocol.start:g}, {protocol.seeds} "
        "seeds a prompt, on the embedded model, which draws cartoon portraits: its figures are about this model.",
    ]
    if protocol.paper:
        head[-1] += " In brackets: the paper's own figure, of SD v1.4 with its own prompts and judges."
    tables = [
        f"{metric} ({EXPLAINED[metric]}):\n\n{_table(protocol, metric, done, detector)}" for metric in protocol.metrics
    ]
    return "\n\n".join([*head, *tables, *_failures(protocol, done)])


def _table(protocol: Protocol, metric: str, done: Cells, detector: Any) -> str:
    rows = [ORIGINAL, *protocol.rows] if metric in (DET, CLIP) else list(protocol.rows)
    lines = []
    for row in rows:
        cells = [_cell(protocol, row, name, metric, done, detector) for name in protocol.groups]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    counts = [f"{name} ({len(cases) * protocol.seeds})" for name, cases in protocol.groups.items()]
    return "\n".join([f"| pictures | {' | '.join(counts)} |", "|---" * (len(counts) + 1) + "|", *lines])


def _cell(protocol: Protocol, row: str, group: str, metric: str, done: Cells, detector: Any) -> str:
    values = [
        value
        for case in protocol.groups[group]
        if (cell := _found(protocol, row, case, done)) is not None
        for value in values_of(cell, "before" if row == ORIGINAL else "after", metric, case, protocol.watch, detector)
    ]
    paper = protocol.paper.get((row, group), {}).get(metric)
    ours = f"{np.mean(values):.3f}" if values else "–"
    return ours if paper is None else f"{ours} ({paper:.3f})"


def _found(protocol: Protocol, row: str, case: Case, done: Cells) -> Mapping[str, Any] | None:
    """The cell of a row; that of any row for the originals, which all rows share."""
    rows = protocol.rows if row == ORIGINAL else (row,)
    return next((cell for one in rows if "after" in (cell := done.get((one, case.key), {}))), None)


def values_of(
    cell: Mapping[str, Any], side: str, metric: str, case: Case, watch: Sequence[str], detector: Any
) -> list[float]:
    """The values of a metric, one a picture. side: "before" for the original, "after" for the edit."""
    target = detector.match(case.target).name
    if metric == DET:
        return cell[side][target]
    if metric == CLIP:
        return cell[f"clip {side}"]
    if metric == SSIM:
        return cell["ssim"]
    if metric == SPILL:
        # the neighbours that this prompt names, or else all
        names = [name for name in watch if name.replace("_", " ") in case.prompt] or list(watch)
    else:
        names = other_attributes(target, cell["before"])
    return np.mean([np.abs(np.subtract(cell["after"][k], cell["before"][k])) for k in names], axis=0).tolist()


def _failures(protocol: Protocol, done: Cells) -> list[str]:
    """Why cells have no scores, each reason once."""
    found = reasons(done, protocol.rows, [case.key for case in protocol.cases])
    return ["Not measured:\n\n" + "\n".join(f"- {row}: {reason}" for row, reason in sorted(found))] if found else []
