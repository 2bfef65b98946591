"""Convolutions and matrix products on a CPU, with weights that are packed once into the layout of oneDNN.

oneDNN is the library that computes them. It needs weights in blocks that fit the processor's vectors. PyTorch packs
the weights again at every call, gives matrices to another library, and computes small convolutions of a batch of one
without a library. Here the weights are packed once, and once more for ITO's gradient. The gradient of a convolution is
a convolution with the kernel turned around and its channels exchanged,

    y_o = Σ_i w_oi ∗ x_i + b_o           ∂L/∂x_i = Σ_o turned(w_oi) ∗ ∂L/∂y_o

torch.compile uses the same operators when it freezes weights; here they run eagerly.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ops: Any = torch.ops.mkldnn  # the old name of oneDNN
NAMES = (
    "_convolution_pointwise",
    "_reorder_convolution_weight",
    "_linear_pointwise",
    "_reorder_linear_weight",
    "_get_mkldnn_serialized_md",
)
# Multiplications. For a smaller matrix product, oneDNN needs more time to find its kernel than PyTorch for the product
WORTH = 15_000_000


def can_pack(weight: Tensor) -> bool:
    """Whether the weight is float32 on a CPU, and this PyTorch has the operators."""
    has_operators = torch.backends.mkldnn.is_available() and all(hasattr(ops, name) for name in NAMES)
    return has_operators and weight.device.type == "cpu" and weight.dtype == torch.float32


class Packed(nn.Module):
    """y = A x + b, with a gradient only with respect to x. A subclass packs A for inputs of a shape, and applies it."""

    def __init__(self, layer: nn.Linear | nn.Conv2d):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._packs: dict[tuple[bool, torch.Size, int], Tensor] = {}  # by direction, shape of x, and threads

    def forward(self, x: Tensor) -> Tensor:
        return _Differentiable.apply(x, self) if x.requires_grad and torch.is_grad_enabled() else self.output(x)

    def output(self, x: Tensor) -> Tensor:
        """A x + b."""
        raise NotImplementedError

    def gradient(self, g: Tensor) -> Tensor:
        """A^T g, the gradient with respect to x. g: the gradient with respect to y."""
        raise NotImplementedError

    def packed(self, backward: bool, shape: torch.Size) -> Tensor:
        """The packed A (backward: A^T) for inputs of a shape. Packs with the same layout are stored once.

        The layout depends on the number of threads. In another layout, A would be packed again at every call.
        """
        key = backward, shape, torch.get_num_threads()
        if key not in self._packs:
            new = self._pack(backward, shape)
            layout = ops._get_mkldnn_serialized_md(new)
            for (old_backward, *_), old in list(self._packs.items()):  # other threads may add some
                if old_backward == backward and torch.equal(ops._get_mkldnn_serialized_md(old), layout):
                    new = old
            self._packs[key] = new
        return self._packs[key]

    def _pack(self, backward: bool, shape: torch.Size) -> Tensor:
        raise NotImplementedError


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, layer: Packed) -> Tensor:
        ctx.layer = layer
        return layer.output(x)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.gradient(g), None


class PackedLinear(Packed):
    """x (…,C) -> (…,C')"""

    def forward(self, x: Tensor) -> Tensor:
        worth = x.shape[:-1].numel() * self.weight.numel() > WORTH
        return super().forward(x) if worth else F.linear(x, self.weight, self.bias)

    def output(self, x: Tensor) -> Tensor:
        return ops._linear_pointwise(x, self.packed(False, x.shape), self.bias, "none", [], "")

    def gradient(self, g: Tensor) -> Tensor:
        return ops._linear_pointwise(g, self.packed(True, g.shape), None, "none", [], "")

    def _pack(self, backward: bool, shape: torch.Size) -> Tensor:
        weight = self.weight.T.contiguous() if backward else self.weight
        return ops._reorder_linear_weight(weight, shape[:-1].numel())


class PackedConv(Packed):
    """x (B,C,h,w) -> (B,C',h,w), a convolution of stride 1 in the channels-last layout."""

    def __init__(self, layer: nn.Conv2d):
        super().__init__(layer)
        self.padding = [int(n) for n in layer.padding]
        self.padding_backward = [k - 1 - n for k, n in zip(layer.kernel_size, self.padding, strict=True)]

    def output(self, x: Tensor) -> Tensor:
        return _convolve(x, self.packed(False, x.shape), self.bias, self.padding)

    def gradient(self, g: Tensor) -> Tensor:
        return _convolve(g, self.packed(True, g.shape), None, self.padding_backward)

    def _pack(self, backward: bool, shape: torch.Size) -> Tensor:
        kernel = self.weight.flip(2, 3).transpose(0, 1) if backward else self.weight
        padding = self.padding_backward if backward else self.padding
        return ops._reorder_convolution_weight(kernel.contiguous(), padding, [1, 1], [1, 1], 1, list(shape))


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, padding: list[int]) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    return ops._convolution_pointwise(x, kernel, bias, padding, [1, 1], [1, 1], 1, "none", [], "")
