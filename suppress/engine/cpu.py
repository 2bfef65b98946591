"""A UNet that is fast on a CPU: its weights are packed once (packed.py), and its feed-forward layers run in slices."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from minisd import UNet
from minisd.attention import FeedForward

from .packed import PackedConv, PackedLinear, can_pack

# Pixels per slice. With fewer, the weights are loaded too often; with more, the activations do not fit into the cache
PIXELS = 256


def for_cpu(unet: UNet, packed: bool, sliced: bool) -> UNet:
    """A UNet that computes the same as `unet`; `unet` itself if nothing is to be changed.

    Its layers are new, and its parameters are those of `unet`. A layer packs a copy of its weights when it first runs:
    later changes of `unet` have no effect, and the weights get no gradient. Weights that cannot be packed (`can_pack`)
    stay as they are.
    """
    packed = packed and can_pack(unet.conv_in.weight)
    if not (packed or sliced):
        return unet
    fast_unet = copy.deepcopy(unet, {id(p): p for p in unet.parameters()})
    for module in list(fast_unet.modules()):
        for name, layer in module.named_children():
            if packed and isinstance(layer, nn.Linear):
                setattr(module, name, PackedLinear(layer))
            elif packed and isinstance(layer, nn.Conv2d) and layer.stride == (1, 1):
                setattr(module, name, PackedConv(layer))
            elif sliced and isinstance(layer, FeedForward):
                setattr(module, name, SlicedFeedForward(layer))
    return fast_unet


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
