"""How similar two pictures are: PSNR and SSIM, for x (B,3,H,W) in [-1,1]. One value per picture.

SSIM is that of Wang et al. 2004 with their constants: an 11 × 11 Gaussian window with σ = 1.5, K1 = .01, K2 = .03. It
is the mean over all positions of the window inside the picture, and over the channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import UserError

RANGE = 2.0  # from -1 to 1


def psnr(a: Tensor, b: Tensor, where: Tensor | None = None) -> Tensor:
    """10 log10(range² / MSE), in dB, (B,); infinite for equal pictures.

    where: (H,W) bool, the pixels that count; all if None. Without any, the result is NaN.
    """
    _check(a, b)
    error = (a.double() - b.double()).square()
    mse = (error.flatten(2) if where is None else error[:, :, where]).mean(dim=(1, 2))
    return 10 * torch.log10(RANGE**2 / mse)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """(B,), 1 for equal pictures."""
    _check(a, b)
    if min(a.shape[-2:]) < 11:
        raise UserError(f"SSIM needs pictures of 11 × 11 pixels or more, not {tuple(a.shape[-2:])}")
    offset = torch.arange(11, dtype=torch.float64, device=a.device) - 5
    line = torch.exp(-offset.square() / (2 * 1.5**2))
    window = (line[:, None] * line) / line.sum() ** 2
    kernel = window.expand(a.shape[1], 1, 11, 11)

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(x, kernel, groups=x.shape[1])

    a, b = a.double(), b.double()
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    value = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    value = value / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return value.mean(dim=(1, 2, 3))


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.dim() != 4:
        raise UserError(f"pictures of shapes {tuple(a.shape)} and {tuple(b.shape)}; expected (B,3,H,W) twice")
