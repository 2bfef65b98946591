"""What an analysis found, as plain data: rows of a table and, for some analyses, pictures with their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image

from minisd.picture import from_pil

from ..metrics import Unavailable, psnr, ssim
from .study import Study

Scores = list[float | None]  # one value per picture; None: the checkpoint has nothing to judge with

# a score's name in the CSV -> its name in a figure
NAMES = {"det_score": "DetScore", "clip_score": "CLIP score", "psnr": "PSNR", "ssim": "SSIM"}


@dataclass(frozen=True)
class Panel:
    """The pictures of one setting, one per seed. `scores`: for each score a list with one value per picture."""

    label: str  # stands above the pictures in the figure
    setting: dict[str, Any]  # the first columns of the CSV
    pictures: list[Image.Image] = field(repr=False)
    scores: dict[str, Scores]

    def mean(self, name: str) -> float | None:
        """The mean over the seeds; None if a value is missing."""
        values = [v for v in self.scores[name] if v is not None]
        return math.fsum(values) / len(values) if len(values) == len(self.pictures) else None


@dataclass(frozen=True)
class Findings:
    """rows: the lines of the CSV, all with the same keys. notes explain the figure, remarks explain the scores."""

    rows: list[dict[str, Any]]
    panels: list[Panel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def score(
    study: Study, label: str, setting: dict[str, Any], pictures: list[Image.Image], phrase: str | None = None
) -> Panel:
    """A panel with DetScore, PSNR and SSIM to the study's originals; with a phrase, its CLIP score too."""
    a, b = (torch.cat([from_pil(p) for p in side]) for side in (pictures, study.originals))
    scores: dict[str, Scores] = {
        "det_score": _or_none(pictures, lambda: study.judge.det_scores(pictures, study.prompt.targets)),
        "psnr": psnr(a, b).tolist(),
        "ssim": ssim(a, b).tolist(),
    }
    if phrase is not None:
        scores["clip_score"] = _or_none(pictures, lambda: study.judge.clip_scores(pictures, phrase))
    return Panel(label, setting, pictures, scores)


def _or_none(pictures: Sequence[Image.Image], judged: Callable[[], list[float]]) -> Scores:
    try:
        return [*judged()]
    except Unavailable:
        return [None] * len(pictures)


def gather(study: Study, panels: Sequence[Panel], notes: Sequence[str] = ()) -> Findings:
    """Findings with one row per picture: the setting, the seed, the scores."""
    rows = [
        panel.setting | {"seed": seed} | {name: values[k] for name, values in panel.scores.items()}
        for panel in panels
        for k, seed in enumerate(study.seeds)
    ]
    return Findings(rows, list(panels), list(notes), remarks(study, panels[0].scores))


def remarks(study: Study, names: Collection[str]) -> list[str]:
    """What a reader of these scores should know: classes that are wider than their word, missing scores."""
    found: list[str] = []
    if "det_score" in names:
        try:
            for target in study.prompt.targets:
                [match] = study.judge.match([target])
                found += [f"DetScore of {target!r}: {match.remark}"] if match.remark else []
        except Unavailable as reason:
            found.append(f"no DetScore: {reason}")
    no_clip = _reason(lambda: study.judge.clip) if "clip_score" in names else None
    return [*found, f"no CLIP score: {no_clip}"] if no_clip else found


def _reason(ask: Callable[[], object]) -> Unavailable | None:
    try:
        ask()
    except Unavailable as reason:
        return reason
    return None
