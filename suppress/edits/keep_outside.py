"""What an edit does not concern stays as it was: outside a mask, the edited latents are pulled back to the original.

    d   = Σ_i mean over channels of |ε̂_i(ẑ) - ε_i(ẑ)|,   over the first steps from R on
    M   = 1 where d, smoothed and scaled to [0,1], is above θ, and one latent pixel around; else 0
    ẑ  <- ẑ + r (1 - M) (z* - ẑ)   after each step;   M = 0 before R, where nothing is edited

ε̂: the edit's guided noise, ε: the guided noise of the plain prompt at the same latents, so d says where the edit
disagrees with the prompt (DiffEdit, Couairon et al. 2022, section 3.2, which noises a picture for it). z*: the pivots
of an inverted picture, else the original branch (the latent blend of Prompt-to-Prompt, Hertz et al. 2022, and of
ProxEdit, Han et al. 2024). r: `Method.keep`. If the user gave a mask, it takes the place of M.

Cost: two more contexts in each measured step, so 4 UNet samples. They are computed with the model's own weights, even
if the edit has others.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..protocol import Edit, Inputs
from .maps import Maps
from .masks import above, latent_mask
from .wrapped import Wrapped

MEASURED = 2  # steps from R on in which d is measured
THRESHOLD = 0.3  # θ


class KeepOutside(Wrapped):
    def __init__(self, edit: Edit):
        super().__init__(edit)
        settings, start = edit.run.settings, edit.run.start
        self.rate, self.begin = settings.keep, settings.start_step
        self.given = None if start.mask is None else latent_mask(start.mask, start.z)
        self.difference = torch.zeros_like(start.z[:, :1], dtype=torch.float32)  # d so far, (B,1,h,w)
        self.contexts = 0  # of the inner edit at this step
        self.plain: tuple[Tensor, ...] = ()  # noise of (∅, c), if it was not predicted together with the edit's

    def measures(self, i: int) -> bool:
        return self.given is None and self.begin <= i < self.begin + MEASURED

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        edited = super().inputs(i, same, original, maps)
        self.contexts = len(edited.contexts)
        if not self.measures(i):
            return edited
        if self.unet is not None:
            t = self.run.schedule.t[i]
            self.plain = tuple(self.run.sd.unet(edited.z, t, ctx) for ctx in same.contexts)
            return edited
        return replace(edited, contexts=(*edited.contexts, *same.contexts))

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        noise = super().combine(i, eps[: self.contexts])
        if self.measures(i):
            plain = self.run.guide(self.plain or eps[self.contexts :])
            self.difference = self.difference + (noise - plain).abs().mean(dim=1, keepdim=True)
        return noise

    def blend(self, i: int, z: Tensor, original: Tensor) -> Tensor:
        pivots = self.run.start.pivots
        goal = original if pivots is None else pivots[i + 1]
        z = super().blend(i, z, original)
        return torch.lerp(z, goal, self.rate * (1 - self.mask(i)).to(z.dtype))  # exact for the weights 0 and 1

    def changed(self) -> Tensor:
        return self.mask(len(self.run.schedule) - 1)

    def mask(self, i: int) -> Tensor:
        """M (B,1,h,w)"""
        if i < self.begin:
            return torch.zeros_like(self.difference)
        return self.given if self.given is not None else above(self.difference, THRESHOLD)
