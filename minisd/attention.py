"""Attention of the UNet, with its maps within reach.

    out = softmax(Q K^T / sqrt(d)) V          Vaswani et al. 2017, eq. 1

Q comes from the picture's features, K and V from the same features ("self", attn1) or from the text
embeddings ("cross", attn2): Rombach et al. 2022, section 3.3. At the sites that it wants, a `Tap`
(minisd/tap.py) computes the attention and may change it; everywhere else the fused `scaled_dot_product_attention`
runs and no map ever exists.

Shapes: B batch, H heads, N queries (h * w pixels), L keys (N or 77 tokens), C channels, d = C / H.
Module names are those of the diffusers state dict, so that a folder loads without a key table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

if TYPE_CHECKING:
    from .tap import Tap


Place = Literal["down", "mid", "up"]


@dataclass(frozen=True)
class Site:
    """One attention layer of the UNet: where it stands and what its maps mean."""

    name: str  # "down.1.0.cross": second block, first transformer, attention to the text
    kind: Literal["self", "cross"]
    place: Place
    scale: int  # 1, 2, 4 or 8: the map's grid is the latents' side divided by this
    heads: int


class Attention(nn.Module):
    """Multi-head attention at one site, the only part of the UNet that knows about taps."""

    def __init__(self, site: Site, dim: int, context_dim: int):
        super().__init__()
        self.site = site
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(context_dim, dim, bias=False)
        self.to_v = nn.Linear(context_dim, dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])

    def split_heads(self, x: Tensor) -> Tensor:
        """(B,L,C) -> (B,H,L,d)"""
        return rearrange(x, "b l (h d) -> b h l d", h=self.site.heads)

    def forward(self, x: Tensor, ctx: Tensor, tap: Tap | None = None) -> Tensor:
        """Queries from x (B,N,C), keys and values from ctx (B,L,D) -> (B,N,C)."""
        q = self.split_heads(self.to_q(x))
        k, v = self.split_heads(self.to_k(ctx)), self.split_heads(self.to_v(ctx))
        if tap is None or not tap.wants(self.site):
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            out = tap.attend(self.site, q, k, v, self)
        return self.to_out[0](rearrange(out, "b h n d -> b n (h d)"))


class GEGLU(nn.Module):
    """x -> a * gelu(b), [a, b] = W x (Shazeer 2020, "GLU Variants Improve Transformer")."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.proj = nn.Linear(dim, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.proj(x).chunk(2, dim=-1)
        return a * F.gelu(b)


class FeedForward(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        # index 1 is dropout in the original: no weights, but it gives the last layer its name
        self.net = nn.ModuleList([GEGLU(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class TransformerBlock(nn.Module):
    """Self attention, cross attention, feed-forward; each behind a LayerNorm and beside a residual."""

    def __init__(self, dim: int, context_dim: int, self_site: Site, cross_site: Site):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = Attention(self_site, dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.attn2 = Attention(cross_site, dim, context_dim)
        self.norm3 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim)

    def forward(self, x: Tensor, ctx: Tensor, tap: Tap | None) -> Tensor:
        """x (B,N,C), ctx (B,77,D) -> (B,N,C)"""
        h = self.norm1(x)
        x = x + self.attn1(h, h, tap)
        x = x + self.attn2(self.norm2(x), ctx, tap)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """A transformer block over the pixels of a feature map: x (B,C,h,w), ctx (B,77,D) -> (B,C,h,w)."""

    def __init__(self, dim: int, context_dim: int, groups: int, self_site: Site, cross_site: Site):
        super().__init__()
        self.norm = nn.GroupNorm(groups, dim, eps=1e-6)  # 1e-6 here and in the VAE, 1e-5 in residual blocks
        self.proj_in = nn.Conv2d(dim, dim, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(dim, context_dim, self_site, cross_site)])
        self.proj_out = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor, ctx: Tensor, tap: Tap | None) -> Tensor:
        h = rearrange(self.proj_in(self.norm(x)), "b c h w -> b (h w) c")
        for block in self.transformer_blocks:
            h = block(h, ctx, tap)
        return x + self.proj_out(rearrange(h, "b (h w) c -> b c h w", h=x.shape[2]))
