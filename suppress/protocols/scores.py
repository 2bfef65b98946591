"""The metrics of the protocols' tables: what a group of measured cells says of one of them.

Most are a mean of one value per picture. The removal rate, FID and IFID belong to a whole set of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisd import UserError

from ..evaluation.cases import Case
from ..evaluation.table import mean_text, other_attributes
from ..evaluation.targets import judged
from .protocol import (
    ACCURACY,
    CLIP,
    DET,
    FEATURES,
    FID,
    IDEAL,
    IFID,
    INSIDE,
    LPIPS,
    ORR,
    OTHERS,
    OUTSIDE,
    PROMPT,
    PROMPT_FIT,
    REMOVED,
    SPILL,
    SSIM,
    TARGET_FIT,
    TOP_1,
    TOP_5,
)

THERE = 0.5  # a target with a larger DetScore is in the picture
EXPLAINED = {
    DET: "mean score of the embedded model's detector for the target",
    CLIP: "CLIP score of the target's words",
    SSIM: "to the original",
    OTHERS: "mean |change| of the detector's other attributes",
    SPILL: "mean |change| of the neighbour's score",
    REMOVED: f"by how much fewer pictures have a DetScore above {THERE:g} than before; 1: none is left, 0: as many as "
    "before. The paper counts with its own detector",
    PROMPT: "of the whole prompt; higher is better",
    LPIPS: "to the original",
    ORR: "the share of pictures in which CLIP names another object",
    TOP_1: "the share of edits after which CLIP no longer names first what it named before, in the box of the target",
    TOP_5: "the same for the five names that fit best",
    IFID: "FID between originals and edits, by the embedded CLIP's features; higher means that more changed",
    FID: "between the edits and the ideal edits, by the embedded CLIP's features; lower is better",
    OUTSIDE: "in dB, where the ideal edit changes nothing",
    INSIDE: "mean |difference| to the ideal edit elsewhere, in levels of 255",
    IDEAL: "of the whole picture",
}
HIGHER = (SSIM, REMOVED, PROMPT, ORR, TOP_1, TOP_5, OUTSIDE, IDEAL)  # better; of the others lower is better
ORIGINALS_HAVE = (DET, CLIP, PROMPT, ORR)  # metrics of a single picture; the others compare it with the original
_DIGITS = {OUTSIDE: 1, INSIDE: 1, FID: 1, IFID: 1}  # 3 for the others
_TOPS = {TOP_1: "top 1", TOP_5: "top 5"}
Pictures = Sequence[tuple[Case, Mapping[str, Any]]]  # measured cells with their cases


@dataclass(frozen=True)
class Found:
    """A figure, or the reason why there is none; neither if nothing was measured."""

    value: float = math.nan
    reason: str = ""

    def text(self, metric: str, paper: float | None = None) -> str:
        """With the digits of the metric. paper: the paper's figure, which stands behind it as the paper gives it."""
        ours = mean_text(self.value, digits(metric))
        return ours if paper is None else f"{ours} ({paper:g})"


def digits(metric: str) -> int:
    """How many decimals the tables show."""
    return _DIGITS.get(metric, 3)


def figure(measured: Pictures, side: str, metric: str, watch: Sequence[str], detector: Any) -> Found:
    """One figure for a group of cells. side: "before" for the originals, "after" for the edits."""
    if not measured:
        return Found()
    try:
        if metric == REMOVED:
            return Found(_removal_rate(measured, detector))
        if metric in (IFID, FID):
            return Found(frechet([cell for _, cell in measured], "before" if metric == IFID else "ideal"))
        values = [v for case, cell in measured for v in values_of(cell, side, metric, case, watch, detector)]
        return Found(float(np.mean(values)) if values else math.nan)
    except UserError as reason:
        return Found(reason=f"{metric}: {reason}")


def values_of(
    cell: Mapping[str, Any], side: str, metric: str, case: Case, watch: Sequence[str], detector: Any
) -> list[float]:
    """The values of a metric, one a picture. UserError, with the reason, if the cell has none."""
    target, cell = judged(case.target, cell, detector)
    if metric == DET:
        return cell[side][target]
    if metric == CLIP:
        return cell[f"clip {side}"]
    if metric == SSIM:
        return cell["ssim"]
    if metric == SPILL:
        # the neighbours that this prompt names, or else all
        names = [name for name in watch if name.replace("_", " ") in case.prompt] or list(watch)
    elif metric == OTHERS:
        names = other_attributes(target, cell["before"])
    else:
        return extra_values(cell, metric, side)
    return np.mean([np.abs(np.subtract(cell["after"][k], cell["before"][k])) for k in names], axis=0).tolist()


def extra_values(cell: Mapping[str, Any], metric: str, side: str) -> list[float]:
    """The values of a metric that only some cells have. UserError, with the reason, if this one has none."""
    if metric in _TOPS:
        return _extra(cell, ACCURACY)[_TOPS[metric]]
    return _extra(cell, {PROMPT: PROMPT_FIT, CLIP: TARGET_FIT}.get(metric, metric))[side]


def _extra(cell: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = cell.get("extra", {}).get(name, {"reason": "it was not measured"})
    if "reason" in found:
        raise UserError(found["reason"])
    return found


def _removal_rate(measured: Pictures, detector: Any) -> float:
    """(n_before - n_after) / n_before, as in GIE's NRR: n counts the pictures with the target. nan: n_before is 0."""
    counts = {"before": 0, "after": 0}
    for case, cell in measured:
        for side in counts:
            counts[side] += sum(score > THERE for score in values_of(cell, side, DET, case, (), detector))
    return (counts["before"] - counts["after"]) / counts["before"] if counts["before"] else math.nan


def frechet(cells: Sequence[Mapping[str, Any]], reference: str) -> float:
    """FID of the edits. reference: "before" for the originals, "ideal" for the ideal edits.

    UserError if the cells have no features, or too few pictures.
    """
    from ..evaluation.extras import features_in
    from ..metrics.frechet import frechet_distance

    sides = [
        features_in([text for cell in cells for text in _extra(cell, FEATURES)[side]]) for side in (reference, "after")
    ]
    return frechet_distance(*sides)
