"""Scores that only some tables have: LPIPS, CLIP accuracy, ORR, FID, and the CLIP score of a phrase.

They are computed while the cell is measured, because the cell keeps no pictures. In a cell, "extra" has for each of
them lists with one value per picture, or the reason why there is none:

    {"LPIPS": {"after": [0.21, 0.3]}, "ORR": {"before": [0, 0], "after": [1, 0]}, "features": {"reason": "…"}}

FID and IFID need many pictures at once. So the cells keep what they are made of, CLIP's vectors of the pictures, and
`features_in` reads them back.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from minisd.picture import from_pil

from ..metrics import ClipFeatures, ClipScore, Lpips, Unavailable, ZeroShot, clip_accuracy
from ..metrics.frechet import features_of
from ..metrics.zero_shot import Box
from ..protocols.protocol import ACCURACY, FEATURES, LPIPS, ORR, PROMPT_FIT, TARGET_FIT
from .cells import Cell

TOPS = (1, 5)  # of CLIP accuracy
Pictures = Sequence[Image.Image]
Values = dict[str, list[Any]]


@dataclass(frozen=True)
class Shown:
    """The pictures of one cell, and what they are asked for."""

    prompt: str
    phrase: str  # the target's words
    before: Pictures
    after: Pictures
    ideal: Pictures = ()  # the ideal edits, if they are known
    box: Box | None = None  # where the target is; None: the whole picture


class Extras:
    """Computes these scores. Models are loaded when they are first asked for.

    names: which scores. classes: what CLIP can call a picture, for CLIP accuracy and ORR. objects: prompt -> the class
    that ORR looks for.
    """

    def __init__(self, names: Sequence[str], clip: ClipScore, classes: Sequence[str], objects: Mapping[str, str]):
        self.names, self.clip, self.objects = tuple(names), clip, objects
        self.zero_shot = ZeroShot(clip, classes) if classes else None
        self.lpips: Lpips | Unavailable | None = None
        self.makers: dict[str, Callable[[Shown], Values]] = {
            PROMPT_FIT: lambda shown: self._fit(shown, shown.prompt),
            TARGET_FIT: lambda shown: self._fit(shown, shown.phrase),
            LPIPS: self._lpips,
            ACCURACY: self._accuracy,
            ORR: self._orr,
            FEATURES: self._features,
        }

    def at_hand(self, name: str) -> bool:
        """Whether a score can be had that an older cell lacks, with a reason such as a package that was not there."""
        try:
            return name == LPIPS and self._network() is not None
        except Unavailable:
            return False

    def of(self, shown: Shown) -> Cell:
        """{} if no such score is wanted, else {"extra": …}."""
        return {"extra": {name: self._one(name, shown) for name in self.names}} if self.names else {}

    def _one(self, name: str, shown: Shown) -> dict[str, Any]:
        try:
            return self.makers[name](shown)
        except Unavailable as reason:
            return {"reason": str(reason)}

    def _fit(self, shown: Shown, phrase: str) -> Values:
        return {side: rounded(self.clip(pictures, phrase)) for side, pictures in _sides(shown)}

    def _lpips(self, shown: Shown) -> Values:
        a, b = (torch.cat([from_pil(picture) for picture in x]) for x in (shown.before, shown.after))
        return {"after": rounded(self._network()(a, b))}

    def _network(self) -> Lpips:
        """That of LPIPS. Unavailable if it cannot be had."""
        if self.lpips is None:
            try:
                self.lpips = Lpips.load()
            except Unavailable as reason:
                self.lpips = reason
        if isinstance(self.lpips, Unavailable):
            raise self.lpips
        return self.lpips

    def _accuracy(self, shown: Shown) -> Values:
        """For each picture 1 if CLIP no longer names what it named before, at that place, else 0."""
        assert self.zero_shot is not None
        boxes = None if shown.box is None else [shown.box]
        pairs = [([a], [b]) for a, b in zip(shown.before, shown.after, strict=True)]
        return {f"top {top}": [clip_accuracy(self.zero_shot, a, b, top, boxes) for a, b in pairs] for top in TOPS}

    def _orr(self, shown: Shown) -> Values:
        """For each picture 1 if CLIP names another object, else 0."""
        assert self.zero_shot is not None
        name = self.objects[shown.prompt]
        return {
            side: [int(first != name) for [first] in self.zero_shot.first(pictures)] for side, pictures in _sides(shown)
        }

    def _features(self, shown: Shown) -> Values:
        sides = [*_sides(shown), *([("ideal", shown.ideal)] if shown.ideal else [])]
        return {side: _written(features_of(pictures, ClipFeatures(self.clip))) for side, pictures in sides}


def _sides(shown: Shown) -> list[tuple[str, Pictures]]:
    return [("before", shown.before), ("after", shown.after)]


def rounded(values: Tensor) -> list[float]:
    return [round(value, 5) for value in values.tolist()]


def _written(features: Tensor) -> list[str]:
    """(N,D) as one text per picture: float16, base64."""
    return [base64.b64encode(row.astype("<f2").tobytes()).decode() for row in features.numpy()]


def features_in(texts: Sequence[str]) -> Tensor:
    """The features (N,D) of the pictures that `_written` wrote."""
    return torch.from_numpy(np.stack([np.frombuffer(base64.b64decode(text), "<f2") for text in texts]).astype(float))
