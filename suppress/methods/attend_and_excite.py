"""Attend-and-Excite (Chefer et al., SIGGRAPH 2023): the latents move until every named word has pixels that see it.

It is the opposite of removal: its words are those of --strengthen, which the model left out. It mirrors MagicRemover
(suppress/methods/magic_remover.py), as the variant `strengthen` mirrors soft weighting. `strengthen` changes the
context once; this method moves the latents of each step. For step i from R to stop - 1,

    Ā     = the mean cross map of a scale                          (h·w pixels × 77 rows)
    Ã     = softmax(100 Ā) without [SOT] and the last row;  each word's map smoothed by a Gaussian of 3 × 3
    L(ẑ)  = max over words (1 - max over pixels Ã)                 suppress/edits/energy.py
    η_i   = scale √f_i,  f falls linearly over the steps from 1 to 1/2
    at a refined step, `refinements` times:  ẑ <- ẑ - η_i ∇L(ẑ)  if L > 1 - its threshold
    ẑ <- ẑ - η_i ∇L(ẑ)                                             then the step itself, with the unedited prompt

A word of several pieces, or a phrase ("red scarf"), is its last row. The refined steps are 0, 10 and 20 of 50 with the
thresholds .05, .5 and .8, as fractions of the steps. scale = 0 changes nothing.

Differences from the authors' code (yuval-alaluf/Attend-and-Excite, commit 15c30b1): the code stops the refinement one
descent after its threshold is reached; here it stops at once, and the step's own descent follows. The code runs two
more passes in each refinement, which nobody reads. Here the passes of a refinement run to the end also if the threshold
is reached, so that no step waits for a number from the GPU.

On the drawn world (25 steps), "a man and a woman" draws only the man with seed 3: DetScore of the woman .00, here .59,
with `strengthen` 1.00. With "a dog and a cat" both draw the dog alone: no picture of that world has two subjects.
Words that are seen stay as they are (SSIM .99). The maps of 4 × 4, a quarter of the latents' side, work; on those of 16
× 16 (resolution=16) hardly anything moves.

UNet passes: those of plain guidance, and with a gradient 1 for each step to `stop` and `refinements` for each refined
step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import number, step_number, whole_number

from ..edits.energy import neglect
from ..edits.ito import gradient_scale
from ..edits.maps import Maps, map_grid, map_spec
from ..prompt import Prompt, place_rows
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

# where refinement happens, as a fraction of the steps -> the attention that each word is to reach; from the code
THRESHOLDS = {0.0: 0.05, 0.2: 0.5, 0.4: 0.8}


@dataclass(frozen=True)
class AttendAndExcite(Method):
    """Settings. The default is the authors' code."""

    start: int | float = 0  # all steps; from the code
    stop: int | float = 0.5  # the first step without descent: 25 of 50; from the code
    scale: float = 20.0  # of η; from the code
    refinements: int = 20  # descents at most, at each refined step; from the code
    # the maps whose grid has this side; None: a quarter of the latents' side, which is the code's 16 for SD at 512²
    resolution: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        step_number("stop", self.stop, self.steps)
        object.__setattr__(self, "scale", number("scale", self.scale))
        whole_number("refinements", self.refinements, 0)
        if self.resolution is not None:
            whole_number("resolution", self.resolution, 2)

    @property
    def moved(self) -> range:
        """The steps with a descent."""
        return range(self.start_step, step_number("stop", self.stop, self.steps))

    @property
    def refined(self) -> dict[int, float]:
        """Step -> the attention that each word is to reach there."""
        return {step_number("threshold", at, self.steps): reach for at, reach in THRESHOLDS.items()}

    def step_length(self, i: int) -> float:
        """η_i"""
        f = 1 - 0.5 * i / (self.steps - 1) if self.steps > 1 else 1.0
        return self.scale * math.sqrt(f)

    def remark(self, prompt: Prompt) -> str:
        return "" if self.moved else f"it changes nothing: the descents would end before step {self.moved.stop}"

    def edit(self, run: Run) -> Edit:
        return AttendAndExciteEdit(self, run)


class AttendAndExciteEdit(Edit):
    def __init__(self, settings: AttendAndExcite, run: Run):
        super().__init__(run)
        self.settings = settings
        self.spec = map_spec(run.sd, run.start.z, settings.resolution)
        self.grid = map_grid(run.start.z, self.spec.scale)
        if min(self.grid) < 2:
            raise UserError(f"maps of {self.grid[0]} × {self.grid[1]}; expected 2 × 2 or more: draw a larger picture")
        self.words = [[rows[-1] for rows in place_rows(run.sd, prompt.request)] for prompt in run.prompts]

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        z, settings = same.z, self.settings
        if i in settings.refined:
            for _ in range(settings.refinements):
                z = self._descend(i, z, least=1 - settings.refined[i])
        if i in settings.moved:
            z = self._descend(i, z)
        return replace(same, z=z)

    def _descend(self, i: int, z: Tensor, least: float = 0.0) -> Tensor:
        """z (B,4,h,w) after one descent, in the samples whose loss is above `least`."""
        run, scale = self.run, gradient_scale(self.run.sd.dtype)
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            loss = neglect(run.read_maps(i, leaf, run.ctx, self.spec).cross, self.grid, self.words)  # (B,)
            (gradient,) = torch.autograd.grad(scale * loss.sum(), leaf)
        step = torch.where(loss > least, self.settings.step_length(i) / scale, 0)
        return z - step.to(z)[:, None, None, None] * gradient
