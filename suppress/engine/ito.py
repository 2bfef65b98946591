"""Fast inference-time optimisation: the loss of suppress/edits/ito.py in a few tensor operations, and its iterations.

All samples of a batch are optimised at once. The passes of a step begin after the part that they have in common, and
end at the last layer whose maps the loss reads. `iterate` is one function of tensors, so that all iterations of a step
can be one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import UNet

from ..edits.ito import DROP_THRESHOLD, KEEP_THRESHOLD, MASK_UP, AttentionLoss, descend, gradient_scale, loss_dtype
from ..edits.maps import Maps, MapSpec
from .passes import read_maps
from .short_passes import Prefix

# ---------------------------------------------------------------------- the fused loss


class Words(NamedTuple):
    """The words of each sample, with their λ and thresholds. If a sample has fewer than K, the others have weight 0."""

    rows: Tensor  # (B,K) int64
    at_cross: Tensor  # (B,K), ±λ
    at_self: Tensor  # (B,K), ±λ_self
    thresholds: Tensor  # (B,K), of the mask


class ReferenceMaps(NamedTuple):
    """The reference maps of a step, prepared for the loss: everything in it that depends only on them."""

    cross: Tensor  # (B,N,K), columns of length 1 for the cosine
    self_: Tensor  # (B,N,N), likewise
    rows: Tensor  # (B,K)
    at_cross: Tensor  # (B,K)
    at_self: Tensor  # (B,N): Σ_i ±λ_i [j ∈ M_i]


def find_words(loss: AttentionLoss, device: torch.device) -> Words:
    """The words of a loss as tensors. Call it once per job, because making a GPU tensor from a list synchronises."""
    weights, table = loss.weights, []
    most = max(len(keep) + len(drop) for keep, drop in zip(loss.keep, loss.drop, strict=True))
    for keep, drop in zip(loss.keep, loss.drop, strict=True):
        words: list[tuple[float, float, float, float]] = []
        words += [(i, weights.pl, weights.self_pl, KEEP_THRESHOLD) for i in keep]
        words += [(i, -weights.nl, -weights.self_nl, DROP_THRESHOLD) for i in drop]
        table.append([*words, *[(0, 0.0, 0.0, KEEP_THRESHOLD)] * (most - len(words))])
    columns = torch.tensor(table, dtype=loss_dtype(device), device=device)
    return Words(columns[..., 0].long(), *columns[..., 1:].unbind(-1))


def prepare_reference(words: Words, reference: Maps, form: str) -> ReferenceMaps:
    """The reference maps, as `attention_loss` takes them."""
    cross = _columns(reference.cross, words.rows)
    masked = masks(cross, reference.grid, words.thresholds).to(words.at_self)
    at_self = torch.einsum("bk,bkn->bn", words.at_self, masked)
    return ReferenceMaps(_scaled(cross, form), _scaled(reference.self_, form), words.rows, words.at_cross, at_self)


def masks(cross: Tensor, grid: tuple[int, int], thresholds: Tensor) -> Tensor:
    """M of all words: cross (B,N,K), thresholds (B,K) or (K,) -> bool (B,K,N)."""
    maps = cross.transpose(1, 2).unflatten(2, grid)  # (B,K,h,w)
    large = F.interpolate(maps, scale_factor=MASK_UP, mode="bilinear")
    binary = large >= thresholds.to(large)[..., None, None] * large.amax(dim=(2, 3), keepdim=True)
    return (F.interpolate(binary.to(cross.dtype), size=grid, mode="bilinear") > 0).flatten(2)


def attention_loss(reference: ReferenceMaps, cross: Tensor, self_: Tensor, form: str) -> Tensor:
    """L of suppress/edits/ito.py, one value per sample: (B,). cross (B,N,77), self_ (B,N,N).

    Σ_i λ_i Σ_{j∈M_i} d(S_j, Ŝ_j) = Σ_j (Σ_i λ_i [j∈M_i]) d(S_j, Ŝ_j): one distance per column for all words together.
    The cosine is written 1 - cos(a,b) = ½ |a/|a| - b/|b||², which loses no digits if a and b are nearly equal.
    """
    factor = 0.5 if form == "cosine" else 1.0
    cross = _scaled(_columns(cross, reference.rows), form)
    d_cross = factor * (reference.cross - cross).square().sum(dim=1)  # (B,K)
    d_self = factor * (reference.self_ - _scaled(self_, form)).square().sum(dim=1)  # (B,N)
    return (reference.at_cross * d_cross).sum(dim=1) + (reference.at_self * d_self).sum(dim=1)


def _columns(cross: Tensor, rows: Tensor) -> Tensor:
    """The words' columns of cross maps: (B,N,77), (B,K) -> (B,N,K)."""
    return cross.gather(2, rows[:, None].expand(-1, cross.shape[1], -1))


def _scaled(maps: Tensor, form: str) -> Tensor:
    """maps (B,N,K) in the precision of the loss; for the cosine, with columns of length 1."""
    maps = maps.to(loss_dtype(maps.device))
    return maps / maps.norm(dim=1, keepdim=True) if form == "cosine" else maps


# ---------------------------------------------------------------------- the iterations


class Reading(NamedTuple):
    """How the passes of an optimisation read their maps."""

    maps: MapSpec
    end_site: str | None  # the site after which a pass ends; None: passes are complete
    fused: bool  # whether the other sites use fused attention


def map_loss(
    unet: UNet,
    ctx: Tensor,
    z: Tensor,
    t: Tensor,
    reference: ReferenceMaps,
    reading: Reading,
    form: str,
    prefix: Prefix | None,
) -> Tensor:
    """The loss of a pass with ctx, summed over samples: a scalar. A sample's gradient does not depend on the others."""
    cross, self_ = read_maps(unet, z, t, ctx, *reading, prefix=prefix)
    return attention_loss(reference, cross, self_, form).sum()


def iterate(
    loss: Callable[..., Tensor],
    before_text: Callable[..., Prefix] | None,
    unet: UNet,
    reading: Reading,
    form: str,
    iterations: int,
    ctx: Tensor,
    z: Tensor,
    t: Tensor,
    eta: Tensor,
    *reference: Tensor,
) -> Tensor:
    """All iterations of one step, beginning with ctx (B,77,D). reference: the fields of `ReferenceMaps`.

    loss, before_text: `map_loss` and `short_passes.before_text`, or compiled forms of them. before_text None: every
    pass begins with the latents.
    """
    prefix = before_text(unet, z, t) if before_text is not None else None
    maps, scale = ReferenceMaps(*reference), gradient_scale(unet.conv_in.weight.dtype)
    return descend(ctx, lambda c: loss(unet, c, z, t, maps, reading, form, prefix), iterations, eta, scale)
