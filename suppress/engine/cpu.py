"""The UNet as a CPU likes it: weights packed once (packed.py), feed-forward layers in slices that stay in its cache."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from minisd import UNet
from minisd.attention import FeedForward

from .packed import PackedConv, PackedLinear, can_pack

ROWS = 256  # of a slice: below, the weights are read too often; above, what is between the layers leaves the cache


def for_cpu(unet: UNet, packed: bool, sliced: bool) -> UNet:
    """A UNet that computes the same; `unet` itself where nothing is to be changed.

    Its layers are its own, the parameters are shared. Packed copies of them are made when a layer first runs: later
    changes of `unet` do not reach it, and none gets a gradient. Where weights cannot be packed (`can_pack`), they stay.
    """
    packed = packed and can_pack(unet.conv_in.weight)
    if not (packed or sliced):
        return unet
    own = copy.deepcopy(unet, {id(p): p for p in unet.parameters()})
    for module in list(own.modules()):
        for name, layer in module.named_children():
            if packed and isinstance(layer, nn.Linear):
                setattr(module, name, PackedLinear(layer))
            elif packed and isinstance(layer, nn.Conv2d) and layer.stride == (1, 1):
                setattr(module, name, PackedConv(layer))
            elif sliced and isinstance(layer, FeedForward):
                setattr(module, name, SlicedFeedForward(layer))
    return own


class SlicedFeedForward(nn.Module):
    """x (B,N,C) -> (B,N,C), ROWS pixels at a time: a slice's 8 C values between the layers are written and read while
    they are in the cache. With a gradient all of them have to be kept, and nothing is sliced."""

    def __init__(self, whole: FeedForward):
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[:-1].numel() <= ROWS or (x.requires_grad and torch.is_grad_enabled()):
            return self.whole(x)
        return torch.cat([self.whole(rows) for rows in x.flatten(0, -2).split(ROWS)]).view_as(x)
