"""Text embeddings without the target: functions ctx -> ctx.

Soft-weighted regularisation, "Get What You Want, Not What You Don't" (Li et al., ICLR 2024), section 3.3: the
embeddings of the target and of [EOT] are stacked to χ; its large singular values carry what they share, the target,

    χ = U Σ Vᵀ,   σ̂ = σ e^(-γσ),   χ̂ = U Σ̂ Vᵀ,

and χ̂ goes back to the same rows. [SOT] and the other words keep theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from minisd import UserError


def soft_weight(ctx: Tensor, rows: Sequence[int], gamma: float = 1.0) -> Tensor:
    """SWR of ctx (77,D) or (B,77,D), each sample by itself; rows: the positions of the target and of [EOT].

    gamma 0 changes nothing, a large one zeroes the rows. Returns ctx's shape and dtype; the decomposition runs in
    float64, as σ e^(-σ) keeps the smallest of values that span six orders of magnitude.
    UserError for positions outside the context or a negative gamma.
    """
    if not gamma >= 0:
        raise UserError(f"gamma = {gamma!r}; expected a number, 0 or more (1 is the paper's)")
    bad = [row for row in rows if not 0 <= row < ctx.shape[-2]]
    if bad or not rows:
        raise UserError(f"rows {list(rows)!r}; expected positions from 0 to {ctx.shape[-2] - 1}, at least one")
    at = torch.tensor(sorted(set(rows)), device=ctx.device)
    # Apple's GPUs have no float64: there the one small decomposition runs on the CPU
    device = torch.device("cpu") if ctx.device.type == "mps" else ctx.device
    chi = ctx.index_select(-2, at).to(device).double()  # (…,k,D)
    u, sigma, vt = torch.linalg.svd(chi, full_matrices=False)
    damped = (u * (sigma * torch.exp(-gamma * sigma)).unsqueeze(-2)) @ vt
    return ctx.index_copy(-2, at, damped.to(ctx))
