"""Prompt-to-Prompt: attention maps of the original carry its layout to an edited prompt (Hertz et al. 2022).

"Prompt-to-Prompt Image Editing with Cross Attention Control". ĉ: context of the edited prompt; P, P̂: the maps of the
original and of the edited branch, after the softmax, in the pass with the prompt. For step i:

    cross, i < cross_until:   P̂ <- (P A + P̂ ∘ o) ∘ w          at every site
    self,  i < self_until:    P̂ <- P                           at the coarse sites
    blend:                    ẑ <- z + M (ẑ - z)               LocalBlend, suppress/edits/local_blend.py

A (77,77) says which row of ĉ takes its map from which row of c (suppress/edits/alignment.py). o is 1 where a column of
A is zero: new rows keep their own maps. w is `weight` for the rows in question and 1 for all others; nothing is
renormalised. The mode gives A and these rows:

    refine      words were added or taken out: equal tokens in the same order; w is for the new words
    replace     as many words, some of them others: word by word; w is for the words that differ
    reweight    the prompt stays, so A is the identity; w is for the target. A weight of -8 is what users of the time
                wrote to remove "fog" from "without fog"; a weight of 1 changes nothing

By default the target's phrase is taken out of the prompt (`refine`). The maps of the other words stay, and nothing
says what should be in the phrase's place: the thing appears as often as in training pictures that do not name it.

On the drawn world, `refine` removes glasses, hats, rain and styles from generated pictures and keeps the figure; with
LocalBlend the background stays too. More copied self maps (`pnp`) keep more, and sometimes the thing itself. A weight
of -8 removes a word only if all steps have it, and it damages what is near. From a real picture the thing goes too, but
at guidance 7.5 other parts change colour or shape, because only the maps hold them. `keep=1` takes much of this back.

UNet: 4 samples per step, as every method of two branches. Not here: other steps for single words (a dictionary as
`cross_replace_steps`), and words that are subtracted from the blend's mask. LocalBlend has a hard threshold. If a value
is very near to it, two engines that round differently may differ there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from minisd import Site, StableDiffusion, Tap, UserError, compose
from minisd.base.arguments import check_prompt, fraction, number, one_of, shown, step_number, whole_number
from minisd.config import CONTEXT

from ..edits.alignment import MOST, Alignment, refined, replaced
from ..edits.local_blend import LocalBlend
from ..edits.maps import Maps, map_spec
from ..edits.taps import MixMaps, ShareMaps
from ..prompt import Prompt, without_targets
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class PromptToPrompt(Method):
    """Settings, from the authors' notebook for generated pictures (prompt-to-prompt_stable).

    By default the edit has LocalBlend, which only some of the notebook's examples have: on the drawn world it changes
    half as much of the picture and removes as well. `official()` is without it.
    """

    start: int | float = 0  # all steps, as published
    mode: Literal["refine", "replace", "reweight"] = "refine"
    instead: str = ""  # the words that take the place of what is removed, in any prompt; empty: none
    text: str = ""  # the whole edited prompt, for one prompt; empty: the prompt with `instead` for the target
    # before this step, the cross maps are the original's: a step number (`steps` for all), or a fraction below 1, which
    # is of steps + 1; both from the code
    cross_until: int | float = 0.8
    self_until: int | float = 0.4  # the same for the self maps: a step number, or a fraction of the steps
    # the self maps of sites whose grid has at most 1/self_scale of the latents' side: 16 × 16 for SD at 512², from the
    # code. The notebook for null-text inversion has 2: 32 × 32
    self_scale: int = 4
    weight: float = 1.0  # w
    # θ of LocalBlend, from the code; None: no blend. Its words: the target in the original, and in the edited prompt
    # the rows that `weight` is for
    blend: float | None = 0.3
    blend_from: int | float = 0  # the first step with LocalBlend; .2 in the notebook for null-text inversion

    @classmethod
    def official(cls, **changes: Any) -> PromptToPrompt:
        """The notebook's first examples: cross maps for .8 of the steps, self maps up to 16 × 16 for .4, no blend."""
        return cls(**({"blend": None} | changes))

    @classmethod
    def reweight(cls, **changes: Any) -> PromptToPrompt:
        """The old trick: the target's maps × -8, in all steps. After the last weighted step the target comes back."""
        trick: dict[str, Any] = {"mode": "reweight", "weight": -8.0, "cross_until": changes.get("steps", cls.steps)}
        return cls(**(trick | {"blend": None} | changes))

    @classmethod
    def pnp(cls, **changes: Any) -> PromptToPrompt:
        """For real pictures: the settings with which PnP inversion (Ju et al. 2024) measures Prompt-to-Prompt.

        They are for its direct inversion, and the same for all inversions in its table. New words get the weight 2.
        """
        code: dict[str, Any] = {"cross_until": 0.4, "self_until": 0.6, "self_scale": 2, "weight": 2.0}
        return cls(**(code | {"blend_from": 0.2} | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("mode", self.mode, ("refine", "replace", "reweight"))
        for name in ("instead", "text"):
            check_prompt(getattr(self, name))
            if self.mode == "reweight" and getattr(self, name):
                raise UserError(f"{name} = {shown(getattr(self, name))} with mode=reweight, which keeps the prompt")
        if self.text and self.instead:
            raise UserError(f"text = {shown(self.text)} and instead = {shown(self.instead)}; expected one of them")
        if self.mode == "replace" and not (self.text or self.instead):
            raise UserError('mode=replace without new words; expected instead="WORDS" or text="EDITED PROMPT"')
        for name in ("cross_until", "self_until", "blend_from"):
            step_number(name, getattr(self, name), self.steps)
        whole_number("self_scale", self.self_scale, 1)
        object.__setattr__(self, "weight", number("weight", self.weight, -math.inf))
        if self.blend is not None:
            object.__setattr__(self, "blend", fraction("blend", self.blend))

    @property
    def cross_end(self) -> int:
        """The first step in which the edited branch has its own cross maps."""
        return step_number("cross_until", self.cross_until, self.steps + (self.cross_until < 1))

    def edited_text(self, prompt: Prompt) -> str:
        """The edited prompt."""
        return prompt.text if self.mode == "reweight" else self.text or without_targets(prompt, self.instead)

    def remark(self, prompt: Prompt) -> str:
        if self.mode == "reweight":
            return "weight = 1 changes nothing" if self.weight == 1 else f"weight = {self.weight:g}"
        return f"the edited prompt is {self.edited_text(prompt)!r}"

    def alignment(self, sd: StableDiffusion, prompt: Prompt) -> Alignment:
        """A, and the rows for the weight and the blend. UserError if the edited prompt is too long for the model."""
        text = self.edited_text(prompt)
        if self.mode == "reweight":
            return Alignment(torch.eye(CONTEXT), prompt.target)
        original, edited = sd.pieces(prompt.text), sd.pieces(text)
        if len(edited) > MOST and (self.text or self.instead):
            raise UserError(f"the edited prompt has {len(edited)} tokens, {MOST} fit: {shown(text)}; shorten it")
        if self.mode == "refine":
            return refined(original, edited, prompt.target)
        words, new_words = prompt.text.split(), text.split()
        if len(words) != len(new_words):
            raise UserError(
                f"mode=replace needs as many words in both prompts; {shown(prompt.text)} has {len(words)}, "
                f"{shown(text)} has {len(new_words)}. Use mode=refine, which takes any two prompts"
            )
        return replaced([sd.pieces(word) for word in words], [sd.pieces(word) for word in new_words])

    def edit(self, run: Run) -> Edit:
        return PromptToPromptEdit(self, run)


class PromptToPromptEdit(Edit):
    def __init__(self, settings: PromptToPrompt, run: Run):
        super().__init__(run)
        self.settings = settings
        found = {prompt: settings.alignment(run.sd, prompt) for prompt in dict.fromkeys(run.prompts)}
        self.ctx = run.per_prompt(lambda p: run.sd.encode_text(settings.edited_text(p)))  # ĉ (B,77,D)
        matrix = run.per_prompt(lambda p: found[p].matrix[None])  # A (B,77,77)
        new = run.per_prompt(lambda p: one_hot(found[p].new))  # (B,77)
        own, weight = (matrix.sum(dim=1) == 0).float(), 1 + (settings.weight - 1) * new
        device = run.ctx.device
        self.cross = MixMaps((matrix * weight[:, None]).to(device), (own * weight).to(device))
        self.self_ = ShareMaps(None, self.shares_self)
        self.local: LocalBlend | None = None
        if settings.blend is not None:
            rows = torch.cat([run.per_prompt(lambda p: one_hot(p.target)), new]).to(device)
            z = run.start.z
            self.local = LocalBlend(rows, z, map_spec(run.sd, z), settings.blend)
        self.cross_end = settings.cross_end
        self.self_end = step_number("self_until", settings.self_until, settings.steps)
        self.blend_start = step_number("blend_from", settings.blend_from, settings.steps)

    def shares_self(self, site: Site) -> bool:
        return site.kind == "self" and site.scale >= self.settings.self_scale

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        taps: list[Tap] = [self.cross] if i < self.cross_end else []
        taps += [self.self_] if i < self.self_end else []
        taps += [self.local] if self.local else []  # it sees the maps that the others left, as in the code
        return replace(same, contexts=(same.contexts[0], self.ctx), tap=compose(*taps) if taps else None)

    def blend(self, i: int, z: Tensor, original: Tensor) -> Tensor:
        return self.local.blend(z, original) if self.local and i >= self.blend_start else z

    def changed(self) -> Tensor | None:
        return self.local.mask().float() if self.local else None


def one_hot(rows: tuple[int, ...]) -> Tensor:
    """(1,77): 1 at the rows, else 0."""
    hot = torch.zeros(1, CONTEXT)
    hot[:, list(rows)] = 1
    return hot
