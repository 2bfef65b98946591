"""The variants that the authors of SuppressEOT compare, as methods: a fixed edit of the context, or of the maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from minisd import StableDiffusion, Tap, UserError, compose
from minisd.base.arguments import check_prompt, number, shown, whole_number

from ..edits.variants import VARIANTS, ZeroMap
from .base import Method, Prompt


@dataclass(frozen=True)
class Variant(Method):
    """One of `VARIANTS` (suppress/edits/variants.py), applied once and used from R on."""

    name: str = "zero"
    value: int | float | None = None  # the variant's constant, e.g. K of top-k; None: the published one

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.name, str) and self.name in VARIANTS):
            raise UserError(f"name = {shown(self.name)}; expected one of {', '.join(VARIANTS)}")
        if self.value is None:
            return
        if not VARIANTS[self.name].constant:
            raise UserError(f"value = {shown(self.value)}; {self.name} has no constant, leave the value away")
        check: Callable[..., float] = whole_number if isinstance(VARIANTS[self.name].published, int) else number
        object.__setattr__(self, "value", check("value", self.value, 0))

    def context(self, sd: StableDiffusion, prompt: Prompt) -> Tensor:
        variant = VARIANTS[self.name]
        try:
            return variant.edit(prompt.ctx, prompt.target, prompt.eot, self.value)
        except UserError as error:  # e.g. bottom-k's K on a long prompt
            hint = f"; {self.name}:value=… gives another {variant.constant}" if variant.constant else ""
            raise UserError(f"{error}{hint}") from None


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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prompt(self.text)

    def context(self, sd: StableDiffusion, prompt: Prompt) -> Tensor:
        return sd.encode_text(self.text)
