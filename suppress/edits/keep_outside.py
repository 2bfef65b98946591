"""What an edit does not concern stays as it was: outside a mask, the edited latents are pulled back to the original.

    d   = Σ_i mean over channels of |ε̂_i(ẑ) - ε_i(ẑ)|,   over the first steps from R on
    M   = the smallest set of latents that holds a share q of Σ d², with d smoothed, and one latent around
    ẑ  <- ẑ + r (1 - M) (z* - ẑ)   after the steps before R, where M = 0, and after those from `FROM` on

ε̂: the edit's guided noise, ε: the guided noise of the plain prompt at the same latents, so d says where the edit
disagrees with the prompt (DiffEdit, Couairon et al. 2022, section 3.2, which noises a picture for it). z*: the pivots
of an inverted picture, else the original branch (the latent blend of Prompt-to-Prompt, Hertz et al. 2022, and of
ProxEdit, Han et al. 2024). r: `Method.keep`. If the user gave a mask, it takes the place of M.

The share adapts to the target: d of glasses is large in a small place, that of a style is large everywhere. From R to
`FROM` the edit is free, because what stands around a thing (a beard's face) otherwise draws it again; after the last
step, everything outside M is z* all the same. Two latents with nearly the same d can be in M for one engine and outside
for another. A method that does nothing in the measured steps, as SLD in its warm-up, has d = 0 there and an empty M, so
that nothing is edited: give it a mask, or no `keep`.

Cost: two more contexts in each measured step, so 4 UNet samples. They are computed with the model's own weights, even
if the edit has others.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..protocol import Edit, Inputs
from .maps import Maps
from .masks import largest, latent_mask
from .wrapped import Wrapped

MEASURED = 2  # steps from R on in which d is measured; more steps cost more samples
# These two were chosen with Unread on 16 drawn pictures (world seeds from 1000, 15 steps), which no table has. For the
# local targets they give a DetScore of .18 and 21.8 dB outside; q = .9 gives .10 and 20.5 dB, FROM = 0 gives .29 and
# 21.6 dB. A threshold at .3 of the maximum of d, tried with FROM = 0 alone, gives .19 and 21.0 dB.
SHARE = 0.8  # q
FROM = 0.4  # fraction of the steps


class KeepOutside(Wrapped):
    def __init__(self, edit: Edit):
        super().__init__(edit)
        settings, start = edit.run.settings, edit.run.start
        self.rate = settings.keep
        self.begin = max(settings.start_step, start.begin)  # the first step of the edit
        self.free_until = int(FROM * settings.steps)
        self.difference = torch.zeros_like(start.z[:, :1], dtype=torch.float32)  # d so far, (B,1,h,w)
        self.given = start.mask is not None
        # M (B,1,h,w), from step R on: the user's, or what d so far gives
        self.mask = self.difference if start.mask is None else latent_mask(start.mask, start.z)
        self.contexts = 0  # of the inner edit at this step
        self.plain: tuple[Tensor, ...] = ()  # noise of (∅, c), if it was not predicted together with the edit's

    def measures(self, i: int) -> bool:
        return not self.given and self.begin <= i < self.begin + MEASURED

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
            self.mask = largest(self.difference, SHARE)
        return noise

    def blend(self, i: int, z: Tensor, original: Tensor) -> Tensor:
        z = super().blend(i, z, original)
        if self.begin <= i < self.free_until:
            return z
        outside = 1 - self.mask if i >= self.begin else torch.ones_like(self.mask)
        # lerp is exact for the weights 0 and 1
        return torch.lerp(z, self.run.start.picture(i + 1, original), self.rate * outside.to(z.dtype))

    def changed(self) -> Tensor:
        return self.mask
