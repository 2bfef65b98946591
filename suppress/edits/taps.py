"""Changes of an attention that many methods use: other keys or values, more of both, other maps, or another output.

    Z = P V,   P = softmax(Q K^T / √d),   K = W_K c,   V = W_V c

The context of a tap is (B,77,D), one for each sample that the tap sees, or (1,77,D), one for all of them. A value tap
may have a context of its own for each site. To change only some samples of a batch, use `minisd.Part`. The taps that
carry maps from the original to the edited branch see the batch [original × B, edited × B].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minisd import Site, Tap, UNet, UserError
from minisd.attention import Attention
from minisd.base.counted import counted


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
    """Replaces the values by those of another context c': V' = W_V c'. ctx: one for all sites, or one for each name."""

    def __init__(self, ctx: Tensor | Mapping[str, Tensor], where: Callable[[Site], bool] | None = None):
        super().__init__(where)
        self.ctx = ctx

    def at(self, site: Site) -> Tensor:
        """The context at a site."""
        return self.ctx if isinstance(self.ctx, Tensor) else self.ctx[site.name]

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        return k, _project(self.at(site), attn.to_v, v, attn)


class VScale(CrossTap):
    """Multiplies the values, row by row: V'_j = f_j V_j. factors: (B,77) for each site, by its name."""

    def __init__(self, factors: Mapping[str, Tensor]):
        super().__init__()
        self.factors = factors

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        return k, v * self.factors[site.name][:, None, :, None].to(v.dtype)


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


class ShareMaps(Tap):
    """Copies columns of the maps from the original to the edited samples of a batch [original × B, edited × B].

    kept (B,L) bool: the columns that are copied; None: all of them. where: picks the sites.
    """

    def __init__(self, kept: Tensor | None, where: Callable[[Site], bool]):
        self.kept = None if kept is None else kept[:, None, None]  # (B,1,1,L)
        self.where = where

    def wants(self, site: Site) -> bool:
        return self.where(site)

    def probs(self, site: Site, p: Tensor) -> Tensor:
        original, edited = p.chunk(2)
        return torch.cat([original, original if self.kept is None else torch.where(self.kept, original, edited)])


class MixMaps(CrossTap):
    """Makes the edited samples' maps out of both branches': P̂ <- P A + P̂ ∘ o, in a batch [original × B, edited × B].

    matrix: A (B,77,77), columns of the original -> columns of the edited. own: o (B,77), the weight of each column's
    own map. Nothing is renormalised.
    """

    def __init__(self, matrix: Tensor, own: Tensor):
        super().__init__()
        self.matrix, self.own = matrix[:, None], own[:, None, None]  # (B,1,77,77), (B,1,1,77)

    def probs(self, site: Site, p: Tensor) -> Tensor:
        original, edited = p.chunk(2)
        return torch.cat([original, original @ self.matrix.to(p) + edited * self.own.to(p)])


class Output(CrossTap):
    """Replaces the output Z by f(site, Q, Z, attn); Q and Z are (B,H,N,d)."""

    def __init__(
        self, f: Callable[[Site, Tensor, Tensor, Attention], Tensor], where: Callable[[Site], bool] | None = None
    ):
        super().__init__(where)
        self.f = f

    def output(self, site: Site, q: Tensor, out: Tensor, attn: Attention) -> Tensor:
        return self.f(site, q, out, attn)


class Against(CrossTap):
    """Replaces the output Z by f(Z, Z'): Z' is what the same queries get from another context. Both are (B,H,N,d)."""

    def __init__(self, ctx: Tensor, f: Callable[[Tensor, Tensor], Tensor], where: Callable[[Site], bool] | None = None):
        super().__init__(where)
        self.ctx, self.f = ctx, f

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        k2, v2 = _project(self.ctx, attn.to_k, k, attn), _project(self.ctx, attn.to_v, v, attn)
        return self.f(F.scaled_dot_product_attention(q, k, v), F.scaled_dot_product_attention(q, k2, v2))


def cross_layers(unet: UNet) -> Iterator[Attention]:
    """The cross attention layers of a UNet."""
    return (m for m in unet.modules() if isinstance(m, Attention) and m.site.kind == "cross")


def _project(ctx: Tensor, layer: nn.Module, old: Tensor, attn: Attention) -> Tensor:
    """The keys or values (B,H,L,d) of ctx (B,L,D) or (1,L,D). layer: W_K or W_V; old (B,H,L',d): what they replace."""
    if ctx.dim() != 3 or len(ctx) not in (1, len(old)):
        raise UserError(
            f"a context of shape {tuple(ctx.shape)} for {counted(len(old), 'sample')}; expected one context per "
            "sample, or one for all"
        )
    return attn.split_heads(layer(ctx.to(old.dtype))).expand(len(old), -1, -1, -1)
