"""How similar two pictures are: PSNR and SSIM, for x (B,3,H,W) in [-1,1]. One value per picture.

SSIM is that of Wang et al. 2004 with their constants: an 11 × 11 Gaussian window with σ = 1.5, K1 = .01, K2 = .03. It
is the mean over all positions of the window inside the picture, and over the channels.

SSIM comes from torchmetrics, which is imported only when a value is asked for: its import takes longer than that of
PyTorch, whichever part of it is wanted. So PSNR, all that `suppress --image` needs of it, is written out here; a test
compares it with that of torchmetrics.
"""

from __future__ import annotations

from torch import Tensor

from minisd import UserError

RANGE = 2.0  # from -1 to 1
WINDOW = 11  # pixels


def psnr(a: Tensor, b: Tensor, where: Tensor | None = None) -> Tensor:
    """10 log10(range² / MSE), in dB, (B,); infinite for equal pictures.

    where: (H,W) bool, the pixels that count; all if None. Without any, the result is NaN.
    UserError for pictures of different shapes.
    """
    _check(a, b)
    a, b = (x.flatten(2) if where is None else x[:, :, where] for x in (a.double(), b.double()))  # (B,3,pixels)
    return 10 * (RANGE**2 / (a - b).square().mean(dim=(1, 2))).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """(B,), 1 for equal pictures. UserError for pictures of different shapes, or smaller than the window."""
    _check(a, b)
    if min(a.shape[-2:]) < WINDOW:
        raise UserError(f"SSIM needs pictures of {WINDOW} × {WINDOW} pixels or more, not {tuple(a.shape[-2:])}")
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, values = structural_similarity_index_measure(
        a.double(),
        b.double(),
        data_range=RANGE,
        sigma=1.5,
        kernel_size=WINDOW,
        k1=0.01,
        k2=0.03,
        reduction="none",
        return_full_image=True,
    )  # (B,3,H,W), one value per pixel
    border = WINDOW // 2  # there the window reaches beyond the picture, onto mirrored pixels
    return values[:, :, border:-border, border:-border].mean(dim=(1, 2, 3))


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.dim() != 4:
        raise UserError(f"pictures of shapes {tuple(a.shape)} and {tuple(b.shape)}; expected (B,3,H,W) twice")
