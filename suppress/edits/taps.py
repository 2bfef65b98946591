"""Changes of a cross attention that many methods use: other keys or values, more of both, or another output.

    Z = softmax(Q K^T / √d) V,   K = W_K c,   V = W_V c

The context of a tap is (B,77,D), one for each sample that the tap sees, or (1,77,D), one for all of them. To change
only some samples of a batch, use `minisd.Part`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minisd import Site, Tap, UserError
from minisd.attention import Attention


class CrossTap(Tap):
    """A tap at cross attention. where: picks some of these sites; None: all."""

    def __init__(self, where: Callable[[Site], bool] | None = None):
        self.where = where

    def wants(self, site: Site) -> bool:
        return site.kind == "cross" and (self.where is None or self.where(site))


class KContext(CrossTap):
    """Replaces the keys by those of another context c': K' = W_K c'."""

    def __init__(self, ctx: Tensor, where: Callable[[Site], bool] | None = None):
        super().__init__(where)
        self.ctx = ctx

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        return _project(self.ctx, attn.to_k, k, attn), v


class VContext(CrossTap):
    """Replaces the values by those of another context c': V' = W_V c'."""

    def __init__(self, ctx: Tensor, where: Callable[[Site], bool] | None = None):
        super().__init__(where)
        self.ctx = ctx

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        return k, _project(self.ctx, attn.to_v, v, attn)


class Append(CrossTap):
    """Appends keys and values of two more contexts (B,L,D) to those of the prompt.

    bias (B,77+L) is added to the logits. If a sample needs fewer than L rows, the bias of the others is -∞. Other taps
    see only the maps of the prompt's 77 keys.
    """

    def __init__(self, keys: Tensor, values: Tensor, bias: Tensor, where: Callable[[Site], bool] | None = None):
        super().__init__(where)
        self.keys, self.values, self.bias = keys, values, bias[:, None, None]

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        k = torch.cat([k, _project(self.keys, attn.to_k, k, attn)], dim=2)
        v = torch.cat([v, _project(self.values, attn.to_v, v, attn)], dim=2)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias.to(q.dtype))


class Output(CrossTap):
    """Replaces the output Z by f(site, Q, Z, attn); Q and Z are (B,H,N,d)."""

    def __init__(
        self, f: Callable[[Site, Tensor, Tensor, Attention], Tensor], where: Callable[[Site], bool] | None = None
    ):
        super().__init__(where)
        self.f = f

    def output(self, site: Site, q: Tensor, out: Tensor, attn: Attention) -> Tensor:
        return self.f(site, q, out, attn)


def _project(ctx: Tensor, layer: nn.Module, old: Tensor, attn: Attention) -> Tensor:
    """The keys or values (B,H,L,d) of ctx (B,L,D) or (1,L,D). layer: W_K or W_V; old (B,H,L',d): what they replace."""
    if ctx.dim() != 3 or len(ctx) not in (1, len(old)):
        raise UserError(
            f"a context of shape {tuple(ctx.shape)} for {len(old)} samples; expected one context per sample, "
            "or one for all"
        )
    return attn.split_heads(layer(ctx.to(old.dtype))).expand(len(old), -1, -1, -1)
