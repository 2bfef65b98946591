"""Soft-weighted regularisation (suppress/edits/spectrum.py) without a singular value decomposition.

With χ (k,D) the rows of target and [EOT], χ = U Σ Vᵀ, the method's χ̂ = U Σ e^(-γΣ) Vᵀ is

    χ̂ = e^(-γA) χ,    A = (χχᵀ)^½ = U Σ Uᵀ,

and the Gram matrix χχᵀ is k × k, 73 × 73 for a short prompt, where χ is 73 × 768. Samples whose k differ make one
batch: rows outside χ are zeros in it, where A is 0 and e^(-γA) the identity, and they are put back as they were.

Error. The Gram matrix squares the singular values: eigenvalues λ = σ² come with an error of about ε σ_max², so
σ = √λ with one of at most √ε σ_max (ε = 2.2e-16, σ_max about 250 in SD: 4e-6), and that only where σ itself is no
larger; in general ε σ_max² / 2σ. A value σ e^(-γσ) then moves by γσ times the error of σ: less than
γ ε σ_max² / 2, 1e-11, be σ large or small, while the largest of the values is near e^(-1) / γ. In float32 (ε = 1.2e-7)
the same bound is 4e-3. So both forms run in float64 and differ from the SVD by rounding; the second, which iterates a
fixed number of times, by its remainder: see `soft_weight_matmul`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

ROOT_STEPS = 50  # of Newton-Schulz
SHIFT = 1e-14  # an eigenvalue that rounding makes negative would diverge; this many times the bound is above rounding
SQUARINGS = 12  # e^(-X) = (e^(-X/4096))^4096, so that X/4096 is below 1/8 where γ σ_max is below 512
TAYLOR = 12  # terms of e^(-X/4096): a remainder of 1e-16 up to X/4096 = 1/8, 1e-10 up to 1


def soft_weight_gram(ctx: Tensor, rows: Tensor, gamma: float = 1.0) -> Tensor:
    """SWR by the eigenvectors of the Gram matrix. ctx (B,77,D); rows (B,77) bool, the positions of target and [EOT].

    Each sample by itself; returns ctx's shape and dtype.
    """

    def damping(gram: Tensor) -> Tensor:
        lam, u = torch.linalg.eigh(gram)
        return (u * torch.exp(-gamma * lam.clamp(min=0).sqrt()).unsqueeze(-2)) @ u.mT

    return _damped(ctx, rows, damping)


def soft_weight_matmul(ctx: Tensor, rows: Tensor, gamma: float = 1.0) -> Tensor:
    """SWR by matrix products alone, for torch.compile and CUDA graphs: no eigensolver, no branch, no synchronisation.

    Arguments and result as `soft_weight_gram`'s. The square root is Newton-Schulz' coupled iteration (Higham,
    "Functions of Matrices", 2008, eq. 6.35) on G / s, s a bound of its largest eigenvalue,

        Y_0 = G/s, Z_0 = 1;   T = (3 - Z Y) / 2;   Y <- Y T, Z <- T Z;   Y -> (G/s)^½,

    the exponential a Taylor polynomial, squared again and again, once more for each doubling of γ beyond 1. A value σ
    of A grows by 3/2 a step until it converges: after 50 steps all have, as G/s + 1e-14 has none below 1e-7 √s. That
    shift moves σ e^(-γσ) by 1e-14 γ s / 2 at most, 3e-9 in SD.
    """

    squarings = SQUARINGS + max(0, math.ceil(math.log2(max(gamma, 1))))

    def damping(gram: Tensor) -> Tensor:
        one = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        # the largest sum of a row's magnitudes is no smaller than the largest eigenvalue; a zero matrix stays zero
        bound = gram.abs().sum(dim=-1).amax(dim=-1)[..., None, None].clamp(min=torch.finfo(gram.dtype).tiny)
        y, z = gram / bound + SHIFT * one, one.expand_as(gram)
        for _ in range(ROOT_STEPS):
            t = (3 * one - z @ y) / 2
            y, z = y @ t, t @ z
        x = y * (-gamma * bound.sqrt() / 2**squarings)
        power = one.expand_as(gram)
        for n in range(TAYLOR, 0, -1):  # Horner: 1 + x (1 + x/2 (1 + x/3 …))
            power = one + x @ power / n
        for _ in range(squarings):
            power = power @ power
        return power

    return _damped(ctx, rows, damping)


def _damped(ctx: Tensor, rows: Tensor, damping: Callable[[Tensor], Tensor]) -> Tensor:
    """ctx with e^(-γA) χ in its rows; damping: the Gram matrix (B,77,77), float64 -> e^(-γA)."""
    # Apple's GPUs have no float64: there it is worked out on the CPU
    device = torch.device("cpu") if ctx.device.type == "mps" else ctx.device
    chi = torch.where(rows.unsqueeze(-1), ctx, 0).to(device).double()
    new = (damping(chi @ chi.mT) @ chi).to(ctx)
    return torch.where(rows.unsqueeze(-1), new, ctx)
