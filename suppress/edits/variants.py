"""The other ways to take the target out of the text embeddings that the authors of SuppressEOT compare.

"Get What You Want, Not What You Don't" (Li et al., ICLR 2024) arrives at soft weighting (suppress/edits/spectrum.py) by
way of these, and finds in each what it lacks. They are functions ctx -> ctx: ctx (77,D) or (B,77,D), each sample by
itself, positions of the target and of [EOT] as `find_rows` and `eot_rows` give them; shape and dtype are kept, other
rows too. χ = U Σ Vᵀ are the rows of target and [EOT], Ψ those of [EOT] alone, σ_0 >= σ_1 >= … singular values.
`VARIANTS` has them by name, with the published constants (for WNNM, Gu et al.'s). `ZeroMap` acts on the maps instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from minisd import Site, Tap, UserError
from minisd.base.arguments import is_whole, number, plain, shown

from ..methods.catalogue import PUBLISHED, Published
from .spectrum import change_rows, reshape_spectrum, soft_weight, take_rows

Rows = Sequence[int]


# ------------------------------------------------------------------------------------------- of the singular values


def zero_top(ctx: Tensor, rows: Rows, k: int = 2) -> Tensor:
    """σ̂_i = 0 for i < K, else σ_i: the target goes, and sometimes more (section 3.3, Fig. 4; appendix D, Fig. 14).

    The authors' code gives K as a share α of the values; that is k=int(α·count).
    UserError unless k is from 0 to the number of singular values, one a row.
    """
    return reshape_spectrum(ctx, rows, lambda sigma: sigma * ~_first(sigma, k))


def zero_bottom(ctx: Tensor, rows: Rows, k: int = 70) -> Tensor:
    """σ̂_i = 0 for the K smallest: the target stays (section 3.3, Fig. 4).

    The paper's K = 70 leaves the 3 largest of the 73 values of "a man without glasses". A longer prompt has fewer,
    one a row: below 70 that is a UserError, and `keep_top` says the same from the other end.
    """
    return reshape_spectrum(ctx, rows, lambda sigma: sigma * ~_first(sigma, k).flip(-1))


def keep_top(ctx: Tensor, rows: Rows, k: int = 9) -> Tensor:
    """σ̂_i = σ_i for i < K, else 0: the best approximation of rank K (Eckart-Young).

    On the [EOT] rows it is section 3.2's rank cut of Ψ, Fig. 2b: K = 0 zeroes them, with 4 the picture looks like
    the original, with 9 it is close to it (PSNR 40.3, SSIM .994). The authors' code, on χ: k=int(α·count).
    UserError unless k is from 0 to the number of singular values.
    """
    return reshape_spectrum(ctx, rows, lambda sigma: sigma * _first(sigma, k))


def wnnm(ctx: Tensor, eot: Rows, c: float = 2 * math.sqrt(2)) -> Tensor:
    """Weighted nuclear norm minimisation of Ψ: σ̂_i = max(σ_i - w_i, 0), w_i = C √n / (σ_i + ε), n rows of [EOT].

    Section 3.2 has the operator and 0 <= w_0 <= w_1 <= …, appendix B w = λ/(σ + ε); no λ is published. The weights
    are those of Gu et al. 2014, "Weighted Nuclear Norm Minimization with Application to Image Denoising", at noise
    variance 1 and with the C = 2√2 that is customary there; one pass, without their re-estimation. What is not above
    √(C √n), 4.9 for 72 rows, vanishes; what is far above hardly moves. C = 0 changes nothing.
    UserError for a negative c.
    """
    lam = number("c", c) * math.sqrt(len(set(eot)))
    # ε = 1e-16 is Gu et al.'s: it only keeps σ = 0 from a division by zero
    return reshape_spectrum(ctx, eot, lambda sigma: (sigma - lam / (sigma + 1e-16)).clamp(min=0))


def strengthen(ctx: Tensor, rows: Rows, beta: float = 1.2, alpha: float = 0.001) -> Tensor:
    """σ̂ = β e^(ασ) σ: more of the target instead of less (appendix F, Fig. 7 columns 6-9, Figs. 29-31).

    For a subject that the model left out, one added to the prompt, or one that takes another's place.
    UserError for negative factors and where the result overflows ctx's dtype.
    """
    beta, alpha = number("beta", beta), number("alpha", alpha)
    stronger = reshape_spectrum(ctx, rows, lambda sigma: beta * torch.exp(alpha * sigma) * sigma)
    return _in_range(stronger, f"beta = {beta!r}, alpha = {alpha!r}")


def _first(sigma: Tensor, k: int) -> Tensor:
    """(count,) bool: which of the singular values (…,count) are the k largest."""
    count = sigma.shape[-1]
    if not is_whole(k) or not 0 <= plain(k) <= count:
        raise UserError(
            f"K = {shown(k)}; these rows have {count} singular values: expected a whole number from 0 to {count}"
        )
    return torch.arange(count, device=sigma.device) < plain(k)


# ------------------------------------------------------------------------------------------- of the rows


def attenuate(ctx: Tensor, rows: Rows, factor: float = 0.1) -> Tensor:
    """χ̂ = factor · χ, all singular values alike: other words suffer as well (appendix D, Fig. 20).

    UserError for a negative factor and where the result overflows ctx's dtype.
    """
    factor = number("factor", factor)
    return _in_range(change_rows(ctx, rows, lambda chi: chi * factor), f"factor = {factor!r}")


def zero(ctx: Tensor, rows: Rows) -> Tensor:
    """The rows are zeros. Target or [EOT] alone do not remove the target, both do (section 3.2, Fig. 2a)."""
    return change_rows(ctx, rows, torch.zeros_like)


def mpe(ctx: Tensor, target: Rows, eot: Rows, zero_target: bool = False) -> Tensor:
    """Mean of the padding embedding: ĉ_i = c_i - mean_j Ψ_j for i in target and [EOT] (appendix D, Table 6, Fig. 22).

    This is our reading. The paper says no more than that it takes the mean of the [EOT] rows, instead of the large
    singular vectors, for the semantic component; that the component is then subtracted, and from which rows, is not
    in it. zero_target: zeros for the target's rows, the table's "MPE + zeroing embedding".
    """
    mean = take_rows(ctx, eot)[1].mean(dim=-2, keepdim=True)  # (…,1,D)
    without = change_rows(ctx, (*target, *eot), lambda chi: chi - mean)
    return zero(without, target) if zero_target else without


def _in_range(ctx: Tensor, constants: str) -> Tensor:
    if not torch.isfinite(ctx).all():
        raise UserError(f"{constants}: beyond the range of {ctx.dtype}; expected something smaller")
    return ctx


# ------------------------------------------------------------------------------------------- by name


@dataclass(frozen=True)
class Variant(Published):
    """A way to edit the context: what is published of it, and what it does."""

    change: Callable[[Tensor, Rows, Rows, Any], Tensor] = field(kw_only=True)  # (ctx, rows of target, of [EOT], value)

    def edit(self, ctx: Tensor, target: Rows, eot: Rows, constant: float | None = None) -> Tensor:
        """`VARIANTS["top-k"].edit(ctx, target, eot)`, or with a constant other than the published."""
        return self.change(ctx, target, eot, self.published if constant is None else constant)


_CHANGES: dict[str, Callable[[Tensor, Rows, Rows, Any], Tensor]] = {
    "swr": lambda ctx, target, eot, gamma: soft_weight(ctx, (*target, *eot), gamma),
    "top-k": lambda ctx, target, eot, k: zero_top(ctx, (*target, *eot), k),
    "bottom-k": lambda ctx, target, eot, k: zero_bottom(ctx, (*target, *eot), k),
    "attenuate": lambda ctx, target, eot, factor: attenuate(ctx, (*target, *eot), factor),
    "zero-target": lambda ctx, target, eot, _: zero(ctx, target),
    "zero-eot": lambda ctx, target, eot, _: zero(ctx, eot),
    "zero": lambda ctx, target, eot, _: zero(ctx, (*target, *eot)),
    "wnnm": lambda ctx, target, eot, c: wnnm(ctx, eot, c),
    "rank-cut": lambda ctx, target, eot, k: keep_top(ctx, eot, k),
    "mpe": lambda ctx, target, eot, _: mpe(ctx, target, eot),
    "mpe-zero": lambda ctx, target, eot, _: mpe(ctx, target, eot, zero_target=True),
    "strengthen": lambda ctx, target, eot, beta: strengthen(ctx, (*target, *eot), beta, alpha=0.001),
}
VARIANTS = {name: Variant(**vars(words), change=_CHANGES[name]) for name, words in PUBLISHED.items()}


# ------------------------------------------------------------------------------------------- of the maps


class ZeroMap(Tap):
    """attn2zero: the target's columns of the cross maps are zeros, nothing is renormalised (appendix D, Fig. 15).

    The text embeddings stay, so [EOT] still carries the target: in the paper's pictures it is drawn all the same.

    samples: which rows of the UNet's batch, as `sd.predict` orders them. With B seeds that is slice(B, None) in
    [uncond, c] and, of two branches, slice(3 * B, None) in [uncond, uncond, c, edited]: a batch that ends before it,
    as before step R, passes unchanged. UserError for positions that the maps do not have.
    """

    def __init__(self, target: Rows, samples: slice):
        if not target or min(target) < 0:
            raise UserError(f"target {list(target)!r}; expected positions of tokens, at least one")
        self.target = sorted(set(target))
        self.samples = samples

    def wants(self, site: Site) -> bool:
        return site.kind == "cross"

    def probs(self, site: Site, p: Tensor) -> Tensor:
        if self.target[-1] >= p.shape[-1]:
            raise UserError(f"target {self.target!r} at {site.name}: its maps have {p.shape[-1]} columns, from 0")
        zeroed = p.clone()
        zeroed[self.samples, :, :, self.target] = 0
        return zeroed
