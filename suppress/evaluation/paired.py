"""The paired bootstrap: two rows of the table compared picture by picture.

    d_k = ours_k - theirs_k     for every picture k (prompt and seed) that both rows have
    m:  the means of samples of the d_k, drawn with replacement
    the interval of mean(d): percentiles of m
    p = 2 (1 + min(number of m <= 0, number of m >= 0)) / (1 + number of m), at most 1

Both rows draw a picture from the same noise and prompt. What makes a picture easy or hard for both of them cancels in
d_k, so that a small difference shows that two separate intervals would hide (Efron and Tibshirani 1993).
The pictures of one prompt are alike, so that the interval says more about other seeds than about other prompts.

Whoever compares with many rows finds a difference by chance with some of them. `holm` makes their p larger, so that the
chance to find any such difference stays below the level (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from .table import interval, resampled_means

RESAMPLES = 20_000  # of p: with 2000, no p would be below .001, which is too much for sixty comparisons


@dataclass(frozen=True)
class Paired:
    """Ours less theirs."""

    pictures: int
    difference: float  # the mean
    interval: tuple[float, float]  # 95 %
    p: float  # two-sided: how often chance alone would give a mean as far from 0


def paired(ours: Mapping[Hashable, float], theirs: Mapping[Hashable, float], level: float = 0.95) -> Paired:
    """ours, theirs: a score by picture. They must share at least one picture."""
    differences = [value - theirs[key] for key, value in ours.items() if key in theirs]
    means = resampled_means(differences, RESAMPLES)
    tail = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = min(1.0, 2 * (1 + tail) / (1 + RESAMPLES))
    return Paired(len(differences), float(np.mean(differences)), interval(differences, level), p)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """The p of several comparisons, by name, corrected for their number.

    p_(1) <= … <= p_(m):  p'_(k) = the largest of  min(1, (m + 1 - j) p_(j)),  j <= k.
    """
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = largest
    return adjusted
