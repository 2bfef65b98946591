"""Edits of the singular values of some rows of the context: functions ctx -> ctx.

Soft-weighted regularisation (SWR), "Get What You Want, Not What You Don't" (Li et al., ICLR 2024), section 3.3: the
rows of the target and of [EOT] are stacked to a matrix χ. Its large singular values carry what these rows have in
common, the target. They are damped,

    χ = U Σ Vᵀ,   σ̂ = σ e^(-γσ),   χ̂ = U Σ̂ Vᵀ,

and χ̂ replaces the same rows. [SOT] and the other words stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import is_whole, number, plain, shown
from minisd.base.counted import counted

from .rows import Rows, change_rows, check_range


def soft_weight(ctx: Tensor, rows: Rows, gamma: float = 1.0) -> Tensor:
    """SWR of ctx (77,D) or (B,77,D), each sample by itself. rows: those of the target and of [EOT].

    gamma = 0 changes nothing; a large gamma zeroes the rows. Returns ctx's shape and dtype. The decomposition runs in
    float64: the singular values span six orders of magnitude, and σ e^(-σ) keeps the smallest.
    UserError for rows outside the context, and for a gamma that is negative or infinite.
    """
    gamma = number("gamma", gamma)  # finite, because ∞ times a singular value of 0 is NaN
    return reshape_spectrum(ctx, rows, lambda sigma: sigma * torch.exp(-gamma * sigma))


def reshape_spectrum(ctx: Tensor, rows: Rows, f: Callable[[Tensor], Tensor]) -> Tensor:
    """ctx with U f(Σ) Vᵀ for its rows χ = U Σ Vᵀ, each sample by itself.

    f gets the singular values (…,min(k,D)) in float64, the largest first, and returns as many values.
    """

    def reshaped(chi: Tensor) -> Tensor:
        u, sigma, vt = torch.linalg.svd(chi, full_matrices=False)
        return (u * f(sigma).unsqueeze(-2)) @ vt

    return change_rows(ctx, rows, reshaped)


def zero_top(ctx: Tensor, rows: Rows, k: int = 2) -> Tensor:
    """σ̂_i = 0 for i < K, else σ_i. The target vanishes, sometimes with more (section 3.3, Fig. 4; appendix D, Fig. 14).

    The authors' code gives K as a fraction α of the number of singular values; here that is k=int(α·count).
    UserError unless k is from 0 to the number of singular values. There is one per row, but at most D.
    """
    return reshape_spectrum(ctx, rows, lambda sigma: sigma * ~_largest(sigma, k))


def zero_bottom(ctx: Tensor, rows: Rows, k: int = 70) -> Tensor:
    """σ̂_i = 0 for the K smallest. The target stays (section 3.3, Fig. 4).

    The paper's K = 70 leaves the 3 largest of the 73 values of "a man without glasses". A longer prompt has fewer
    values, one per row of target and [EOT]. If there are fewer than 70, K = 70 is a UserError; `keep_top` does the same
    edit and counts from the largest value.
    """
    return reshape_spectrum(ctx, rows, lambda sigma: sigma * ~_largest(sigma, k).flip(-1))


def keep_top(ctx: Tensor, rows: Rows, k: int = 9) -> Tensor:
    """σ̂_i = σ_i for i < K, else 0: the best approximation of rank K (Eckart-Young).

    On the [EOT] rows Ψ this is the rank cut of section 3.2, Fig. 2b: K = 0 zeroes them; with K = 4 the picture looks
    like the original; with K = 9 it is close to it (PSNR 40.3, SSIM .994). The authors' code, on χ: k=int(α·count).
    UserError unless k is from 0 to the number of singular values.
    """
    return reshape_spectrum(ctx, rows, lambda sigma: sigma * _largest(sigma, k))


def wnnm(ctx: Tensor, eot: Rows, c: float = 2 * math.sqrt(2)) -> Tensor:
    """Weighted nuclear norm minimisation of Ψ: σ̂_i = max(σ_i - w_i, 0), w_i = C √n / (σ_i + ε), n rows of [EOT].

    Section 3.2 has the operator with 0 <= w_0 <= w_1 <= …; appendix B has w = λ/(σ + ε), but no λ is published. So the
    weights are those of Gu et al. 2014, "Weighted Nuclear Norm Minimization with Application to Image Denoising", for
    noise of variance 1 and with their usual C = 2√2, in one pass, without their re-estimation. A value up to √(C √n)
    (4.9 for 72 rows) becomes 0; a value far above it hardly changes. C = 0 changes nothing.
    UserError for a negative c.
    """
    lam = number("c", c) * math.sqrt(len(set(eot)))
    # ε = 1e-16 is from Gu et al.; it only avoids a division by zero at σ = 0
    return reshape_spectrum(ctx, eot, lambda sigma: (sigma - lam / (sigma + 1e-16)).clamp(min=0))


def strengthen(ctx: Tensor, rows: Rows, beta: float = 1.2, alpha: float = 0.001) -> Tensor:
    """σ̂ = β e^(ασ) σ: more of the target instead of less (appendix F, Fig. 7 columns 6-9, Figs. 29-31).

    Use it for a subject that the model left out, that was added to the prompt, or that replaces another one.
    UserError if a factor is negative, or if the result overflows ctx's dtype.
    """
    beta, alpha = number("beta", beta), number("alpha", alpha)
    stronger = reshape_spectrum(ctx, rows, lambda sigma: beta * torch.exp(alpha * sigma) * sigma)
    return check_range(stronger, f"beta = {beta!r}, alpha = {alpha!r}")


def _largest(sigma: Tensor, k: int) -> Tensor:
    """(count,) bool: which of the singular values (…,count) are the k largest."""
    count = sigma.shape[-1]
    if not is_whole(k) or not 0 <= plain(k) <= count:
        raise UserError(
            f"K = {shown(k)}; these rows have {counted(count, 'singular value')}: expected a whole number from 0 to "
            f"{count}"
        )
    return torch.arange(count, device=sigma.device) < plain(k)
