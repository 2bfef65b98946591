"""The variants with which the authors of SuppressEOT compare soft weighting, as methods. Each edits the context.

Li et al. (ICLR 2024) show what each of them lacks, and so arrive at soft weighting. The equations and their sections
are in suppress/edits/spectrum.py and suppress/edits/rows.py. χ are the rows of target and [EOT], Ψ only those of [EOT].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from minisd import UserError
from minisd.base.arguments import number, one_of, shown, whole_number

from ..edits.rows import Rows, attenuate, mpe, zero
from ..edits.spectrum import keep_top, soft_weight, strengthen, wnnm, zero_bottom, zero_top
from ..prompt import Prompt
from ..protocol import Edit, Method
from .catalogue.variants import PUBLISHED, Published
from .fixed import FixedContext

if TYPE_CHECKING:
    from ..loop import Run

Change = Callable[[Tensor, Rows, Rows, Any], Tensor]  # (ctx, rows of the target, rows of [EOT], constant) -> ctx


@dataclass(frozen=True)
class ContextEdit(Published):
    """A variant with the function that edits the context."""

    change: Change = field(kw_only=True)

    def edit(self, ctx: Tensor, target: Rows, eot: Rows, constant: float | None = None) -> Tensor:
        """The edited context. constant: replaces the published one."""
        return self.change(ctx, target, eot, self.published if constant is None else constant)


_CHANGES: dict[str, Change] = {
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
VARIANTS = {name: ContextEdit(**vars(words), change=_CHANGES[name]) for name, words in PUBLISHED.items()}


@dataclass(frozen=True)
class Variant(Method):
    """One of `VARIANTS`. The context is edited once and used from step R on."""

    name: str = "zero"
    value: int | float | None = None  # the variant's constant, e.g. K of top-k; None: the published one

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("name", self.name, VARIANTS)
        if self.value is None:
            return
        if not VARIANTS[self.name].constant:
            raise UserError(f"value = {shown(self.value)}; {self.name} has no constant, so leave out the value")
        check: Callable[..., float] = whole_number if isinstance(VARIANTS[self.name].published, int) else number
        object.__setattr__(self, "value", check("value", self.value, 0))

    def edit(self, run: Run) -> Edit:
        return FixedContext(run, run.per_prompt(self.context))

    def context(self, prompt: Prompt) -> Tensor:
        """ĉ (1,77,D)"""
        variant = VARIANTS[self.name]
        try:
            return variant.edit(prompt.ctx, prompt.target, prompt.eot, self.value)
        except UserError as error:  # e.g. bottom-k's K on a long prompt
            hint = f"; {self.name}:value=… sets another {variant.constant}" if variant.constant else ""
            raise UserError(f"{error}{hint}") from None
