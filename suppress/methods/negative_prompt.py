"""Negative prompt: in classifier-free guidance, the unwanted text n replaces the empty prompt.

    ε̂ = ε_n + w (ε_c - ε_n)          instead of          ε_∅ + w (ε_c - ε_∅)

The users of Stable Diffusion found it (2022); there is no paper. Ban et al. (ECCV 2024, "Understanding the Impact of
Negative Prompts") study it: a negative prompt acts only after the positive prompt has drawn the thing, so a late start
keeps more of the picture. It can be added to any other method; the other contexts, the taps and the weights of that
method stay as they are.

A negative prompt of the user's own (`suppress.run(negative_prompt=…)`) is for both branches, and n follows it, as in
"blurry, hat".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from minisd.base.arguments import check_prompt

from ..edits.added import Added
from ..edits.maps import Maps
from ..edits.negative import beside_negative
from ..edits.wrapped import Wrapped
from ..protocol import Edit, Inputs

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class NegativePrompt(Added):
    """Settings."""

    start: int | float = 0  # all steps, as is common; to remove things, Ban et al. begin at about step 10 of 50
    text: str = ""  # n, what the picture should not show; empty: the targets, joined by ", "

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prompt(self.text)

    def edit(self, run: Run) -> Edit:
        negative = beside_negative(run, lambda prompt: self.text or ", ".join(prompt.targets))
        return WithNegative(self.to.edit(run) if self.to else Edit(run), negative)


class WithNegative(Wrapped):
    """Another edit, in which n (B,77,D) replaces ∅."""

    def __init__(self, edit: Edit, negative: Tensor):
        super().__init__(edit)
        self.negative = negative

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        inputs = super().inputs(i, same, original, maps)
        return replace(inputs, contexts=(self.negative, *inputs.contexts[1:]))
