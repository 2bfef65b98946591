"""A UNet that is fast on a CPU: the same layers with the same parameters, some of them computed in another way.

packed         weights are packed once (packed.py)
sliced         feed-forward layers run in slices
keys_once      W_K c and W_V c of a context that stays the same are computed once (attention.py)
wide_heads     narrow heads are filled up for fused attention (attention.py)
products       convolutions of one pixel, and q, k and v together, are matrix products
norm_by_sums   group norms of large batches (below)
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minisd import UNet
from minisd.attention import Attention, FeedForward

from .attention import FastAttention, Once
from .packed import PackedConv, PackedLinear, can_pack
from .plan import CPU_TECHNIQUES, Plan

# Pixels per slice. With fewer, the weights are loaded too often; with more, the activations do not fit into the cache
PIXELS = 256
LARGE = 48_000  # numbers in a feature map; PyTorch's own group norm takes no longer for fewer


def for_cpu(unet: UNet, plan: Plan) -> UNet:
    """A UNet that computes the same as `unet`; `unet` itself if nothing is to be changed.

    Its layers are new, and its parameters are those of `unet`. A layer packs or joins a copy of its weights at the
    latest when it first runs: later changes of `unet` have no effect, and these weights get no gradient. Weights that
    cannot be packed (`can_pack`) stay as they are; such a UNet has slices alone.
    """
    if not can_pack(unet.conv_in.weight):
        plan = Plan(sliced=plan.sliced)
    if not any(getattr(plan, name) for name in CPU_TECHNIQUES):
        return unet
    fast_unet = copy.deepcopy(unet, {id(p): p for p in unet.parameters()})
    _replace_layers(fast_unet, plan)
    return fast_unet


def _replace_layers(module: nn.Module, plan: Plan) -> None:
    for name, layer in module.named_children():
        if isinstance(layer, Attention):  # before its layers are replaced, because it joins their weights
            layer = FastAttention(layer, plan.products, plan.wide_heads)
        _replace_layers(layer, plan)
        setattr(module, name, _fast_layer(layer, plan))


def _fast_layer(layer: nn.Module, plan: Plan) -> nn.Module:
    """The layer itself, or a fast one in its place. Its own layers are fast already."""
    if isinstance(layer, nn.Conv2d) and layer.stride == (1, 1):
        if plan.products and layer.kernel_size == (1, 1):
            return ProductConv(layer)
        return PackedConv(layer) if plan.packed else layer
    if isinstance(layer, nn.Linear) and plan.packed:
        return PackedLinear(layer)
    if isinstance(layer, FeedForward) and plan.sliced:
        return SlicedFeedForward(layer)
    if isinstance(layer, nn.GroupNorm) and plan.norm_by_sums:
        return SumsGroupNorm(layer)
    if isinstance(layer, Attention) and plan.keys_once and layer.site.kind == "cross":
        layer.to_k, layer.to_v = Once(layer.to_k), Once(layer.to_v)  # type: ignore[assignment]
    return layer


class SlicedFeedForward(nn.Module):
    """x (B,N,C) -> (B,N,C), PIXELS pixels at a time, so that the 8 C values per pixel between the layers stay in the
    cache. With a gradient, all these values must be kept, so nothing is sliced."""

    def __init__(self, layer: FeedForward):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[:-1].numel() <= PIXELS or (x.requires_grad and torch.is_grad_enabled()):
            return self.layer(x)
        return torch.cat([self.layer(pixels) for pixels in x.flatten(0, -2).split(PIXELS)]).view_as(x)


class ProductConv(nn.Module):
    """A convolution of one pixel: x (B,C,h,w) -> (B,C',h,w) is the product W x of each pixel. In the channels-last
    layout the pixels are the rows of a matrix, and nothing is copied."""

    def __init__(self, layer: nn.Conv2d):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class SumsGroupNorm(nn.Module):
    """A group norm in the channels-last layout, for which PyTorch has only a slow form.

    The mean and the mean square of a group come from the sums over pixels, which are matrix products with ones. Then

        y = a x + b,   a = γ / σ,   b = β - μ γ / σ,   σ² = mean(x²) - μ² + ε

    is one pass over x (B,C,h,w), with a and b (B,1,C).
    """

    def __init__(self, layer: nn.GroupNorm):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        suits = x.numel() > LARGE and x.is_contiguous(memory_format=torch.channels_last)
        if not suits or (x.requires_grad and torch.is_grad_enabled()):
            return self.layer(x)
        rows = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B,hw,C)
        sums = rows.new_ones(len(x), 1, rows.shape[1]) / rows.shape[1]
        mean, square = (self._group_mean(sums @ y) for y in (rows, rows * rows))  # (B,G,1)
        inverse = (square - mean * mean).clamp(min=0).add(self.layer.eps).rsqrt()
        a = self._by_group(self.layer.weight) * inverse
        b = self._by_group(self.layer.bias) - mean * a
        y = torch.addcmul(b.flatten(1).unsqueeze(1), rows, a.flatten(1).unsqueeze(1))
        return y.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)

    def _group_mean(self, channels: Tensor) -> Tensor:
        """The mean of each group: (B,1,C) -> (B,G,1)"""
        return channels.view(len(channels), self.layer.num_groups, -1).mean(dim=-1, keepdim=True)

    def _by_group(self, channels: Tensor) -> Tensor:
        """(C,) -> (G,C/G)"""
        return channels.view(self.layer.num_groups, -1)
