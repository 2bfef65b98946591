"""Soft-weighted regularisation (suppress/edits/spectrum.py) without a singular value decomposition.

With χ (k,D) the rows of target and [EOT], χ = U Σ Vᵀ, the method's χ̂ = U Σ e^(-γΣ) Vᵀ is

    χ̂ = e^(-γA) χ,    A = (χχᵀ)^½ = U Σ Uᵀ,

and the Gram matrix χχᵀ is only k × k: 73 × 73 for a short prompt, while χ is 73 × 768. Samples with different k make
one batch: rows outside χ are zeros in it. There A is 0 and e^(-γA) the identity, and they are put back as they were.

Error. The Gram matrix squares the singular values. An eigenvalue λ = σ² comes with an error of about ε σ_max², so
σ has one of ε σ_max² / 2σ, and of √ε σ_max at most (ε = 2.2e-16, σ_max about 250 in SD: 4e-6). A value σ e^(-γσ) then
moves by γσ times the error of σ: for every σ less than γ ε σ_max² / 2 = 1e-11, while the largest of the values is
near e^(-1) / γ. In float32 (ε = 1.2e-7) the same bound is 4e-3, so this runs in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor


def soft_weight_gram(ctx: Tensor, rows: Tensor, gamma: float = 1.0) -> Tensor:
    """SWR of each sample by itself. ctx (B,77,D); rows (B,77) bool: the positions of target and [EOT].

    Returns ctx's shape and dtype.
    """
    # Apple's GPUs have no float64: there it is computed on the CPU
    device = torch.device("cpu") if ctx.device.type == "mps" else ctx.device
    chi = torch.where(rows.unsqueeze(-1), ctx, 0).to(device).double()
    lam, u = torch.linalg.eigh(chi @ chi.mT)  # λ = σ²
    damping = (u * torch.exp(-gamma * lam.clamp(min=0).sqrt()).unsqueeze(-2)) @ u.mT  # e^(-γA)
    return torch.where(rows.unsqueeze(-1), (damping @ chi).to(ctx), ctx)
