"""Attention losses of SuppressEOT (Li et al., ICLR 2024, section 3.4, eq. 3-6, and the terms that their code adds).

For a layer-mean of cross maps A (N pixels × 77 tokens) and of self maps S (N queries × N keys), of the reference (no
hat) and of the pass with the optimised context (hat), with P the words to keep and T the target's tokens,

    L = λ_pl Σ_{p∈P} d(A_p, Â_p) - λ_nl Σ_{q∈T} d(A_q, Â_q)
      + λ_self_pl Σ_{p∈P} Σ_{j∈M_p} d(S_j, Ŝ_j) - λ_self_nl Σ_{q∈T} Σ_{j∈M_q} d(S_j, Ŝ_j)

A_p, S_j: columns (N,); M_p: the pixels where word p is looked for in the reference. The paper has the first two terms
with d(a,b) = |a-b|²; the authors' code has all four with d(a,b) = 1 - cos(a,b), in float64. Sums, not means.

`loss_reference` says it in loops, `attention_loss` in a few tensor operations, which a compiler fuses; they are equal
by test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MASK_UP = 16  # masks are thresholded on a map enlarged this many times (16 -> 256 in SD at 512²)
KEEP_SHARE, DROP_SHARE = 0.95, 0.85  # of the map's maximum: thresholds for words to keep and for the target


@dataclass(frozen=True, eq=False)
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


def loss_dtype(device: torch.device) -> torch.dtype:
    """float64, as in the authors' code; Apple's GPUs have none."""
    return torch.float32 if device.type == "mps" else torch.float64


# ---------------------------------------------------------------------- the readable form


def distance(a: Tensor, b: Tensor, form: str) -> Tensor:
    """d(a,b) of two vectors: "cosine" 1 - cos(a,b), "l2" |a-b|²; float64."""
    a, b = a.to(loss_dtype(a.device)), b.to(loss_dtype(b.device))
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
    total = torch.zeros((), dtype=loss_dtype(new.cross.device), device=new.cross.device)
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


# ---------------------------------------------------------------------- the fused form


class Words(NamedTuple):
    """The words of each sample with their λ and thresholds; samples with fewer words are filled up at weight 0."""

    columns: Tensor  # (B,K) int64, token positions
    at_cross: Tensor  # (B,K), ±λ
    at_self: Tensor  # (B,K), ±λ_self
    shares: Tensor  # (B,K), of the mask


class Target(NamedTuple):
    """What a step's maps are compared with; all that depends on the reference alone is in it."""

    cross: Tensor  # (B,N,K), columns of length 1 for the cosine
    self_: Tensor  # (B,N,N), likewise
    at_cross: Tensor  # (B,K)
    at_self: Tensor  # (B,N): Σ_i ±λ_i [j ∈ M_i]


def find_words(
    keep: Sequence[Sequence[int]], drop: Sequence[Sequence[int]], weights: Weights, device: torch.device
) -> Words:
    """keep, drop: token positions, a sequence a sample. Made once a job: tensors made from lists wait for a GPU."""
    most = max(len(k) + len(d) for k, d in zip(keep, drop, strict=True))
    rows = []
    for kept, dropped in zip(keep, drop, strict=True):
        words: list[tuple[float, float, float, float]] = [(i, weights.pl, weights.self_pl, KEEP_SHARE) for i in kept]
        words += [(i, -weights.nl, -weights.self_nl, DROP_SHARE) for i in dropped]
        rows.append([*words, *[(0, 0.0, 0.0, KEEP_SHARE)] * (most - len(words))])
    table = torch.tensor(rows, dtype=loss_dtype(device), device=device)
    return Words(table[..., 0].long(), *table[..., 1:].unbind(-1))


def set_target(words: Words, cross: Tensor, self_: Tensor, grid: tuple[int, int], form: str) -> Target:
    """The reference's maps as `attention_loss` wants them. cross (B,N,K): the columns of `words` alone."""
    at_self = torch.einsum("bk,bkn->bn", words.at_self, masks(cross, grid, words.shares).to(words.at_self))
    return Target(_scaled(cross, form), _scaled(self_, form), words.at_cross, at_self)


def masks(cross: Tensor, grid: tuple[int, int], shares: Tensor) -> Tensor:
    """M for all words at once: cross (B,N,K), shares (B,K) or (K,) -> bool (B,K,N)."""
    maps = cross.transpose(1, 2).unflatten(2, grid)  # (B,K,h,w)
    large = F.interpolate(maps, scale_factor=MASK_UP, mode="bilinear")
    binary = large >= shares.to(large)[..., None, None] * large.amax(dim=(2, 3), keepdim=True)
    return (F.interpolate(binary.to(cross.dtype), size=grid, mode="bilinear") > 0).flatten(2)


def attention_loss(target: Target, cross: Tensor, self_: Tensor, form: str) -> Tensor:
    """L of the module's docstring, a value a sample: (B,). cross (B,N,K), self_ (B,N,N).

    Σ_i λ_i Σ_{j∈M_i} d(S_j, Ŝ_j) = Σ_j (Σ_i λ_i [j∈M_i]) d(S_j, Ŝ_j): one distance a column, however many words.
    The cosine is written 1 - cos(a,b) = ½ |a/|a| - b/|b||², which loses no digits where a and b are nearly equal.
    """
    half = 0.5 if form == "cosine" else 1.0
    d_cross = half * (target.cross - _scaled(cross, form)).square().sum(dim=1)  # (B,K)
    d_self = half * (target.self_ - _scaled(self_, form)).square().sum(dim=1)  # (B,N)
    return (target.at_cross * d_cross).sum(dim=1) + (target.at_self * d_self).sum(dim=1)


def _scaled(maps: Tensor, form: str) -> Tensor:
    """The columns of (B,N,K), of length 1 for the cosine, in the precision of the loss."""
    maps = maps.to(loss_dtype(maps.device))
    return maps / maps.norm(dim=1, keepdim=True) if form == "cosine" else maps
