"""What the pixels fetch from each token, where a cross map says only how much they look at it.

At an attention site a pixel gets out = Σ_j p_j v_j, v_j the token's values. A row of zeros, as Unread makes of the
target, is looked at all the same: its score is 0, and e^0 = 1 takes its part of the softmax, often a larger one than
before. But its values are zeros too, and nothing is fetched. So the map is weighted by the length of the values, as
Kobayashi et al. 2020 ("Attention is Not Only a Weight") do, here in proportion to those of the untouched prompt c:

    p_j |v_j(ĉ)| / |v_j(c)|

A token that is left alone keeps its map, and numbers before and after can be compared.
"""

from __future__ import annotations

import torch
from torch import Tensor

from minisd import Average, Site, select
from minisd.attention import Attention


class Fetched(Average):
    """The mean of weighted cross maps over passes and heads, as `Average` has it of plain ones."""

    def __init__(self, ctx: Tensor):
        """ctx (B,77,D): the untouched prompts of the samples that the tap will see."""
        super().__init__(select("cross"))
        self.ctx = ctx
        self.before: dict[str, Tensor] = {}  # |v(c)| (B,H,77) by site: the same at every step
        self.weights: dict[str, Tensor] = {}  # of this pass

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        if site.name not in self.before:
            self.before[site.name] = _lengths(attn.split_heads(attn.to_v(self.ctx)))
        # values of length 0 have nothing to be compared with, and nothing divides by 0
        self.weights[site.name] = _lengths(v) / self.before[site.name].clamp(min=torch.finfo(torch.float32).tiny)
        return k, v

    def probs(self, site: Site, p: Tensor) -> Tensor:
        super().probs(site, p * self.weights[site.name].unsqueeze(2))
        return p


def _lengths(v: Tensor) -> Tensor:
    """v (B,H,L,d) -> (B,H,L), float32"""
    return v.detach().float().norm(dim=-1)
