"""What an analysis found, as plain data: rows of a table, and pictures with their scores where there are some."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from .judge import Scores
from .study import Study

# of the CSV -> of a figure
NAMES = {"det_score": "DetScore", "clip_score": "CLIP score", "psnr": "PSNR", "ssim": "SSIM"}


@dataclass(frozen=True)
class Panel:
    """The pictures of one setting, one a seed. `scores`: a list a score, as long as the pictures."""

    label: str  # over the pictures in the figure
    setting: dict[str, Any]  # what was set: the first columns of the CSV
    pictures: list[Image.Image] = field(repr=False)
    scores: dict[str, Scores]

    def mean(self, name: str) -> float | None:
        """Over the seeds; None where one is missing."""
        values = [v for v in self.scores[name] if v is not None]
        return math.fsum(values) / len(values) if len(values) == len(self.pictures) else None


@dataclass(frozen=True)
class Findings:
    """rows: what goes into the CSV, all with the same keys. notes: to be read with the figure; remarks: with scores."""

    rows: list[dict[str, Any]]
    panels: list[Panel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def judge(
    study: Study, label: str, setting: dict[str, Any], pictures: list[Image.Image], phrase: str | None = None
) -> Panel:
    """A panel with DetScore, PSNR and SSIM to the study's originals; with a phrase, its CLIP score as well."""
    psnr, ssim = study.judge.likeness(pictures, study.originals)
    scores = {"det_score": study.judge.presence(pictures), "psnr": psnr, "ssim": ssim}
    if phrase is not None:
        scores["clip_score"] = study.judge.agreement(pictures, phrase)
    return Panel(label, setting, pictures, scores)


def gather(study: Study, panels: Sequence[Panel], notes: Sequence[str] = ()) -> Findings:
    """Findings with a row for each picture: the setting, the seed, the scores."""
    rows = [
        panel.setting | {"seed": seed} | {name: values[k] for name, values in panel.scores.items()}
        for panel in panels
        for k, seed in enumerate(study.seeds)
    ]
    return Findings(rows, list(panels), list(notes), study.judge.remarks(panels[0].scores))
