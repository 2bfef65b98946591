"""What an edit does not concern stays as it was: outside a mask, the edited latents are pulled back to the original.

    d   = Σ_i mean over channels of |ε̂_i(ẑ) - ε_i(ẑ)|,   over the first two steps in which the edit acts
    a   = Σ_i cross maps of the target's rows in the original branch, over the same steps, scaled to [0,1]; then a/.3,
          and at most 1
    ρ   = mean(d²)² / mean(d⁴)
    M   = the smallest set of latents that holds the share q of Σ d² a^(1-ρ), and one latent around it
    q   = ρ^¼, and at least .7
    ẑ  <- ẑ + r (1 - M) (z* - ẑ)   after each step

ε̂: the edit's guided noise, ε: the guided noise of the plain prompt at the same latents, so d says where the edit
disagrees with the prompt (DiffEdit, Couairon et al. 2022, section 3.2, which noises a picture for it); a says where the
prompt puts the target (Prompt-to-Prompt's LocalBlend, Hertz et al. 2022). z*: the pivots of an inverted picture, else
the original branch. r: `Method.keep`. If the user gave a mask, it takes the place of M.

ρ is the part of the picture that d covers (the participation ratio of d²). For glasses it is about .1: M is then small,
and not where the target's map is low. For a style it is nearly 1: the map does not count, and M is nearly the whole
picture. Weather is between the two. Two latents with nearly the same weight can be in M for one engine and outside for
another.

Until `FROM`, one more latent around M is free, and nothing is pulled back before M is known: what stands around a thing
(a beard's face) would draw it again. In an inverted picture the latents hold the thing from the first step on, so there
the whole edit is free until `FROM`.

The constants were chosen with Unread on prompts of this project's own, not on those of `suppress eval`. With a smaller
M (no latent around it) more of the picture stays, but hats do too: what M misses of a hat draws the rest again. Pieces
that M misses, such as the end of a brim, stay in the picture.

Cost: one more context in each measured step, so 2 UNet samples; 4 if the edit changes the other half of the guidance
too. They are computed with the model's own weights, even if the edit has others.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import Part, Site, Tap, compose

from ..prompt import Prompt
from ..protocol import Edit, Inputs
from .energy import normalised
from .maps import Maps, map_grid
from .masks import coverage, dilate, largest, latent_mask, smooth
from .wrapped import Wrapped

MEASURED = 2  # steps in which d and a are measured; more steps cost more samples
SHARE = 0.7  # the least q
ENOUGH = 0.3  # where a, scaled, is at least this, it does not count
LEAST_SIDE = 8  # the side of the coarsest maps in a: coarser ones have no places
FROM = 0.4  # fraction of the steps


class KeepOutside(Wrapped):
    def __init__(self, edit: Edit):
        super().__init__(edit)
        run, start = edit.run, edit.run.start
        self.rate = run.settings.keep
        self.begin = max(run.settings.start_step, start.begin)  # the first step of the edit
        self.measured_from = max(self.begin, edit.acts_from)
        self.difference = torch.zeros_like(start.z[:, :1], dtype=torch.float32)  # d so far, (B,1,h,w)
        self.heat = TargetHeat(run.per_prompt(target_rows), start.z)  # a
        self.given = start.mask is not None
        # M (B,1,h,w), once it is known
        self.mask = self.difference if start.mask is None else latent_mask(start.mask, start.z)
        known = self.begin if self.given else self.measured_from + MEASURED - 1
        self.tight_from = int(FROM * run.settings.steps)
        self.blended_from = known if start.pivots is None else max(known, self.tight_from)
        self.contexts = 0  # of the inner edit at this step
        self.plain: tuple[Tensor, ...] = ()  # the plain predictions, if the edit has other weights
        self.shares_empty = False  # whether the edit left the half of the guidance without a prompt as it is

    def measures(self, i: int) -> bool:
        return not self.given and self.measured_from <= i < self.measured_from + MEASURED

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        edited = super().inputs(i, same, original, maps)
        self.contexts = len(edited.contexts)
        if not self.measures(i):
            return edited
        watching = Part(self.heat, slice(self.run.batch))
        edited = replace(edited, tap=watching if edited.tap is None else compose(edited.tap, watching))
        if self.unet is not None:
            self.plain = tuple(self.run.show(i, edited.z, ctx) for ctx in same.contexts)
            return edited
        self.shares_empty = edited.contexts[0] is same.contexts[0] and edited.tap_uncond is None
        return replace(edited, contexts=(*edited.contexts, *same.contexts[self.shares_empty :]))

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        noise = super().combine(i, eps[: self.contexts])
        if self.measures(i):
            further = eps[self.contexts :]
            plain = self.plain or ((eps[0], *further) if self.shares_empty else further)
            self.difference = self.difference + (noise - self.run.guide(plain)).abs().mean(dim=1, keepdim=True)
            self.mask = self.found()
        return noise

    def found(self) -> Tensor:
        """M (B,1,h,w) of what was measured so far."""
        d = smooth(self.difference)
        covered = coverage(d)  # ρ (B,1,1,1)
        weights = d.square() * (self.heat.scaled() / ENOUGH).clamp(max=1) ** (1 - covered)
        return dilate(largest(weights, (covered**0.25).clamp(min=SHARE)), 1)

    def blend(self, i: int, z: Tensor, original: Tensor) -> Tensor:
        z = super().blend(i, z, original)
        if self.begin <= i < self.blended_from:
            return z
        inside = self.mask if i >= self.begin else torch.zeros_like(self.mask)
        if self.begin <= i < self.tight_from and not self.given:
            inside = dilate(inside, 1)
        # lerp is exact for the weights 0 and 1
        return torch.lerp(z, self.run.start.picture(i + 1, original), self.rate * (1 - inside).to(z.dtype))

    def changed(self) -> Tensor:
        return self.mask


class TargetHeat(Tap):
    """Adds up the cross maps of some rows over fine sites. It changes nothing. rows (B,77): 1 for these rows, else 0.

    z (B,4,h,w): latents, for their shape.
    """

    def __init__(self, rows: Tensor, z: Tensor):
        self.rows, self.z = rows[:, None].float(), z
        self.least = min(LEAST_SIDE, *z.shape[-2:])
        self.sum = torch.zeros_like(z[:, :1], dtype=torch.float32)  # (B,1,h,w)

    def wants(self, site: Site) -> bool:
        return site.kind == "cross" and min(map_grid(self.z, site.scale)) >= self.least

    def probs(self, site: Site, p: Tensor) -> Tensor:
        heat = (p[..., : self.rows.shape[-1]].mean(dim=1) * self.rows).sum(dim=-1)  # (B,H,N,77) -> (B,N)
        grid = heat.unflatten(1, map_grid(self.z, site.scale))[:, None]
        self.sum = self.sum + F.interpolate(grid, self.z.shape[-2:], mode="bilinear")
        return p

    def scaled(self) -> Tensor:
        """a (B,1,h,w), from 0 to 1; 1 everywhere for a sample without rows."""
        return torch.where(self.rows.any(dim=2)[..., None, None], normalised(self.sum), 1.0)


def target_rows(prompt: Prompt) -> Tensor:
    """(1,77): 1 for the rows of the targets, else 0."""
    rows = torch.zeros(1, prompt.ctx.shape[1], device=prompt.ctx.device)
    rows[:, list(prompt.target)] = 1
    return rows
