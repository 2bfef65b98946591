"""The UNet's attention on a CPU: keys and values that are computed once, one product for q, k and v, and wide heads.

At the sites that a tap wants, all is left to the tap, which gets the same keys and values.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minisd import Tap
from minisd.attention import Attention

# The matrix products of PyTorch's fused attention are slow if a head has fewer columns
WIDTH = 16
REMEMBERED = 3  # outputs that `Once` keeps: those for the batch's contexts, and those for the context of a tap


class Once(nn.Module):
    """A layer that remembers its last outputs: for the same tensor, which nobody has changed, it does nothing again.

    It is for W_K and W_V of cross attention, whose input, the contexts, is the same in most steps. An output that
    somebody has changed in place is not used again. With a gradient, nothing is remembered.
    """

    def __init__(self, layer: Any):
        """layer: a linear layer, plain or packed."""
        super().__init__()
        self.layer = layer
        self.weight, self.bias = layer.weight, layer.bias  # methods may read them
        self._known: list[tuple[Tensor, int, Tensor, int]] = []  # (x, its version, y, its version), newest last

    def forward(self, x: Tensor) -> Tensor:
        if x.is_inference() or (x.requires_grad and torch.is_grad_enabled()):
            return self.layer(x)
        for known_x, version_x, y, version_y in self._known:
            if known_x is x and x._version == version_x and y._version == version_y:
                return y
        y = self.layer(x)
        if not (y.is_inference() or y.requires_grad):  # an inference tensor counts no versions
            self._known = [*self._known[1 - REMEMBERED :], (x, x._version, y, y._version)]
        return y


class FastAttention(Attention):
    """`Attention` with the weights of another one.

    one_product: q, k and v of self attention come from one matrix product. wide_heads: fused attention gets heads of
    at least WIDTH columns, filled up with zeros, which change neither q·k nor the first columns of the output.
    """

    def __init__(self, layer: Attention, one_product: bool, wide_heads: bool):
        nn.Module.__init__(self)
        self.site, self.wide_heads = layer.site, wide_heads
        self.to_q, self.to_k, self.to_v, self.to_out = layer.to_q, layer.to_k, layer.to_v, layer.to_out
        together = one_product and layer.site.kind == "self"
        # a copy of the weights (3C,C); a plain attribute, because it is no parameter of the UNet
        self._qkv = torch.cat([self.to_q.weight, self.to_k.weight, self.to_v.weight]).detach() if together else None

    def forward(self, x: Tensor, ctx: Tensor, tap: Tap | None = None) -> Tensor:
        if tap is not None and tap.wants(self.site):
            return super().forward(x, ctx, tap)
        if self._qkv is not None and ctx is x:
            qkv = F.linear(x, self._qkv).unflatten(-1, (3, self.site.heads, -1))  # (B,N,3,H,d)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
        else:
            q, k, v = (self.split_heads(y) for y in (self.to_q(x), self.to_k(ctx), self.to_v(ctx)))
        out = wide_attention(q, k, v) if self.wide_heads else F.scaled_dot_product_attention(q, k, v)
        return self.to_out[0](out.transpose(1, 2).flatten(2))


def wide_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Fused attention of q (B,H,N,d), k and v (B,H,L,d) -> (B,H,N,d), computed with heads of at least WIDTH columns."""
    d = q.shape[-1]
    if d >= WIDTH:
        return F.scaled_dot_product_attention(q, k, v)
    q, k, v = (F.pad(x, (0, WIDTH - d)) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=d**-0.5)[..., :d]
