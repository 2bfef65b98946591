"""Text embeddings without the target: functions ctx -> ctx.

Soft-weighted regularisation, "Get What You Want, Not What You Don't" (Li et al., ICLR 2024), section 3.3: the
embeddings of the target and of [EOT] are stacked to χ; its large singular values carry what they share, the target,

    χ = U Σ Vᵀ,   σ̂ = σ e^(-γσ),   χ̂ = U Σ̂ Vᵀ,

and χ̂ goes back to the same rows. [SOT] and the other words keep theirs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import number, shown

Rows = Iterable[int] | Tensor  # positions of tokens: a list, a tuple, a range, numpy's or PyTorch's integers


def soft_weight(ctx: Tensor, rows: Rows, gamma: float = 1.0) -> Tensor:
    """SWR of ctx (77,D) or (B,77,D), each sample by itself; rows: the positions of the target and of [EOT].

    gamma 0 changes nothing, a large one zeroes the rows. Returns ctx's shape and dtype; the decomposition runs in
    float64, as σ e^(-σ) keeps the smallest of values that span six orders of magnitude.
    UserError for positions outside the context, and for a gamma that is negative or infinite.
    """
    gamma = number("gamma", gamma)  # ∞ times a singular value of 0 would be no number
    return reshape_spectrum(ctx, rows, lambda sigma: sigma * torch.exp(-gamma * sigma))


def reshape_spectrum(ctx: Tensor, rows: Rows, f: Callable[[Tensor], Tensor]) -> Tensor:
    """ctx with U f(Σ) Vᵀ for its rows χ = U Σ Vᵀ, each sample by itself.

    f gets the singular values (…,min(k,D)) in float64, the largest first, and returns as many.
    """

    def reshaped(chi: Tensor) -> Tensor:
        u, sigma, vt = torch.linalg.svd(chi, full_matrices=False)
        return (u * f(sigma).unsqueeze(-2)) @ vt

    return change_rows(ctx, rows, reshaped)


def change_rows(ctx: Tensor, rows: Rows, f: Callable[[Tensor], Tensor]) -> Tensor:
    """ctx (77,D) or (B,77,D) with f(χ) in place of its rows χ. Returns ctx's shape and dtype."""
    at, chi = take_rows(ctx, rows)
    return ctx.index_copy(-2, at, f(chi).to(ctx))


def take_rows(ctx: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """(positions (k,), χ (…,k,D) in float64): the rows in ascending order, each once.

    UserError for positions outside the context, none at all, or what is no position, as in a mask.
    """
    if not (isinstance(ctx, Tensor) and ctx.dim() in (2, 3) and ctx.is_floating_point()):
        raise UserError(f"ctx = {shown(ctx)}; expected embeddings (77,D) or (B,77,D), such as sd.encode_text gives")
    positions = _whole_numbers(rows)
    if not positions or not all(0 <= row < ctx.shape[-2] for row in positions):
        raise UserError(f"rows {rows!r}; expected positions from 0 to {ctx.shape[-2] - 1}, at least one")
    at = torch.tensor(sorted(set(positions)), device=ctx.device)
    # Apple's GPUs have no float64: there the few rows are worked out on the CPU
    device = torch.device("cpu") if ctx.device.type == "mps" else ctx.device
    return at, ctx.index_select(-2, at).to(device).double()


def _whole_numbers(rows: Rows) -> list[int]:
    """The rows as Python's integers; empty where one is none."""
    try:
        values = rows.tolist() if isinstance(rows, Tensor) else rows
        return [] if any(isinstance(v, bool) for v in values) else [operator.index(v) for v in values]
    except (TypeError, RuntimeError):  # the latter of a tensor without numbers, on "meta"
        return []
