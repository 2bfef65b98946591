"""Rules of negative guidance with three predictions, each from its paper: ε = e_∅ + g.

    p = e_c - e_∅,   q = e_n - e_∅       e_∅, e_c, e_n: the noise for the empty prompt, the prompt, the unwanted words
    original           g = w p                                  classifier-free guidance
    composable-not     g = w (p - a q)                          Liu et al., ECCV 2022: NOT, with a = 1
    signed             g = w p - w_n q                          the same with a weight of its own
    perp-neg           g = w (p - a (q - <q,p>/<p,p> p))        Armandpour et al. 2023, arXiv 2304.04968
    contrastive-cfg    g = w (λ⁺ p - a λ⁻ q)                    Chang et al. 2024, arXiv 2411.17077
    sega               g = w p - γ(s M q)                       Brack et al., NeurIPS 2023, in reverse
    crg                g = w (p - λ₀ max(0, CP - τ)/(K <q,q>) q)   Choi et al., ICML 2026, arXiv 2606.29801

Inner products and norms are over the latents of one sample. Each class says what its letters are, and where code and
paper differ. With weight 0, every rule is the original to the bit. The negative prompt, which has only two predictions,
and SLD are in files of their own.

Each step costs one more context: 250 UNet samples for both branches at 50 steps.

What they cannot do: while the prompt names the thing, all of them work against their own prompt. On the drawn world
(glasses, hat and beard, 3 seeds each, 15 steps) composable-not then removes 6 of 9 things, with a = 1.5 all of them,
perp-neg 1, and the others none. Without the words in the prompt (word="cut") composable-not removes all 9; but so does
weight 0. Both composable-not with a = 1.5 and with word="cut" change more of the picture than this deletion does (SSIM
.43 and .42 instead of .54).

When: for Stable Diffusion, Ban et al. (ECCV 2024) find that a negative begins to act at about .2 of the steps, and that
one that acts only earlier can create the thing, because there is nothing yet to push away from ("reverse activation").
On the drawn world neither was seen. From R = .2 on, composable-not removes none of the 9, because the thing was laid
out before. With word="cut", a hat, earrings and a scarf (5 seeds each, 12 steps) never appear, whether composable-not
acts in all steps, in the first quarter of them, or not at all.

Not here: Dynamic Negative Guidance (Koulischer et al., ICLR 2025). Its weight is a posterior that it updates with the
noise that each step adds, σ_t; the DDIM steps of this project add none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import fraction, number, one_of, shown, whole_number
from minisd.base.counted import counted

from ..edits.maps import Maps
from ..edits.masks import top
from ..edits.momentum import Momentum
from ..edits.negative import Negative, unwanted
from ..prompt import Prompt
from ..protocol import Edit, Inputs

if TYPE_CHECKING:
    from ..loop import Run

Rule = Callable[[int, Tensor, Tensor], Tensor]  # (step i, p, q) -> g, (B,4,h,w) each


def dot(a: Tensor, b: Tensor) -> Tensor:
    """<a,b> of each sample, (B,1,1,1), in float32: half precision cannot hold the sum."""
    return (a.float() * b.float()).sum(dim=(1, 2, 3), keepdim=True)


@dataclass(frozen=True)
class GuidanceRule(Negative):
    """A method that is one equation: `rule` makes the function (i, p, q) -> g of one batch, with its state if any."""

    weight: float = 1.0  # a; 0 changes nothing

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "weight", number("weight", self.weight, -math.inf))

    def rule(self, w: float) -> Rule:
        """w: the guidance of the prompt."""
        raise NotImplementedError(f"{type(self).__name__}.rule")

    @property
    def acts_from(self) -> int:
        """The first step in which the edited branch can differ from the original, if this is later than R."""
        return 0

    def edit(self, run: Run) -> Edit:
        return RuleEdit(self, run)


class RuleEdit(Edit):
    """The edited branch has three contexts (∅, c, n), and the rule makes one noise out of their predictions."""

    def __init__(self, settings: GuidanceRule, run: Run):
        super().__init__(run)
        self.settings, self.rule, self.acts_from = settings, settings.rule(settings.guidance), settings.acts_from
        self.prompted, self.unwanted = settings.prompted(run), unwanted(run, settings.concept)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        contexts = same.contexts[0], self.prompted
        return replace(same, contexts=(*contexts, self.unwanted) if self.settings.acts(i) else contexts)

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        if not self.settings.acts(i):
            return self.run.guide(eps)
        uncond, cond, negative = eps
        return uncond + self.rule(i, cond - uncond, negative - uncond)


# ---------------------------------------------------------------------- the rules


@dataclass(frozen=True)
class ComposableNot(GuidanceRule):
    """g = w (p - a q): the operator NOT of Composable Diffusion. a = 1 is the paper's."""

    def rule(self, w: float) -> Rule:
        return lambda i, p, q: w * (p - self.weight * q)


@dataclass(frozen=True)
class Signed(GuidanceRule):
    """g = w p - w_n q. Composable Diffusion's code gives each text a weight; a negative one is this rule."""

    weight: float = 5.0  # w_n, which does not depend on w. Nobody published one; 5 is SEGA's s

    def rule(self, w: float) -> Rule:
        return lambda i, p, q: w * p - self.weight * q


@dataclass(frozen=True)
class PerpNeg(GuidanceRule):
    """g = w (p - a q⊥), q⊥ = q - <q,p>/<p,p> p: only what is orthogonal to the prompt's own direction is taken away.

    The authors' code sums <q,p> and <p,p> over the whole tensor, the batch included; its pipeline draws one picture at
    a time. Here each sample has its own, so that a picture does not depend on its batch.
    """

    weight: float = 1.5  # a; from the README's examples

    def rule(self, w: float) -> Rule:
        def g(i: int, p: Tensor, q: Tensor) -> Tensor:
            along = dot(q, p) / dot(p, p).clamp_min(TINY)
            return w * (p - self.weight * (q - along.to(p) * p))

        return g


TINY = 1e-20  # instead of a division by 0, where two predictions are equal
SD_ELEMENTS = 4 * 64 * 64  # of the latents of SD at 512 × 512 pixels


@dataclass(frozen=True)
class ContrastiveCFG(GuidanceRule):
    """g = w (p + a ((λ⁺ - 1) p - λ⁻ q)): the negative fades as soon as the picture is far from it.

        λ⁺ = 2 / (1 + e^(-τ |p|²)),    λ⁻ = 2 / (1 + e^(τ |q|²))

    The code sums |·|² over the latents, so that its effect depends on the picture's size. `official()` is this form.
    Here |·|² is the mean times `elements`: for SD at 512² that is the same, and other sizes have the same effect.
    On the drawn world at 128², τ |q|² then is about 1 in the middle steps, and .06 as published.

    λ⁺ grows to 2, which doubles w; positive="plain" leaves it at 1 (the flag `naive_positive_cfg` of the code, whose
    command line does not start because of a typing error in this flag). a = 1 is published for both.
    """

    tau: float = 0.2  # τ; from the code
    elements: int | None = SD_ELEMENTS  # this project's calibration; None: the plain sum, as published
    positive: Literal["plain", "contrastive"] = "plain"  # λ⁺; published: "contrastive"

    @classmethod
    def official(cls, **changes: Any) -> ContrastiveCFG:
        """The default of the authors' code, which is the paper's form: the plain sum, and λ⁺."""
        return cls(**({"elements": None, "positive": "contrastive"} | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tau", number("tau", self.tau))
        if self.elements is not None:
            whole_number("elements", self.elements, 1)
        one_of("positive", self.positive, ("plain", "contrastive"))

    def exponent(self, x: Tensor) -> Tensor:
        """τ |x|² of each sample, (B,1,1,1)."""
        return self.tau * dot(x, x) * (1 if self.elements is None else self.elements / x[0].numel())

    def rule(self, w: float) -> Rule:
        def g(i: int, p: Tensor, q: Tensor) -> Tensor:
            negative = 2 * torch.sigmoid(-self.exponent(q)).to(q) * q
            more = (2 * torch.sigmoid(self.exponent(p)).to(p) - 1) * p if self.positive == "contrastive" else 0
            return w * (p + self.weight * (more - negative))

        return g


@dataclass(frozen=True)
class Sega(GuidanceRule):
    """g = w p - γ, from the end of the warm-up on; γ: s M q with momentum (suppress/edits/momentum.py).

    M is 1 in the elements of q whose size reaches the quantile λ of their channel, and 0 elsewhere. This is SEGA with
    `reverse_editing_direction`. SLD has the same momentum; LEDITS++ has one mask for all channels, and a map as well.
    M has hard edges: two runs that round differently may differ in single elements.
    """

    weight: float = 5.0  # s; from the code, as all constants here
    threshold: float = 0.9  # λ
    warm_up: int = 10  # steps that build up the momentum but do not guide; it belongs to 50 steps
    momentum: float = 0.1  # s_m
    decay: float = 0.4  # β, the weight of the old momentum

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "momentum", number("momentum", self.momentum, -math.inf))
        for name in ("threshold", "decay"):
            object.__setattr__(self, name, fraction(name, getattr(self, name)))
        whole_number("warm_up", self.warm_up, 0)

    @property
    def acts_from(self) -> int:
        return self.warm_up if self.word == "kept" else 0

    def rule(self, w: float) -> Rule:
        momentum = Momentum(self.momentum, self.decay)

        def g(i: int, p: Tensor, q: Tensor) -> Tensor:
            gamma = momentum(self.weight * top(q.float().abs(), self.threshold).to(q) * q)
            return w * p - gamma if i >= self.warm_up else w * p

        return g

    def remark(self, prompt: Prompt) -> str:
        if self.warm_up >= self.steps:
            return f"it changes nothing: the warm-up takes {counted(self.warm_up, 'step')} of {self.steps}"
        return super().remark(prompt)


@dataclass(frozen=True)
class CRG(GuidanceRule):
    """Concept Removal Guidance: only as much is taken away as brings the presence CP of the concept down to τ.

        b  = |e_c - e_∅|² - |e_c - e_n|² = 2 <p,q> - <q,q>      > 0: the prediction is nearer to the concept's
        CP = K b / 2 + κ Σ b of the steps before
        g  = w (p - λ₀ max(0, CP - τ) / (K <q,q>) q)

    With λ₀ = 1, b of the corrected prediction gives CP = τ exactly. There is no code, and only these equations could be
    read. Not known are the constants K, κ and τ; whether the rule is applied to e_c, as here, or to the guided noise;
    and whether Σ has b of the corrected predictions, as here. Only κ/K and τ/K matter. For τ = 0 the size of the
    latents does not matter. A τ below 0 asks for more than is there: in the first steps <q,q> is nearly 0, and the
    correction becomes huge.
    """

    sharpness: float = 1.0  # K; not known
    evidence: float = 0.5  # κ; not known. K/2 counts all steps alike, 0 forgets the earlier ones
    threshold: float = 0.0  # τ; not known. 0: as near to the empty prompt's prediction as to the concept's

    def __post_init__(self) -> None:
        super().__post_init__()
        if number("sharpness", self.sharpness) == 0:
            raise UserError(f"sharpness = {shown(self.sharpness)}; expected a number above 0")
        object.__setattr__(self, "evidence", number("evidence", self.evidence))
        object.__setattr__(self, "threshold", number("threshold", self.threshold, -math.inf))

    def rule(self, w: float) -> Rule:
        total: Tensor | float = 0.0  # κ Σ b so far

        def g(i: int, p: Tensor, q: Tensor) -> Tensor:
            nonlocal total
            pq, qq = dot(p, q), dot(q, q)
            presence = self.sharpness / 2 * (2 * pq - qq) + total
            amount = self.weight * (presence - self.threshold).clamp_min(0) / (self.sharpness * qq).clamp_min(TINY)
            total = total + self.evidence * (2 * (pq - amount * qq) - qq)
            return w * (p - amount.to(q) * q)

        return g
