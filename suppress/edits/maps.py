"""Inference-time optimisation of the text embeddings (ITO): Algorithm 1 of Li et al., ICLR 2024.

    repeat `iterations` times:   ĉ <- ĉ - η ∇_ĉ L(maps of UNet(ẑ_t, t, ĉ))

The whole 77 × D context is optimised, [SOT] and padding included; one context feeds keys and values. This is the form
that the authors' code has, whole passes and all; suppress/engine runs the same iterations faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minisd import Site, StableDiffusion, Tap, UserError, compose
from minisd.attention import Attention

from .attention_loss import Maps, Weights, loss_dtype


class LayerMean(Tap):
    """Sums cross and self maps of one scale over layers as they pass; `maps` divides.

    heads: how many, from the first, are averaged; None: all. columns (B,K): which tokens' columns of the cross maps
    are kept, sample by sample; None: all 77.
    """

    def __init__(self, scale: int, heads: int | None, columns: Tensor | None = None):
        self.scale, self.heads, self.columns = scale, heads, columns
        self.sums: dict[str, Tensor] = {}
        self.layers = {"cross": 0, "self": 0}

    def wants(self, site: Site) -> bool:
        return site.scale == self.scale and site.place != "mid"

    def probs(self, site: Site, p: Tensor) -> Tensor:
        mean = p[:, : self.heads]  # (B,H,N,L)
        if self.columns is not None and site.kind == "cross":
            mean = mean.gather(-1, self.columns[:, None, None].expand(*mean.shape[:3], -1))
        mean = mean.mean(dim=1)  # (B,N,L)
        self.sums[site.kind] = self.sums[site.kind] + mean if self.layers[site.kind] else mean
        self.layers[site.kind] += 1
        return p

    def maps(self, grid: tuple[int, int]) -> Maps:
        return Maps(self.sums["cross"] / self.layers["cross"], self.sums["self"] / self.layers["self"], grid)


def map_scale(sd: StableDiffusion, z: Tensor, resolution: int | None, heads: int | None = None) -> int:
    """The sites' scale whose query grid has the side `resolution`, the width; None: a quarter of the latents' side.

    UserError where the UNet has no such maps, or fewer heads than asked for.
    """
    if heads is not None and heads > sd.config.unet.heads:
        raise UserError(f"heads = {heads}; the UNet has {sd.config.unet.heads}")
    sides = {s.scale: map_grid(z, s.scale)[1] for s in sd.unet.sites if s.place != "mid"}
    fitting = [scale for scale, side in sides.items() if (scale == 4 if resolution is None else side == resolution)]
    if not fitting:
        raise UserError(
            f"resolution = {resolution}: no attention maps of that side; at this size there are "
            f"{', '.join(str(side) for side in sides.values())}"
        )
    return fitting[0]


def map_grid(z: Tensor, scale: int) -> tuple[int, int]:
    """(h,w) of the maps at a scale: the latents' sides halved and rounded up, once or more."""
    h, w = z.shape[-2:]
    return -(-h // scale), -(-w // scale)


def read_maps(sd: StableDiffusion, z: Tensor, t: int, ctx: Tensor, scale: int, heads: int | None) -> Maps:
    """Layer- and head-means of the maps of one conditional pass, with maps at every site as the authors' code has."""
    means = LayerMean(scale, heads)
    sd.unet(z, t, ctx, tap=compose(Tap(), means))
    return means.maps(map_grid(z, scale))


def gradient_scale(dtype: torch.dtype) -> float:
    """What to multiply the loss with, for weights of a dtype, so that no gradient inside the UNet underflows.

    float16 has nothing below 6e-8: on SD v1.4's shape with random weights the gradient of the loss as it is comes out
    8 % wrong, that of 64 or of 4096 times the loss 0.5 %. Other dtypes reach as far as float32.
    """
    return 1024.0 if dtype == torch.float16 else 1.0


def descend(
    ctx: Tensor,
    loss: Callable[[Tensor], Tensor],
    iterations: int,
    step_size: float | Tensor,
    scale: float = 1.0,
) -> Tensor:
    """Plain gradient steps on ctx (B,77,D); the result carries no graph. scale: of the loss on its way back only."""
    eta = step_size / scale
    for _ in range(iterations):
        with torch.enable_grad():
            leaf = ctx.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(scale * loss(leaf), leaf)
        ctx = leaf.detach() - eta * gradient
    return ctx


def value_loss(
    sd: StableDiffusion, ref: Tensor, keep: Sequence[int], drop: Sequence[int], weights: Weights, scale: int
) -> Callable[[Tensor], Tensor]:
    """The loss on values instead of maps (appendix D): λ_pl |V̂_P - V_P|² - λ_nl |V̂_T - V_T|², V = W_V c.

    Summed over the cross layers of the scale. V̂ - V = W_V (ĉ - c) is linear in the context: no UNet pass. The paper
    gives no scale for its steps, and the code's would diverge: here the loss is divided by the curvature of |V̂ - V|²,
    so that a step of 1 is the longest that descends.
    """
    layers = [
        m.to_v.weight.float()
        for m in sd.unet.modules()
        if isinstance(m, Attention) and m.site.kind == "cross" and m.site.scale == scale and m.site.place != "mid"
    ]
    w = torch.cat(layers)  # (sum of the layers' widths, D)
    curvature = 2 * torch.linalg.matrix_norm(w, ord=2) ** 2

    def loss(ctx: Tensor) -> Tensor:
        squares = ((ctx - ref).float() @ w.T).to(loss_dtype(ctx.device)).square().sum(dim=-1)  # (B,77)
        total = weights.pl * squares[:, list(keep)].sum() - weights.nl * squares[:, list(drop)].sum()
        return total / curvature

    return loss
