"""SAFREE: "Training-Free and Adaptive Guard for Safe Text-to-Image and Video Generation" (Yoon et al., ICLR 2025).

The prompt's words that carry the concept are found by leaving each out, and their rows lose what they share with it:

    C = pooled encodings of the concept's phrases,   P_C: projection on their span        pooled: row of the first [EOT]
    p_i = pooled encoding of the prompt with "!" in place of token i,   P_I: on the span of these
    d_i = |(1 - P_C) p_i|;   token i is a trigger if  d_i >= (1 + α) mean_{j≠i} d_j          its absence moves p away
    ê_i = P_I (1 - P_C) e_i  (paper)   or   (1 - P_C) P_I e_i  (code)      for triggers; all other rows stay, [EOT] too
    z = 1 - mean_j cos(e_j, ê_j)  over [SOT], all words (as if all were triggers) and the first [EOT]
    t' = γ sigmoid(z)  (paper)   or   round(γ sigmoid(2k (10 z - τ)))  (code);     ê is used in the steps i <= t'

The published steps belong to 50 steps; they are step numbers here too. Whether a token is a trigger is a hard decision,
but it depends on the text alone and is made once, so that both engines draw the same picture. `triggers` says which
they are, and so does `suppress analyse --only moved`: these are the words that it moves.

Where code and paper differ:
- `paper()`: its order of the projections, its t' (5 to 8 for every prompt), and the empty prompt in the guidance.
- `official()`: the code's order, its t' (0 to 10), and the phrases, joined by ", ", as a negative prompt at all steps.
  Much of what the released code does may be this negative prompt: compare with `safree-official:negative=false`.
- The image side (latent re-attention: in the decoder, the lowest frequencies of skip features that grew against a pass
  with the original prompt become smaller) is not here. In the released code for SD 1.4 it never runs, because its
  selector is never set.

It costs K + m + 1 text encodings (K phrases, m words) and no UNet pass. In a prompt of one word, this word counts as a
trigger, as in the code.

What it cannot do: [EOT] and the padding, which carry the prompt, always stay. On the embedded model it removes nothing:
DetScore .99 in each form, .95 with validation="off" (six prompts × 2 seeds, 12 steps), although it finds the target
among the triggers, with "a", "the" and "with". The embeddings kept all directions: the rank of P_I was m. `safree-word`
is the form for one word.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import StableDiffusion, UserError
from minisd.base.arguments import check_prompt, number, one_of, shown

from ..edits.concepts import concepts, pooled
from ..edits.maps import Maps
from ..edits.negative import beside_negative
from ..edits.subspace import basis, project
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

LEFT_OUT = 0  # the token that stands for one that is left out: "!" in CLIP's vocabulary; from the code


@dataclass(frozen=True)
class SAFREE(Method):
    """The settings; the default is the paper's text."""

    start: int | float = 0  # from the first step on, to t'
    concept: str = ""  # the concept's phrases, separated by commas; empty: the prompt's targets
    alpha: float = 0.01  # α; from the paper
    order: Literal["paper", "official"] = "paper"  # of the two projections
    validation: Literal["paper", "official", "off"] = "paper"  # the rule for t'; off: all steps
    gamma: float = 10.0  # γ, in steps; from the paper
    slope: float = 2.5  # k of the code's rule; 3.5 for artists
    centre: float = 5.333  # τ of the code's rule; 5.5 for artists
    negative: bool = False  # whether the phrases replace the empty prompt, or follow the user's negative prompt

    @classmethod
    def paper(cls, **changes: Any) -> SAFREE:
        return cls(**changes)

    @classmethod
    def official(cls, **changes: Any) -> SAFREE:
        code: dict[str, Any] = {"order": "official", "validation": "official", "negative": True}
        return cls(**(code | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prompt(self.concept)
        for name, least in (("alpha", -1), ("gamma", 0), ("slope", 0), ("centre", -math.inf)):
            object.__setattr__(self, name, number(name, getattr(self, name), least))
        one_of("order", self.order, ("paper", "official"))
        one_of("validation", self.validation, ("paper", "official", "off"))
        if not isinstance(self.negative, bool):
            raise UserError(f"negative = {shown(self.negative)}; expected True or False")

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        return SAFREEEdit(self, run)

    def last_step(self, z: float) -> float:
        """t' for the distance z between the prompt and its projection."""
        if self.validation == "off":
            return self.steps
        if self.validation == "paper":
            return self.gamma * _sigmoid(z)
        return round(self.gamma * _sigmoid(2 * self.slope * (10 * z - self.centre)))


class SAFREEEdit(Edit):
    def __init__(self, settings: SAFREE, run: Run):
        super().__init__(run)
        found = {prompt: filter_prompt(run.sd, prompt, settings) for prompt in dict.fromkeys(run.prompts)}
        self.filtered = torch.cat([found[prompt].ctx for prompt in run.prompts])  # ê (B,77,D)
        last = [found[prompt].last_step for prompt in run.prompts]
        self.last_step = torch.tensor(last, device=run.ctx.device)[:, None, None]  # t' (B,1,1)
        self.negative = None
        if settings.negative:
            self.negative = beside_negative(run, lambda prompt: ", ".join(concepts(settings.concept, prompt)))

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        empty, ctx = same.contexts
        ctx = torch.where(self.last_step >= i, self.filtered, ctx)
        return replace(same, contexts=(empty if self.negative is None else self.negative, ctx))


class Filtered(NamedTuple):
    ctx: Tensor  # (1,77,D), with the triggers' rows projected
    triggers: tuple[int, ...]  # rows
    last_step: float  # t'


def filter_prompt(sd: StableDiffusion, prompt: Prompt, settings: SAFREE) -> Filtered:
    """The prompt's context without the concept, and how long it is to be used."""
    concept = basis(pooled(sd, concepts(settings.concept, prompt)))
    without = leave_one_out(sd, prompt).cpu().double()  # p (m,D)
    e, words = prompt.ctx[0].cpu().double(), basis(without)
    if settings.order == "official":
        projected = project(e, words)
        projected = projected - project(projected, concept)
    else:
        projected = project(e - project(e, concept), words)
    distances = (without - project(without, concept)).norm(dim=-1)  # d (m,)
    others = (distances.sum() - distances) / (len(distances) - 1)  # NaN if there is one word, which then is a trigger
    rows = [j + 1 for j in range(len(distances)) if not distances[j] < (1 + settings.alpha) * others[j]]
    ctx = e.clone()
    ctx[rows] = projected[rows]
    read = slice(0, prompt.eot[0] + 1)  # [SOT] to the first [EOT]
    z = 1 - F.cosine_similarity(e[read], projected[read], dim=-1).mean()
    return Filtered(ctx[None].to(prompt.ctx), tuple(rows), settings.last_step(float(z)))


def triggers(sd: StableDiffusion, prompt: Prompt, settings: SAFREE | None = None) -> tuple[int, ...]:
    """The rows that SAFREE takes for carriers of the concept. prompt: what `suppress.prompt.encode` returns."""
    return filter_prompt(sd, prompt, settings or SAFREE()).triggers


@torch.no_grad()
def leave_one_out(sd: StableDiffusion, prompt: Prompt) -> Tensor:
    """(m,D): for each of the prompt's m words, the pooled encoding with another token in its place."""
    first_eot = prompt.eot[0]
    words = torch.arange(1, first_eot)
    ids = sd.token_ids(prompt.text).repeat(len(words), 1)
    ids[torch.arange(len(words)), words] = LEFT_OUT
    return sd.text_encoder(ids.to(sd.device))[:, first_eot]


def _sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))  # does not overflow
