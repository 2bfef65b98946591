"""The paired bootstrap: two rows of the table compared picture by picture.

    d_k = ours_k - theirs_k     for every picture k (prompt and seed) that both rows have
    the interval of mean(d): percentiles of the means of samples of the d_k, drawn with replacement

Both rows draw a picture from the same noise and prompt. What makes a picture easy or hard for both of them cancels in
d_k, so that a small difference shows that two separate intervals would hide (Efron and Tibshirani 1993).
The pictures of one prompt are alike, so that the interval says more about other seeds than about other prompts.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from .table import interval


@dataclass(frozen=True)
class Paired:
    """Ours less theirs."""

    pictures: int
    difference: float  # the mean
    interval: tuple[float, float]  # 95 %

    @property
    def below(self) -> bool:
        """Whether ours is smaller, beyond chance."""
        return self.interval[1] < 0

    @property
    def above(self) -> bool:
        return self.interval[0] > 0


def paired(ours: Mapping[Hashable, float], theirs: Mapping[Hashable, float], level: float = 0.95) -> Paired:
    """ours, theirs: a score by picture. They must share at least one picture."""
    differences = np.array([value - theirs[key] for key, value in ours.items() if key in theirs])
    return Paired(len(differences), float(differences.mean()), interval(differences.tolist(), level))
