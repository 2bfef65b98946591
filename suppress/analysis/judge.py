"""The scores of an analysis's pictures, a value a picture; None where a checkpoint has nobody to judge."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import torch
from PIL import Image

from minisd import StableDiffusion
from minisd.picture import from_pil

from ..metrics import ClipScore, Detector, Unavailable, psnr, ssim

Scores = list[float | None]


class Judge:
    """DetScore of the targets, CLIP score of a phrase, PSNR and SSIM to the original. Loaded when first asked."""

    def __init__(self, sd: StableDiffusion, targets: Sequence[str]):
        self.sd, self.targets = sd, tuple(targets)

    def of(self, targets: Sequence[str]) -> Judge:
        """The same judge of other targets."""
        other = Judge(self.sd, targets)
        vars(other).update({k: v for k, v in vars(self).items() if k in ("_detector", "_clip")})  # what is loaded
        return other

    def presence(self, pictures: Sequence[Image.Image]) -> Scores:
        """DetScore; of several targets the one that is seen best, as none of them is wanted."""
        if not self._classes or isinstance(self._detector, Unavailable):
            return [None] * len(pictures)
        scores = self._detector.scores(pictures)
        return torch.stack([scores[name] for name in self._classes]).amax(dim=0).tolist()

    def likeness(self, pictures: Sequence[Image.Image], originals: Sequence[Image.Image]) -> tuple[Scores, Scores]:
        """(PSNR in dB, SSIM), picture by picture; infinite and 1 where they are equal."""
        a, b = (torch.cat([from_pil(p) for p in side]) for side in (pictures, originals))
        return psnr(a, b).tolist(), ssim(a, b).tolist()

    def agreement(self, pictures: Sequence[Image.Image], phrase: str) -> Scores:
        """CLIP score."""
        if isinstance(self._clip, Unavailable):
            return [None] * len(pictures)
        return self._clip(pictures, phrase).tolist()

    def remarks(self, scores: Collection[str]) -> list[str]:
        """What a reader of these scores has to know: classes wider than their word, and who is missing."""
        remarks = list(self._matches[1]) if "det_score" in scores else []
        if "clip_score" in scores and isinstance(self._clip, Unavailable):
            remarks.append(f"no CLIP score: {self._clip}")
        return remarks

    @property
    def _classes(self) -> list[str]:
        return self._matches[0]

    @cached_property
    def _matches(self) -> tuple[list[str], list[str]]:
        """(the detector's classes for the targets, remarks)"""
        names: list[str] = []
        remarks: list[str] = []
        try:
            if isinstance(self._detector, Unavailable):
                raise self._detector
            for target in self.targets:
                match = self._detector.match(target)
                names.append(match.name)
                if match.whole:
                    remarks.append(f"DetScore of {target!r}: the whole class {match.name.replace('_', ' ')}")
        except Unavailable as reason:
            names = []  # a score of half the targets would look like one of all
            remarks.append(f"no DetScore: {reason}")
        return names, remarks

    @cached_property
    def _detector(self) -> Detector | Unavailable:
        try:
            return Detector.of(self.sd)
        except Unavailable as reason:
            return reason

    @cached_property
    def _clip(self) -> ClipScore | Unavailable:
        try:
            return ClipScore.of(self.sd)
        except Unavailable as reason:
            return reason
