"""Edits of some rows of the context: functions ctx -> ctx, with ctx (77,D) or (B,77,D), each sample by itself.

`rows` are token positions, as `find_rows` and `eot_rows` give them. The other rows, the shape and the dtype are kept.
The simple edits are those with which the authors of SuppressEOT compare theirs (Li et al., ICLR 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import is_whole, number, plain, shown

Rows = Iterable[int] | Tensor  # token positions: a list, a tuple, a range, integers of numpy or PyTorch


def change_rows(ctx: Tensor, rows: Rows, f: Callable[[Tensor], Tensor]) -> Tensor:
    """ctx (77,D) or (B,77,D) with its rows χ replaced by f(χ). Returns ctx's shape and dtype."""
    at, chi = take_rows(ctx, rows)
    return ctx.index_copy(-2, at, f(chi).to(ctx))


def take_rows(ctx: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """(positions (k,), χ (…,k,D) in float64): the rows in ascending order, each once.

    UserError if there are no rows, or if a row is outside the context or is not a whole number (as in a mask).
    """
    if not (isinstance(ctx, Tensor) and ctx.dim() in (2, 3) and ctx.is_floating_point()):
        raise UserError(f"ctx = {shown(ctx)}; expected embeddings (77,D) or (B,77,D), such as sd.encode_text gives")
    positions = _whole_numbers(rows)
    if not positions or not all(0 <= row < ctx.shape[-2] for row in positions):
        raise UserError(f"rows {rows!r}; expected positions from 0 to {ctx.shape[-2] - 1}, at least one")
    at = torch.tensor(sorted(set(positions)), device=ctx.device)
    # Apple's GPUs have no float64, so that the few rows are computed on the CPU
    device = torch.device("cpu") if ctx.device.type == "mps" else ctx.device
    return at, ctx.index_select(-2, at).to(device).double()


def _whole_numbers(rows: Rows) -> list[int]:
    """The rows as Python's integers; empty if one of them is not a whole number."""
    try:
        values = list(rows.tolist() if isinstance(rows, Tensor) else rows)
    except (TypeError, RuntimeError):  # RuntimeError: a tensor on the device "meta" has no numbers
        return []
    return [plain(v) for v in values] if all(is_whole(v) for v in values) else []


def attenuate(ctx: Tensor, rows: Rows, factor: float = 0.1) -> Tensor:
    """χ̂ = factor · χ. All singular values shrink alike, so that other words suffer too (appendix D, Fig. 20).

    UserError if the factor is negative, or if the result overflows ctx's dtype.
    """
    factor = number("factor", factor)
    return check_range(change_rows(ctx, rows, lambda chi: chi * factor), f"factor = {factor!r}")


def zero(ctx: Tensor, rows: Rows) -> Tensor:
    """The rows become 0. Zeroing only the target or only [EOT] does not remove it, both do (section 3.2, Fig. 2a)."""
    return change_rows(ctx, rows, torch.zeros_like)


def mpe(ctx: Tensor, target: Rows, eot: Rows, zero_target: bool = False) -> Tensor:
    """Mean of the padding embedding: ĉ_i = c_i - mean_j Ψ_j for i in target and [EOT] (appendix D, Table 6, Fig. 22).

    This is our reading. The paper only says that it takes the mean of the [EOT] rows as the semantic component, instead
    of the large singular vectors. It does not say that the component is then subtracted, nor from which rows.
    zero_target: the target's rows become 0; this is the table's "MPE + zeroing embedding".
    """
    mean = take_rows(ctx, eot)[1].mean(dim=-2, keepdim=True)  # (…,1,D)
    without = change_rows(ctx, (*target, *eot), lambda chi: chi - mean)
    return zero(without, target) if zero_target else without


def replace_words(ctx: Tensor, eot: Sequence[int], one: bool) -> Tensor:
    """ctx (B,77,D) with other embeddings in the words' rows, 1 … n-2.

    one: the first row of `eot` for every word. Otherwise the rows of `eot` in order, as many as there are words.
    """
    words = torch.arange(1, eot[0], device=ctx.device)
    source = eot[:1] if one else eot
    picked = torch.tensor([source[k % len(source)] for k in range(len(words))], dtype=torch.long, device=ctx.device)
    return ctx.index_copy(-2, words, ctx.index_select(-2, picked))


def check_range(ctx: Tensor, constants: str) -> Tensor:
    """Returns ctx; UserError if a number in it overflowed. constants: what to name in the error."""
    if not torch.isfinite(ctx).all():
        raise UserError(f"{constants}: the result is beyond the range of {ctx.dtype}; expected a smaller number")
    return ctx
