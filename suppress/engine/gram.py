"""Soft-weighted regularisation (suppress/edits/spectrum.py) without a singular value decomposition.

With χ (k,D) the rows of target and [EOT], χ = U Σ Vᵀ, the method's χ̂ = U Σ e^(-γΣ) Vᵀ is

    χ̂ = e^(-γA) χ,    A = (χχᵀ)^½ = U Σ Uᵀ,

and the Gram matrix χχᵀ is only k × k: 73 × 73 for a short prompt, while χ is 73 × 768. Samples with different k can be
one batch, in which rows outside χ are 0. For these rows A is 0 and e^(-γA) is the identity; at the end they get their
old values back.

Error. The Gram matrix squares the singular values. An eigenvalue λ = σ² has an error of about ε σ_max², so σ has an
error of ε σ_max² / 2σ, and of at most √ε σ_max (ε = 2.2e-16, σ_max about 250 in SD: 4e-6). A value σ e^(-γσ) changes
by at most γσ times the error of σ. For every σ, this is at most γ ε σ_max² / 2 = 1e-11, while the largest value is near
e^(-1) / γ. In float32 (ε = 1.2e-7) the same bound is 4e-3, so this runs in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor


def soft_weight_gram(ctx: Tensor, rows: Tensor, gamma: float = 1.0) -> Tensor:
    """SWR of each sample by itself. ctx (B,77,D); rows (B,77) bool: True for the rows of target and [EOT].

    Returns ctx's shape and dtype.
    """
    # Apple's GPUs have no float64, so it is computed on the CPU
    device = torch.device("cpu") if ctx.device.type == "mps" else ctx.device
    chi = torch.where(rows.unsqueeze(-1), ctx, 0).to(device).double()
    lam, u = torch.linalg.eigh(chi @ chi.mT)  # λ = σ²
    damping = (u * torch.exp(-gamma * lam.clamp(min=0).sqrt()).unsqueeze(-2)) @ u.mT  # e^(-γA)
    return torch.where(rows.unsqueeze(-1), (damping @ chi).to(ctx), ctx)
