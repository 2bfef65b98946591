"""Unread: the text encoder is run again, and no word may read the target.

SWR leaves alone the rows of words that follow the target, and they carry it: the text encoder is causal, every later
word has read the target. So read the prompt again with the target's tokens T hidden from all attention inside the
encoder, layer by layer (j, k: positions; the causal mask stays),

    a_jk = softmax_k(q_j · k_k / √d)  over  k <= j, k ∉ T,        ĉ_j = 0 for j ∈ T,

and draw with ĉ from step R on. Rows before the target are the original's to the bit; later words and [EOT] keep
their positions and what they say of each other, and hold nothing of the target, by construction and not by an
estimate. One pass of the text encoder; no pass of the UNet beyond those of SWR.

Up to the step `shared_until` the edited branch looks where the original looks: the cross maps of the kept tokens (all
but T) are copied from the original branch of the same batch, as Prompt-to-Prompt does (Hertz et al. 2022), which keeps
the layout.

Where no word follows the target, only [EOT] carries it, and hiding it is the same as deleting the phrase: what the
training pictures show unasked (glasses on some men) comes back at its own rate. There SWR, which damps [EOT], is used
instead; it leaves less than that rate.

Where it fails: a negation or an adjective that belongs to the target stays in the prompt ("without", "red" of "red
scarf") unless it is named as well; inside a list that base rate remains; and a word that implies the target
("bespectacled") is another word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minisd import Site, StableDiffusion, Tap
from minisd.base.arguments import step_number

from ..edits.maps import Maps
from ..edits.spectrum import soft_weight
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class Unread(Method):
    """Settings; the method is this project's own, its values measured on the drawn world."""

    # cross maps are the original's before this step: a step number, or below 1 a share of the steps
    shared_until: int | float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        step_number("shared_until", self.shared_until, self.steps)

    def remark(self, prompt: Prompt) -> str:
        return "SWR in its place, as no word follows the target" if is_last(prompt) else ""

    def edit(self, run: Run) -> Edit:
        return UnreadEdit(self, run)


class UnreadEdit(Edit):
    def __init__(self, settings: Unread, run: Run):
        super().__init__(run)
        self.ctx = run.per_prompt(lambda prompt: unread_context(run.sd, prompt))  # ĉ (B,77,D)
        kept = run.per_prompt(kept_rows)
        self.tap = ShareMaps(kept.to(run.ctx.device)) if kept.any() else None
        self.shared_until = step_number("shared_until", settings.shared_until, settings.steps)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        tap = self.tap if i < self.shared_until else None
        return replace(same, contexts=(same.contexts[0], self.ctx), tap=tap)


def unread_context(sd: StableDiffusion, prompt: Prompt) -> Tensor:
    """ĉ (1,77,D)"""
    if is_last(prompt):
        return soft_weight(prompt.ctx, (*prompt.target, *prompt.eot))
    ctx = sd.encode_text(prompt.text, hidden=prompt.target)
    ctx[:, list(prompt.target)] = 0
    return ctx


def kept_rows(prompt: Prompt) -> Tensor:
    """(1,77) bool: the tokens whose maps are shared; none if SWR takes Unread's place."""
    kept = torch.full((1, prompt.ctx.shape[1]), not is_last(prompt))
    kept[:, list(prompt.target)] = False
    return kept


def is_last(prompt: Prompt) -> bool:
    """Whether nothing follows the (first) target but targets and punctuation."""
    rest = prompt.words[prompt.target[0] :]
    return all(i in prompt.target or not word.isalnum() for i, word in enumerate(rest, prompt.target[0]))


class ShareMaps(Tap):
    """In a batch [original × B, edited × B] the edited samples' cross maps become the original's, in the columns of the
    tokens that `kept` (B,77) marks."""

    def __init__(self, kept: Tensor):
        self.kept = kept[:, None, None]  # (B,1,1,77)

    def wants(self, site: Site) -> bool:
        return site.kind == "cross"

    def probs(self, site: Site, p: Tensor) -> Tensor:
        original, edited = p.chunk(2)
        return torch.cat([original, torch.where(self.kept, original, edited)])
