"""How much the pixels fetch from each token. A cross map says only how much they look at it.

At an attention site a pixel gets out = Σ_j p_j v_j, where v_j are the values of token j. Unread replaces the target's
row by zeros. The pixels still look at it: its score is 0, and e^0 = 1 gets its part of the softmax, often a larger
part than before. But its values are zero too, so the pixels fetch nothing. The map is therefore weighted by the length
of the values, as in Kobayashi et al. 2020 ("Attention is Not Only a Weight"), here relative to the untouched prompt c:

    p_j |v_j(ĉ)| / |v_j(c)|

The map of an unedited token stays as it is, so the numbers of both branches can be compared.
"""

from __future__ import annotations

import torch
from torch import Tensor

from minisd import Average, Site, select
from minisd.attention import Attention
from minisd.config import CONTEXT


class PromptMaps(Average):
    """The mean of the prompt's cross maps over passes and heads, without the columns that a method's tap may add."""

    def __init__(self) -> None:
        super().__init__(select("cross"))

    def probs(self, site: Site, p: Tensor) -> Tensor:
        super().probs(site, p[..., :CONTEXT])
        return p


class Fetched(PromptMaps):
    """The same of the weighted maps."""

    def __init__(self, ctx: Tensor):
        """ctx (B,77,D): the untouched prompt of each sample that the tap will see."""
        super().__init__()
        self.ctx = ctx
        self.original_lengths: dict[str, Tensor] = {}  # site name -> |v(c)| (B,H,77), the same at every step
        self.ratios: dict[str, Tensor] = {}  # site name -> |v(ĉ)| / |v(c)| (B,H,77), of this pass

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        if site.name not in self.original_lengths:
            self.original_lengths[site.name] = _lengths(attn.split_heads(attn.to_v(self.ctx)))
        # the smallest normal number instead of 0, so that nothing is divided by 0
        divisor = self.original_lengths[site.name].clamp(min=torch.finfo(torch.float32).tiny)
        self.ratios[site.name] = _lengths(v[:, :, :CONTEXT]) / divisor
        return k, v

    def probs(self, site: Site, p: Tensor) -> Tensor:
        super().probs(site, p[..., :CONTEXT] * self.ratios[site.name].unsqueeze(2))
        return p


def _lengths(v: Tensor) -> Tensor:
    """v (B,H,L,d) -> (B,H,L), float32"""
    return v.detach().float().norm(dim=-1)
