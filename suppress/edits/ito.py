"""Inference-time optimisation of the context (ITO): SuppressEOT, Li et al., ICLR 2024, section 3.4 and Algorithm 1.

    repeat:   ĉ <- ĉ - η ∇_ĉ L(maps of UNet(ẑ_t, t, ĉ))

The whole 77 × D context is optimised, [SOT] and padding included. The loss is (eq. 3-6, with the terms that the
authors' code adds)

    L = λ_pl Σ_{p∈P} d(A_p, Â_p) - λ_nl Σ_{q∈T} d(A_q, Â_q)
      + λ_self_pl Σ_{p∈P} Σ_{j∈M_p} d(S_j, Ŝ_j) - λ_self_nl Σ_{q∈T} Σ_{j∈M_q} d(S_j, Ŝ_j)

    A, Â         mean cross maps (N pixels × 77 tokens): the reference maps, and those of the pass with ĉ
    S, Ŝ         mean self maps (N queries × N keys), likewise
    A_p, S_j     columns (N,)
    P, T         the rows of the words to keep, and of the target
    M_p          the pixels at which the reference map of word p is large

The paper has the first two terms, with d(a,b) = |a-b|². The authors' code has all four, with d(a,b) = 1 - cos(a,b) in
float64. Both sum over words and pixels; they take no mean.

suppress/engine/ito.py has the same loss in a few tensor operations. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import StableDiffusion

from .maps import Maps, MapSpec
from .taps import cross_layers

# From the authors' code:
MASK_UP = 16  # a map is enlarged by this factor before the threshold is applied (16 -> 256 in SD at 512²)
KEEP_THRESHOLD, DROP_THRESHOLD = 0.95, 0.85  # times the map's maximum, for words to keep and for the target


class MapLoss(Protocol):
    """A loss on maps: which maps it reads, and its value, a scalar that is summed over samples."""

    @property
    def maps(self) -> MapSpec: ...

    def __call__(self, reference: Maps, new: Maps) -> Tensor: ...


@dataclass(frozen=True)
class LossWeights:
    """The λ of the loss above."""

    pl: float
    nl: float
    self_pl: float
    self_nl: float


@dataclass(frozen=True)
class AttentionLoss:
    """L of the module's docstring, for a batch: loss(reference maps, new maps), summed over samples."""

    maps: MapSpec
    keep: tuple[tuple[int, ...], ...]  # P: the rows of the words to keep, one tuple per sample
    drop: tuple[tuple[int, ...], ...]  # T: the rows of the target
    weights: LossWeights
    form: str  # the distance d: "cosine" or "l2"

    def __call__(self, reference: Maps, new: Maps) -> Tensor:
        """A scalar, float64."""
        total = torch.zeros((), dtype=loss_dtype(new.cross.device), device=new.cross.device)
        for b, (keep, drop) in enumerate(zip(self.keep, self.drop, strict=True)):
            for rows, sign, threshold, weight, weight_self in (
                (keep, 1, KEEP_THRESHOLD, self.weights.pl, self.weights.self_pl),
                (drop, -1, DROP_THRESHOLD, self.weights.nl, self.weights.self_nl),
            ):
                for i in rows:
                    a, a_hat = reference.cross[b, :, i], new.cross[b, :, i]
                    total = total + sign * weight * distance(a, a_hat, self.form)
                    for j in mask(a, reference.grid, threshold):
                        s, s_hat = reference.self_[b, :, j], new.self_[b, :, j]
                        total = total + sign * weight_self * distance(s, s_hat, self.form)
        return total


def distance(a: Tensor, b: Tensor, form: str) -> Tensor:
    """d(a,b) of two vectors: "cosine" 1 - cos(a,b), "l2" |a-b|²; float64."""
    a, b = a.to(loss_dtype(a.device)), b.to(loss_dtype(b.device))
    return 1 - F.cosine_similarity(a, b, dim=0) if form == "cosine" else (a - b).square().sum()


def mask(column: Tensor, grid: tuple[int, int], threshold: float) -> list[int]:
    """M: the pixels j at which a word's map (N,) is large.

    The map is enlarged and compared with `threshold` times its maximum. A pixel j is in M if any enlarged pixel that
    contributes to it is above.
    """
    h, w = grid
    large = F.interpolate(column.view(1, 1, h, w), scale_factor=MASK_UP, mode="bilinear")
    binary = (large >= threshold * large.max()).to(column.dtype)
    small = F.interpolate(binary, size=grid, mode="bilinear").flatten()
    return [j for j in range(h * w) if small[j] > 0]


def loss_dtype(device: torch.device) -> torch.dtype:
    """float64, as in the authors' code; float32 on Apple's GPUs, which have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def descend(
    ctx: Tensor,
    loss: Callable[[Tensor], Tensor],
    iterations: int,
    eta: float | Tensor,
    scale: float = 1.0,
) -> Tensor:
    """Plain gradient steps ctx <- ctx - η ∇ loss(ctx) on ctx (B,77,D). The result has no autograd graph.

    scale: see `gradient_scale`.
    """
    for _ in range(iterations):
        with torch.enable_grad():
            leaf = ctx.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(scale * loss(leaf), leaf)
        ctx = leaf.detach() - eta / scale * gradient
    return ctx


def gradient_scale(dtype: torch.dtype) -> float:
    """The factor by which the loss is multiplied in the backward pass, so that no gradient inside the UNet underflows.

    float16 has no number between 0 and 6e-8. On SD v1.4's shape with random weights, the gradient of the plain loss is
    wrong by 8 %; that of 64 or 4096 times the loss is wrong by 0.5 %. bfloat16 has the range of float32 and needs none.
    """
    return 1024.0 if dtype == torch.float16 else 1.0


def value_loss(
    sd: StableDiffusion,
    ctx: Tensor,
    keep: Sequence[Sequence[int]],
    drop: Sequence[Sequence[int]],
    weights: LossWeights,
    scale: int,
) -> Callable[[Tensor], Tensor]:
    """The loss on values instead of maps (appendix D): λ_pl |V̂_P - V_P|² - λ_nl |V̂_T - V_T|², V = W_V c.

    ctx (B,77,D): the untouched prompts. keep, drop: rows of each sample. The loss is summed over the cross layers of
    the scale and over samples. It needs no UNet pass, because V̂ - V = W_V (ĉ - c) is linear in the context.
    The paper gives no step size for this loss, and with the code's the descent would diverge. So the loss is divided
    here by the largest curvature of |V̂ - V|²: along that direction, a step of 1 is a Newton step.
    """
    layers = [
        attn.to_v.weight.float()
        for attn in cross_layers(sd.unet)
        if attn.site.scale == scale and attn.site.place != "mid"
    ]
    w = torch.cat(layers)  # (sum of the layers' widths, D)
    curvature = 2 * torch.linalg.matrix_norm(w, ord=2) ** 2
    at_row = torch.zeros(ctx.shape[:2], dtype=loss_dtype(ctx.device))  # (B,77)
    for row_weights, kept, dropped in zip(at_row, keep, drop, strict=True):
        row_weights[list(kept)] = weights.pl
        row_weights[list(dropped)] = -weights.nl
    at_row = at_row.to(ctx.device)

    def loss(new: Tensor) -> Tensor:
        squares = ((new - ctx).float() @ w.T).to(at_row.dtype).square().sum(dim=-1)  # (B,77)
        return (at_row * squares).sum() / curvature

    return loss
