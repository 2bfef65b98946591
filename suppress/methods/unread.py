"""Unread: the text encoder is run again, and no word may read the target.

SWR does not change the words that follow the target. But they carry it too: the text encoder is causal, so every later
word has read the target. Unread encodes the prompt again, and hides the target's rows T from the attention in every
layer of the encoder (j, k: rows; the causal mask stays),

    a_jk = softmax_k(q_j · k_k / √d)  over  k <= j, k ∉ T,        ĉ_j = 0 for j ∈ T,

and draws with ĉ from step R on. The rows before the target are equal to the original's in every bit. Later words and
[EOT] keep their positions and what they say about each other, and contain nothing of the target: nothing has to be
estimated. The cost is one pass of the text encoder, and no more UNet passes than SWR.

Before the step `shared_until`, the cross maps of all rows except T are copied from the original branch of the same
batch, as Prompt-to-Prompt does (Hertz et al. 2022). This keeps the layout.

If no word follows the target, only [EOT] carries it, and hiding the target would be the same as deleting the phrase.
The thing would then appear as often as in training pictures whose text does not mention it (some men wear glasses). So
SWR, which damps [EOT], is used instead; with it the thing appears less often.

It fails in three cases. A negation or an adjective that belongs to the target stays in the prompt ("without", "red" of
"red scarf") unless it is named as well. In a list, the thing can still appear at the rate just described. A word that
implies the target ("bespectacled") is another word and stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minisd import StableDiffusion, select
from minisd.base.arguments import fraction, step_number

from ..edits.maps import Maps
from ..edits.spectrum import soft_weight
from ..edits.taps import ShareMaps
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class Unread(Method):
    """Settings. This project made the method and measured the values on the drawn world."""

    # before this step, the cross maps are the original's: a step number, or a fraction of the steps below 1
    shared_until: int | float = 0.8
    strength: float = 1.0  # s, 0 to 1: the context is c + s (ĉ - c), so 0 is the original

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "strength", fraction("strength", self.strength))
        step_number("shared_until", self.shared_until, self.steps)

    def remark(self, prompt: Prompt) -> str:
        return "SWR is used instead, because no word follows the target" if ends_in_target(prompt) else ""

    def edit(self, run: Run) -> Edit:
        return UnreadEdit(self, run)


class UnreadEdit(Edit):
    def __init__(self, settings: Unread, run: Run):
        super().__init__(run)
        unread = run.per_prompt(lambda prompt: unread_context(run.sd, prompt))  # ĉ (B,77,D)
        self.ctx = torch.lerp(run.ctx, unread, settings.strength)  # exact for 0 and 1
        kept = run.per_prompt(kept_rows)
        self.tap = ShareMaps(kept.to(run.ctx.device), select("cross")) if kept.any() else None
        self.shared_until = step_number("shared_until", settings.shared_until, settings.steps)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        tap = self.tap if i < self.shared_until else None
        return replace(same, contexts=(same.contexts[0], self.ctx), tap=tap)


def unread_context(sd: StableDiffusion, prompt: Prompt) -> Tensor:
    """ĉ (1,77,D)"""
    if ends_in_target(prompt):
        return soft_weight(prompt.ctx, (*prompt.target, *prompt.eot))
    ctx = sd.encode_text(prompt.text, hidden=prompt.target)
    ctx[:, list(prompt.target)] = 0
    return ctx


def kept_rows(prompt: Prompt) -> Tensor:
    """(1,77) bool: the rows whose maps are shared; none if SWR is used instead."""
    kept = torch.full((1, prompt.ctx.shape[1]), not ends_in_target(prompt))
    kept[:, list(prompt.target)] = False
    return kept


def ends_in_target(prompt: Prompt) -> bool:
    """Whether only targets and punctuation follow the first row of the target."""
    rest = prompt.words[prompt.target[0] :]
    return all(i in prompt.target or not word.isalnum() for i, word in enumerate(rest, prompt.target[0]))
