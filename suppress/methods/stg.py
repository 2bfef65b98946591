"""STG: "Safe Text Embedding Guidance" (NeurIPS 2025, arXiv 2510.24012): ITO with a loss on the picture, not on maps.

    ĉ = c;  for step i from R to stop - 1:
        x = VAE decode of  (ẑ - √(1-ᾱ) ε̂(ẑ, ĉ)) / √ᾱ          the picture that this step expects
        if g(x) > τ:   ĉ <- ĉ - ρ ∇_ĉ g(x) / |∇_ĉ g(x)|        the gradient of all 77 rows together; ĉ is carried on

g is how clearly the judge sees the targets (suppress/edits/judges.py); in the paper it is the score of a detector of
unsafe things, or a difference of CLIP scores. The code's optional pull to the old c is left out. ε̂ is the guided noise.

**It descends on its judge, so this judge says nothing about the result.** Read it under a second judge only. The
default judge is CLIP, so that DetScore is a fair one; with judge="detector", read the CLIP score. `descends_on` names
the judge; the command line and the table of `suppress eval` tell it.

UNet passes of each guided step: 2 more, one of them with its gradient, and the VAE's decoder with its gradient. ρ = 0
changes nothing. "Above τ" is a hard threshold: where g is close to it, two runs that round differently may differ. The
gradient is scaled to the length ρ, so that where g hardly depends on ĉ, rounding decides its direction.

On the drawn world (four prompts × 2 seeds, 25 steps) this is what happens: the CLIP score falls on all four prompts but
one, and DetScore stays 1.00 for glasses and .99 for a beard, and is .64 for snow and .26 for "van gogh". ρ = 2 removes
the snow (.01) and damages the pictures. A picture that CLIP does not see glasses in is not a picture without glasses.
The detector is fooled as well: with it as the judge and ρ = 2, DetScore is .01 and the faces are blots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from minisd import ddim
from minisd.base.arguments import number, one_of, step_number

from ..edits.ito import gradient_scale
from ..edits.maps import Maps
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

SCORES = {"clip": "CLIP score", "detector": "DetScore"}  # judge -> the score that is not fair any more


@dataclass(frozen=True)
class STG(Method):
    """Settings. The default is the authors' code with CLIP as the judge."""

    start: int | float = 0.1  # the first guided step: 5 of 50; from the code
    stop: int | float = 0.9  # the first step after the guidance: 45 of 50; from the code
    step_size: float = 0.5  # ρ; from the code
    threshold: float = 0.01  # τ; from the code
    judge: Literal["clip", "detector"] = "clip"  # g; the code has both

    def __post_init__(self) -> None:
        super().__post_init__()
        step_number("stop", self.stop, self.steps)
        object.__setattr__(self, "step_size", number("step_size", self.step_size))
        object.__setattr__(self, "threshold", number("threshold", self.threshold, -float("inf")))
        one_of("judge", self.judge, SCORES)

    @property
    def descends_on(self) -> str:
        return SCORES[self.judge]

    @property
    def guided(self) -> range:
        """The steps with guidance."""
        return range(self.start_step, step_number("stop", self.stop, self.steps))

    def remark(self, prompt: Prompt) -> str:
        if not self.guided:
            return f"it changes nothing: guidance would end before step {self.guided.stop}"
        other = SCORES["detector" if self.judge == "clip" else "clip"]
        return f"it descends on the {self.descends_on}, so judge it by the {other}"

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        return STGEdit(self, run)


class STGEdit(Edit):
    def __init__(self, settings: STG, run: Run):
        from ..edits.judges import clip_judge, detector_judge  # they import detectors

        super().__init__(run)
        self.settings = settings
        self.ctx = run.ctx.float()  # ĉ (B,77,D): in half precision, small steps would be lost in rounding
        self.judge = (clip_judge if settings.judge == "clip" else detector_judge)(run.sd, run.prompts)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        if i in self.settings.guided:
            self.ctx = self._descend(i, same.z, same.contexts[0])
        return replace(same, contexts=(same.contexts[0], self.ctx))

    def _descend(self, i: int, z: Tensor, uncond: Tensor) -> Tensor:
        """ĉ after one step of length ρ, in the samples that show their targets."""
        run, scale = self.run, gradient_scale(self.run.sd.dtype)
        eps_uncond = run.show(i, z, uncond)
        with torch.enable_grad():
            leaf = self.ctx.detach().requires_grad_()
            eps = run.guide((eps_uncond, run.show(i, z, leaf)))
            z0 = ddim.move(z, eps, run.schedule.alpha[i], 1.0)
            seen = self.judge(run.sd.vae.decode(z0.to(run.sd.dtype)).float())  # g (B,)
            (gradient,) = torch.autograd.grad(scale * seen.sum(), leaf)
        length = gradient.flatten(1).norm(dim=1).clamp(min=torch.finfo(gradient.dtype).tiny)
        step = torch.where(seen > self.settings.threshold, self.settings.step_size / length, 0)
        return self.ctx - step.to(gradient)[:, None, None] * gradient
