"""CFG++ (Chung et al., ICLR 2025, arXiv 2406.08070): guidance moves the picture, and the noise that remains is e_∅.

    ε_λ = e_∅ + λ (e_c - e_∅)
    ẑ  <- √ᾱ_s (ẑ - √(1-ᾱ_t) ε_λ)/√ᾱ_t + √(1-ᾱ_s) e_∅        DDIM has the guided noise twice, and w for λ

λ is a number from 0 to about 1: .2, .4, .6, .8 and 1 are for what w = 2, 5, 7.5, 9 and 12.5 are for DDIM. (MagicRemover
does the opposite: it guides only the noise that remains.)

It is a step, so it can be added to another method: with ε = e_∅ + g, that method's noise, ε_λ is e_∅ + (λ/w) g. By
itself it removes nothing, and so alone it draws the prompt without the words. A comparison with the same deletion in
plain steps (the control of the tables) shows what the step does. The original branch keeps its DDIM steps and its w, as
in every method; so before R the edited branch has them too, and the default R is 0.

On the drawn world (glasses, hat and beard, 3 seeds each, 15 steps) it removes all 9 things, as the deletion in plain
steps does, and changes more of the picture (SSIM .41 instead of .54). Added to composable-not it removes 5 of 9.

UNet: 200 samples for both branches at 50 steps, or what the other method needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from minisd import UserError
from minisd.base.arguments import number

from ..edits.added import Added
from ..edits.negative import without_words
from ..edits.wrapped import Wrapped
from ..prompt import Prompt, without_targets
from ..protocol import Edit
from .fixed import FixedContext

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class CfgPP(Added):
    """Settings."""

    start: int | float = 0  # all steps, as published
    scale: float = 0.6  # λ; from the paper, for w = 7.5

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", number("scale", self.scale))
        if not self.guidance:
            raise UserError("guidance = 0 with CFG++, which takes the guidance of a method in units of it")

    @property
    def needs_words(self) -> bool:
        return self.to is None or self.to.needs_words

    def remark(self, prompt: Prompt) -> str:
        return super().remark(prompt) if self.to else f"the edited prompt is {without_targets(prompt)!r}"

    def edit(self, run: Run) -> Edit:
        if self.to is not None:
            return CfgPPEdit(self.to.edit(run), self.scale)
        return CfgPPEdit(FixedContext(run, without_words(run)), self.scale)


class CfgPPEdit(Wrapped):
    """Another edit, whose steps are those of CFG++."""

    def __init__(self, edit: Edit, scale: float):
        super().__init__(edit)
        self.share = scale / self.run.settings.guidance  # λ/w
        self.uncond: Tensor | None = None  # e_∅ of this step

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        self.uncond = eps[0]
        return super().combine(i, eps)

    def step(self, i: int, z: Tensor, eps: Tensor) -> Tensor:
        assert self.uncond is not None
        guidance = self.share * (eps - self.uncond)  # λ p
        remaining = (1 - self.run.schedule.alpha[i + 1]) ** 0.5
        return super().step(i, z, self.uncond + guidance) - remaining * guidance
