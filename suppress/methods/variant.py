"""The variants that the authors of SuppressEOT compare, as methods: a fixed edit of the context, or of the maps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from minisd import StableDiffusion, Tap, UserError

from ..variants import VARIANTS, ZeroMap
from .base import Editor, Method, Prompt


@dataclass(frozen=True)
class Variant(Method):
    """One of `VARIANTS` (suppress/variants.py), applied once and used from R on."""

    name: str = "zero"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name not in VARIANTS:
            raise UserError(f"name = {self.name!r}; expected one of {', '.join(VARIANTS)}")

    def editor(self, sd: StableDiffusion, prompt: Prompt, z: Tensor) -> Editor:
        ctx = VARIANTS[self.name].edit(prompt.ctx, prompt.target, prompt.eot).expand(len(z), -1, -1)
        return lambda i, t, z, edited: ctx


@dataclass(frozen=True)
class AttentionToZero(Method):
    """attn2zero: the context stays, the target's columns of the suppressed branch's cross maps become 0."""

    def editor(self, sd: StableDiffusion, prompt: Prompt, z: Tensor) -> Editor:
        ctx = prompt.ctx.expand(len(z), -1, -1)
        return lambda i, t, z, edited: ctx

    def tap(self, prompt: Prompt, samples: int, step: int) -> Tap | None:
        return ZeroMap(prompt.target, slice(3 * samples, None))


@dataclass(frozen=True)
class Rewrite(Method):
    """A control, not a method: from R on the prompt is another one, written by hand, e.g. without the phrase."""

    text: str = ""

    def editor(self, sd: StableDiffusion, prompt: Prompt, z: Tensor) -> Editor:
        ctx = sd.encode_text(self.text).expand(len(z), -1, -1)
        return lambda i, t, z, edited: ctx
