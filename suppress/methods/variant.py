"""The variants that the authors of SuppressEOT compare, as methods: a fixed edit of the context, or of the maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from minisd import StableDiffusion, Tap, UserError, compose

from ..variants import VARIANTS, ZeroMap
from .base import Method, Prompt


@dataclass(frozen=True)
class Variant(Method):
    """One of `VARIANTS` (suppress/variants.py), applied once and used from R on."""

    name: str = "zero"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name not in VARIANTS:
            raise UserError(f"name = {self.name!r}; expected one of {', '.join(VARIANTS)}")

    def context(self, sd: StableDiffusion, prompt: Prompt) -> Tensor:
        return VARIANTS[self.name].edit(prompt.ctx, prompt.target, prompt.eot)


@dataclass(frozen=True)
class AttentionToZero(Method):
    """attn2zero: the context stays, the target's columns of the suppressed branch's cross maps become 0."""

    def context(self, sd: StableDiffusion, prompt: Prompt) -> Tensor:
        return prompt.ctx

    def tap(self, prompts: Sequence[Prompt], step: int) -> Tap:
        first = len(prompts)  # of the suppressed samples
        return compose(*(ZeroMap(p.target, slice(first + k, first + k + 1)) for k, p in enumerate(prompts)))


@dataclass(frozen=True)
class Rewrite(Method):
    """A control, not a method: from R on the prompt is another one, written by hand, e.g. without the phrase."""

    text: str = ""

    def context(self, sd: StableDiffusion, prompt: Prompt) -> Tensor:
        return sd.encode_text(self.text)
