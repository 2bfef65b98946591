"""SLD: "Safe Latent Diffusion" (Schramowski et al., CVPR 2023): guidance away from a concept, where the noise shows it.

    S = the UNet's prediction for the unwanted words;  ν_0 = 0;  for step i:
        μ = min(1, |s_S (c - S)|)  if  c - S < λ,  else 0         element by element, eq. 6
        γ = μ (S - ∅) + s_m ν                                     eq. 4 and 7
        ν <- β_m ν + (1 - β_m) γ                                  momentum, eq. 8; also in the warm-up
        ε = ∅ + w (c - ∅ - γ)   if i >= δ,   ∅ + w (c - ∅)   before   eq. 3; δ: the warm-up

∅, c and S are noise predictions. An element does not change if the prompt's prediction is already far above the
concept's; the others are pushed away from the concept. Each step costs one more context in the UNet. Unless λ is 0, μ
jumps at c - S = λ, so that two runs that round differently may differ in single elements.

The published δ belong to 50 steps. They are step numbers here too: in a run of fewer steps the warm-up is a larger
fraction, and a run of at most δ steps is only warm-up. The paper's concept is a list of unsafe things, separated by
commas; here it is the words to remove.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import check_prompt, number, one_of, shown, whole_number
from minisd.base.counted import counted

from ..edits.maps import Maps
from ..edits.momentum import Momentum
from ..edits.negative import unwanted
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run


class Constants(NamedTuple):
    warm_up: int  # δ, steps
    scale: float  # s_S
    threshold: float  # λ
    momentum: float  # s_m
    decay: float  # β_m


# From the paper's table of configurations, which the model card of stable-diffusion-safe repeats. diffusers'
# SafetyConfig has the same numbers, except that s_S of "weak" is 20. β_m of "weak" is not published; it has no effect,
# because s_m is 0.
PUBLISHED = {
    "weak": Constants(15, 200.0, 0.0, 0.0, 0.0),
    "medium": Constants(10, 1000.0, 0.01, 0.3, 0.4),
    "strong": Constants(7, 2000.0, 0.025, 0.5, 0.7),
    "max": Constants(0, 5000.0, 1.0, 0.5, 0.7),
}


@dataclass(frozen=True)
class SLD(Method):
    """A published set of constants. Each constant can also be set by itself; None keeps that of the set."""

    start: int | float = 0  # all steps; the guidance begins after the warm-up
    strength: Literal["weak", "medium", "strong", "max"] = "medium"  # the default of the authors' code
    concept: str = ""  # the unwanted words; empty: the prompt's targets, joined by ", "
    warm_up: int | None = None  # δ
    scale: int | float | None = None  # s_S; 0: no guidance
    threshold: int | float | None = None  # λ
    momentum: int | float | None = None  # s_m
    decay: int | float | None = None  # β_m, the weight of the old momentum

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("strength", self.strength, PUBLISHED)
        check_prompt(self.concept)
        if self.warm_up is not None:
            whole_number("warm_up", self.warm_up, 0)
        for name, least in (("scale", 0), ("threshold", -float("inf")), ("momentum", 0), ("decay", 0)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, number(name, getattr(self, name), least))
        if self.constants.decay > 1:
            raise UserError(f"decay = {shown(self.decay)}; expected a number from 0 to 1")

    @property
    def constants(self) -> Constants:
        published = PUBLISHED[self.strength]
        own = {name: getattr(self, name) for name in Constants._fields}
        return published._replace(**{name: value for name, value in own.items() if value is not None})

    @property
    def needs_words(self) -> bool:
        return False

    def remark(self, prompt: Prompt) -> str:
        warm_up = self.constants.warm_up
        if warm_up < self.steps:
            return ""
        return f"it changes nothing: the warm-up takes {counted(warm_up, 'step')} of {self.steps}"

    def edit(self, run: Run) -> Edit:
        return SLDEdit(self, run)


class SLDEdit(Edit):
    def __init__(self, settings: SLD, run: Run):
        super().__init__(run)
        self.constants = settings.constants
        self.acts_from = settings.constants.warm_up
        self.concept = unwanted(run, settings.concept)
        self.momentum = Momentum(self.constants.momentum, self.constants.decay)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, contexts=(*same.contexts, self.concept))

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        (uncond, cond, concept), c = eps, self.constants
        difference = cond - concept
        mu = torch.where(difference < c.threshold, (c.scale * difference).abs().clamp(max=1), 0)
        gamma = self.momentum(mu * (concept - uncond))
        return self.run.guide((uncond, cond - gamma if i >= c.warm_up else cond))
