"""Text embeddings without the target: functions ctx -> ctx.

Soft-weighted regularisation, "Get What You Want, Not What You Don't" (Li et al., ICLR 2024), section 3.3: the
embeddings of the target and of [EOT] are stacked to χ; its large singular values carry what they share, the target,

    χ = U Σ Vᵀ,   σ̂ = σ e^(-γσ),   χ̂ = U Σ̂ Vᵀ,

and χ̂ goes back to the same rows. [SOT] and the other words keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    return reshape_spectrum(ctx, rows, lambda sigma: sigma * torch.exp(-gamma * sigma))


def reshape_spectrum(ctx: Tensor, rows: Sequence[int], f: Callable[[Tensor], Tensor]) -> Tensor:
    """ctx with U f(Σ) Vᵀ for its rows χ = U Σ Vᵀ, each sample by itself.

    f gets the singular values (…,min(k,D)) in float64, the largest first, and returns as many.
    """

    def reshaped(chi: Tensor) -> Tensor:
        u, sigma, vt = torch.linalg.svd(chi, full_matrices=False)
        return (u * f(sigma).unsqueeze(-2)) @ vt

    return change_rows(ctx, rows, reshaped)


def change_rows(ctx: Tensor, rows: Sequence[int], f: Callable[[Tensor], Tensor]) -> Tensor:
    """ctx (77,D) or (B,77,D) with f(χ) in place of its rows χ. Returns ctx's shape and dtype."""
    at, chi = take_rows(ctx, rows)
    return ctx.index_copy(-2, at, f(chi).to(ctx))


def take_rows(ctx: Tensor, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(positions (k,), χ (…,k,D) in float64): the rows in ascending order, each once.

    UserError for positions outside the context or none at all.
    """
    bad = [row for row in rows if not 0 <= row < ctx.shape[-2]]
    if bad or not rows:
        raise UserError(f"rows {list(rows)!r}; expected positions from 0 to {ctx.shape[-2] - 1}, at least one")
    at = torch.tensor(sorted(set(rows)), device=ctx.device)
    # Apple's GPUs have no float64: there the few rows are worked out on the CPU
    device = torch.device("cpu") if ctx.device.type == "mps" else ctx.device
    return at, ctx.index_select(-2, at).to(device).double()
