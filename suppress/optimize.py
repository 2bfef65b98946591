"""Inference-time optimisation of the text embeddings (ITO): Algorithm 1 of Li et al., ICLR 2024.

    repeat `iterations` times:   ĉ <- ĉ - η ∇_ĉ L(maps of UNet(ẑ_t, t, ĉ))

Only the attention maps are needed, so a pass ends after the last site that is read. The whole 77 × D context is
optimised, [SOT] and padding included; one context feeds keys and values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minisd import Site, StableDiffusion, Tap, UserError
from minisd.attention import Attention

from .loss import Maps, Weights


class LayerMean(Tap):
    """Sums cross and self maps of one scale over layers as they pass; `maps` divides."""

    def __init__(self, scale: int, heads: int | None):
        self.scale, self.heads = scale, heads
        self.sums: dict[str, Tensor] = {}
        self.layers = {"cross": 0, "self": 0}

    def wants(self, site: Site) -> bool:
        return site.scale == self.scale and site.place != "mid"

    def probs(self, site: Site, p: Tensor) -> Tensor:
        mean = p[:, : self.heads].mean(dim=1)  # (B,N,L)
        self.sums[site.kind] = self.sums[site.kind] + mean if self.layers[site.kind] else mean
        self.layers[site.kind] += 1
        return p

    def maps(self, grid: tuple[int, int]) -> Maps:
        return Maps(self.sums["cross"] / self.layers["cross"], self.sums["self"] / self.layers["self"], grid)


def map_scale(sd: StableDiffusion, z: Tensor, resolution: int | None) -> int:
    """The sites' scale whose query grid has the side `resolution`; None: a quarter of the latents' side."""
    scale = 4 if resolution is None else z.shape[-1] // resolution if resolution else 0
    sides = {s.scale: -(-z.shape[-1] // s.scale) for s in sd.unet.sites if s.place != "mid"}
    if scale not in sides or (resolution is not None and sides[scale] != resolution):
        raise UserError(
            f"resolution = {resolution}: no attention maps of that side; at this size there are "
            f"{', '.join(str(side) for side in sides.values())}"
        )
    return scale


def read_maps(sd: StableDiffusion, z: Tensor, t: int, ctx: Tensor, scale: int, heads: int | None) -> Maps:
    """Layer- and head-means of the maps of one conditional pass, which ends after the last layer that is read."""
    tap = LayerMean(scale, heads)
    last = [site for site in sd.unet.sites if tap.wants(site)][-1]
    sd.unet(z, t, ctx, tap=tap, stop_after=last)
    return tap.maps((-(-z.shape[-2] // scale), -(-z.shape[-1] // scale)))


def descend(ctx: Tensor, loss: Callable[[Tensor], Tensor], iterations: int, step_size: float) -> Tensor:
    """Plain gradient steps on ctx (B,77,D); the result carries no graph."""
    for _ in range(iterations):
        with torch.enable_grad():
            leaf = ctx.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(leaf), leaf)
        ctx = leaf.detach() - step_size * gradient
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
        squares = ((ctx - ref).float() @ w.T).double().square().sum(dim=-1)  # (B,77)
        total = weights.pl * squares[:, list(keep)].sum() - weights.nl * squares[:, list(drop)].sum()
        return total / curvature

    return loss
