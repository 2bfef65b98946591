"""Attention losses of SuppressEOT (Li et al., ICLR 2024, section 3.4, eq. 3-6, and the terms that their code adds).

For a layer-mean of cross maps A (N pixels × 77 tokens) and of self maps S (N queries × N keys), of the reference (no
hat) and of the pass with the optimised context (hat), with P the words to keep and T the target's tokens,

    L = λ_pl Σ_{p∈P} d(A_p, Â_p) - λ_nl Σ_{q∈T} d(A_q, Â_q)
      + λ_self_pl Σ_{p∈P} Σ_{j∈M_p} d(S_j, Ŝ_j) - λ_self_nl Σ_{q∈T} Σ_{j∈M_q} d(S_j, Ŝ_j)

A_p, S_j: columns (N,); M_p: the pixels where word p is looked for in the reference. The paper has the first two terms
with d(a,b) = |a-b|²; the authors' code has all four with d(a,b) = 1 - cos(a,b), in float64. Sums, not means.

`loss_reference` says it in loops, `attention_loss` in a few tensor operations; they are equal by test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MASK_UP = 16  # masks are thresholded on a map enlarged this many times (16 -> 256 in SD at 512²)
KEEP_SHARE, DROP_SHARE = 0.95, 0.85  # of the map's maximum: thresholds for words to keep and for the target


@dataclass(frozen=True)
class Maps:
    """Means over layers and heads: cross (B,N,77), self_ (B,N,N), N = h·w pixels of the grid (h,w)."""

    cross: Tensor
    self_: Tensor
    grid: tuple[int, int]


@dataclass(frozen=True)
class Weights:
    """The λ of the loss above."""

    pl: float
    nl: float
    self_pl: float
    self_nl: float


# ---------------------------------------------------------------------- the readable form


def distance(a: Tensor, b: Tensor, form: str) -> Tensor:
    """d(a,b) of two vectors: "cosine" 1 - cos(a,b), "l2" |a-b|²; float64."""
    a, b = a.double(), b.double()
    return 1 - F.cosine_similarity(a, b, dim=0) if form == "cosine" else (a - b).square().sum()


def mask_reference(column: Tensor, grid: tuple[int, int], share: float) -> list[int]:
    """M: the pixels j of a word's map (N,) that stay above `share` of its maximum, through the enlargement."""
    h, w = grid
    large = F.interpolate(column.view(1, 1, h, w), scale_factor=MASK_UP, mode="bilinear")
    binary = (large >= share * large.max()).to(column.dtype)
    small = F.interpolate(binary, size=grid, mode="bilinear").flatten()
    return [j for j in range(h * w) if small[j] > 0]


def loss_reference(
    ref: Maps, new: Maps, keep: Sequence[int], drop: Sequence[int], weights: Weights, form: str
) -> Tensor:
    """L of the module's docstring, summed over the samples of the batch: a scalar, float64."""
    total = torch.zeros((), dtype=torch.float64, device=new.cross.device)
    for b in range(len(new.cross)):
        for words, sign, share, at, at_self in (
            (keep, 1, KEEP_SHARE, weights.pl, weights.self_pl),
            (drop, -1, DROP_SHARE, weights.nl, weights.self_nl),
        ):
            for i in words:
                total = total + sign * at * distance(ref.cross[b, :, i], new.cross[b, :, i], form)
                for j in mask_reference(ref.cross[b, :, i], ref.grid, share):
                    total = total + sign * at_self * distance(ref.self_[b, :, j], new.self_[b, :, j], form)
    return total


# ---------------------------------------------------------------------- the vectorised form


def column_distances(a: Tensor, b: Tensor, form: str) -> Tensor:
    """d between equal columns of (B,N,K) and (B,N,K): (B,K), float64."""
    a, b = a.double(), b.double()
    return 1 - F.cosine_similarity(a, b, dim=1) if form == "cosine" else (a - b).square().sum(dim=1)


def masks(cross: Tensor, grid: tuple[int, int], shares: Tensor) -> Tensor:
    """M for all words at once: cross (B,N,K), shares (K,) -> 0/1 (B,K,N)."""
    maps = cross.transpose(1, 2).unflatten(2, grid)  # (B,K,h,w)
    large = F.interpolate(maps, scale_factor=MASK_UP, mode="bilinear")
    binary = large >= shares[:, None, None] * large.amax(dim=(2, 3), keepdim=True)
    return (F.interpolate(binary.to(cross.dtype), size=grid, mode="bilinear") > 0).flatten(2).double()


class AttentionLoss:
    """L against one reference. What depends on the reference alone, the weight of each self column, is made once.

    Σ_i w_i Σ_{j∈M_i} d(S_j, Ŝ_j) = Σ_j (Σ_i w_i [j∈M_i]) d(S_j, Ŝ_j): one distance a column, however many words.
    """

    def __init__(self, ref: Maps, keep: Sequence[int], drop: Sequence[int], weights: Weights, form: str):
        self.form, self.words = form, [*keep, *drop]
        self.ref_cross, self.ref_self = ref.cross[:, :, self.words], ref.self_
        device = ref.cross.device
        signs = [1.0] * len(keep) + [-1.0] * len(drop)
        pairs = [(weights.pl, weights.self_pl)] * len(keep) + [(weights.nl, weights.self_nl)] * len(drop)
        self.at_cross, at_self = (
            torch.tensor([s * p[k] for s, p in zip(signs, pairs, strict=True)], dtype=torch.float64, device=device)
            for k in (0, 1)
        )
        shares = torch.tensor([KEEP_SHARE] * len(keep) + [DROP_SHARE] * len(drop), device=device)
        self.at_self = torch.einsum("k,bkn->bn", at_self, masks(self.ref_cross, ref.grid, shares))
        self.uses_self = bool(weights.self_pl or weights.self_nl)

    def __call__(self, new: Maps) -> Tensor:
        """The scalar L, float64, summed over samples; each sample's gradient is its own."""
        loss = (column_distances(self.ref_cross, new.cross[:, :, self.words], self.form) * self.at_cross).sum()
        if self.uses_self:
            loss = loss + (column_distances(self.ref_self, new.self_, self.form) * self.at_self).sum()
        return loss
