"""Convolutions and matrix products of a CPU on weights in oneDNN's own layout, arranged once.

oneDNN, which computes them, wants weights in blocks that fit the processor's vectors. PyTorch arranges them anew at
every call, gives matrices to another library, and small convolutions of a batch of one to none at all. Here the
weights are packed once, and for ITO's gradient once more: that of a convolution is a convolution with the kernel turned
around and its channels exchanged,

    y_o = Σ_i w_oi ∗ x_i + b_o           ∂L/∂x_i = Σ_o turned(w_oi) ∗ ∂L/∂y_o

The operators are those that torch.compile takes where it freezes weights; here they run eagerly.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ops: Any = torch.ops.mkldnn  # oneDNN's name of old
NAMES = (
    "_convolution_pointwise",
    "_reorder_convolution_weight",
    "_linear_pointwise",
    "_reorder_linear_weight",
    "_get_mkldnn_serialized_md",
)
WORTH = 2_000_000  # multiplications: a smaller matrix product is over before oneDNN has found its kernel


def can_pack(weight: Tensor) -> bool:
    """Whether a weight is of the kind, float32 on a CPU, and this PyTorch has the operators."""
    here = torch.backends.mkldnn.is_available() and all(hasattr(ops, name) for name in NAMES)
    return here and weight.device.type == "cpu" and weight.dtype == torch.float32


class Packed(nn.Module):
    """y = A x + b, with a gradient towards x alone. A subclass says how A is packed for inputs of a shape, and used."""

    def __init__(self, layer: nn.Linear | nn.Conv2d):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._packs: dict[tuple[bool, torch.Size], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        return _Differentiable.apply(x, self) if x.requires_grad and torch.is_grad_enabled() else self.along(x)

    def along(self, x: Tensor) -> Tensor:
        """A x + b."""
        raise NotImplementedError

    def back(self, g: Tensor) -> Tensor:
        """A^T g: from the gradient towards y that towards x."""
        raise NotImplementedError

    def packed(self, back: bool, shape: torch.Size) -> Tensor:
        """For inputs of a shape. It may decide the layout, and seldom does: packs of one layout are kept once."""
        if (back, shape) not in self._packs:
            new = self._pack(back, shape)
            layout = ops._get_mkldnn_serialized_md(new)
            for (way, _), old in self._packs.items():
                if way == back and torch.equal(ops._get_mkldnn_serialized_md(old), layout):
                    new = old
            self._packs[back, shape] = new
        return self._packs[back, shape]

    def _pack(self, back: bool, shape: torch.Size) -> Tensor:
        raise NotImplementedError


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, layer: Packed) -> Tensor:
        ctx.layer = layer
        return layer.along(x)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.back(g), None


class PackedLinear(Packed):
    """x (…,C) -> (…,C')"""

    def forward(self, x: Tensor) -> Tensor:
        worth = x.shape[:-1].numel() * self.weight.numel() > WORTH
        return super().forward(x) if worth else F.linear(x, self.weight, self.bias)

    def along(self, x: Tensor) -> Tensor:
        return ops._linear_pointwise(x, self.packed(False, x.shape), self.bias, "none", [], "")

    def back(self, g: Tensor) -> Tensor:
        return ops._linear_pointwise(g, self.packed(True, g.shape), None, "none", [], "")

    def _pack(self, back: bool, shape: torch.Size) -> Tensor:
        return ops._reorder_linear_weight(self.weight.T.contiguous() if back else self.weight, shape[:-1].numel())


class PackedConv(Packed):
    """x (B,C,h,w) -> (B,C',h,w), of stride 1, channels last."""

    def __init__(self, layer: nn.Conv2d):
        super().__init__(layer)
        self.padding = [int(n) for n in layer.padding]
        self.padding_back = [k - 1 - n for k, n in zip(layer.kernel_size, self.padding, strict=True)]

    def along(self, x: Tensor) -> Tensor:
        return _convolve(x, self.packed(False, x.shape), self.bias, self.padding)

    def back(self, g: Tensor) -> Tensor:
        return _convolve(g, self.packed(True, g.shape), None, self.padding_back)

    def _pack(self, back: bool, shape: torch.Size) -> Tensor:
        kernel = self.weight.flip(2, 3).transpose(0, 1) if back else self.weight
        padding = self.padding_back if back else self.padding
        return ops._reorder_convolution_weight(kernel.contiguous(), padding, [1, 1], [1, 1], 1, list(shape))


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, padding: list[int]) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    return ops._convolution_pointwise(x, kernel, bias, padding, [1, 1], [1, 1], 1, "none", [], "")
