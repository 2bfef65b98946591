"""Taps at self attention: keys and values of one branch, used by the other.

    Z = softmax(Q̂ K^T / √d) V        Q̂ of the edited branch, K and V of the original

So the edited branch asks in its own way, and is answered with the texture and colour of the original picture
(MasaCtrl, Cao et al. 2023; MagicRemover, eq. 10). The attention runs fused: no map exists.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import Site, Tap
from minisd.attention import Attention


class SelfTap(Tap):
    """A tap at all self attention."""

    def wants(self, site: Site) -> bool:
        return site.kind == "self"


class ShareKV(SelfTap):
    """For a batch [original × B, edited × B]: the edited samples use the original's keys and values."""

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        k, v = (torch.cat([x.chunk(2)[0]] * 2) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v)


class KeepKV(SelfTap):
    """Keeps the keys and values of a pass: site name -> (k, v), (B,H,N,d) each."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Tensor, Tensor]] = {}

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        self.kept[site.name] = k, v
        return F.scaled_dot_product_attention(q, k, v)


class UseKV(SelfTap):
    """Puts keys and values that were kept in the place of the pass's own."""

    def __init__(self, kept: dict[str, tuple[Tensor, Tensor]]):
        self.kept = kept

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        return F.scaled_dot_product_attention(q, *self.kept[site.name])
