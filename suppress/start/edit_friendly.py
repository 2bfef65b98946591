"""Edit-friendly DDPM inversion (Huberman-Spiegelglas et al., CVPR 2024, "An Edit Friendly DDPM Noise Space").

A stochastic sampling step from noise level ᾱ_t to ᾱ_s (DDIM, Song et al. 2021, eq. 12 and 16):

    z_s = μ(z_t, ε) + σ_t n_t,      σ_t² = η² (1-ᾱ_s)/(1-ᾱ_t) (1 - ᾱ_t/ᾱ_s)
    μ(z_t, ε) = √ᾱ_s (z_t - √(1-ᾱ_t) ε)/√ᾱ_t + √(1-ᾱ_s-σ_t²) ε

The inversion finds the noise maps n_t that make the picture's latents z*_0 out of it (Algorithm 1):

    z*_t = √ᾱ_t z*_0 + √(1-ᾱ_t) ε_t,  a new ε_t for each t     the pivots, which do not depend on each other
    σ_t n_t = z*_s - μ(z*_t, ε(z*_t)),   z*_s <- μ + σ_t n_t    the second equation removes the rounding error
    edited branch:  ẑ <- μ(ẑ, ε̂) + σ_t n_t                     the original branch is set to the pivots

So the edited branch draws the picture exactly if its noise is that of the inversion, with every prompt and every
guidance w: nothing is approximated, unlike in DDIM inversion. With another w than the inversion's, a branch that edits
nothing leaves the picture, in each step by the difference of the two μ. The noise maps hold the layout of the picture
and stay as they are, so an edit must be strong to be seen, and more steps must be drawn to remove something large.

The loop begins after `skip` of the steps. Only σ_t n_t is stored, so nothing is divided by σ_t, which may be 0.

Where the code differs from the text: its direction term has 1-ᾱ_s-ησ², right for η = 1 alone; and it sets the last
noise map to 0, which blurs the picture if the steps are few (`last_noise`, `official()`). Both draw the source with
w = 3.5 and the edit with another prompt and w = 15, in 100 steps.

A method that has a `step` of its own keeps it: the difference to a DDIM step, (√(1-ᾱ_s-σ_t²) - √(1-ᾱ_s)) ε̂ + σ_t n_t,
is added to what it returns. UNet: 2 (T - s) samples, s: skipped steps; half of it at guidance 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from minisd import UserError, ddim
from minisd.base.arguments import check_seed, fraction, number, one_of, shown

from ..edits.wrapped import Wrapped
from ..protocol import Edit, Start
from .inversion import Inversion, Source


@dataclass(frozen=True)
class EditFriendly(Inversion):
    # w of the inversion; None: that of the edit, so that what is not edited stays exactly as it is (this project's own)
    guidance: float | None = None
    skip: float = 0.36  # fraction of the steps that are left out; 36 of 100 in the paper, .15 in LEDITS++
    eta: float = 1.0  # η; from the paper
    last_noise: Literal["kept", "zeroed"] = "kept"  # the paper's text; "zeroed": the authors' code
    seed: int = 0  # of the ε_t

    deterministic: ClassVar[bool] = False

    @classmethod
    def paper(cls, **changes: Any) -> EditFriendly:
        """The paper's text. It belongs to a method of steps=100 and guidance=15."""
        return cls(**({"guidance": 3.5} | changes))

    @classmethod
    def official(cls, **changes: Any) -> EditFriendly:
        """The authors' code: as `paper`, with the last noise map set to 0."""
        return cls.paper(**({"last_noise": "zeroed"} | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.guidance is not None:
            number("guidance", self.guidance, -math.inf)
        if fraction("skip", self.skip) == 1:
            raise UserError(f"skip = {shown(self.skip)}; no step is left, give a number below 1")
        fraction("eta", self.eta)
        one_of("last_noise", self.last_noise, ("kept", "zeroed"))
        check_seed(self.seed)
        if self.repeats:
            raise UserError(f"repeats = {self.repeats}; edit-friendly repeats no step, leave it out")

    @torch.no_grad()
    def find(self, source: Source) -> dict[str, Tensor]:
        """ "pivots" (T+1,1,4,h,w), and "noise_maps" (T-s,1,4,h,w): σ_t n_t of each step of the loop."""
        steps = len(source.schedule)
        pivots, noise_maps = self.noised(source), []
        for i in source.each(range(min(round(self.skip * steps), steps - 1), steps)):
            eps = self.noise(source, i, pivots[i])
            mean = source.step(i, pivots[i], eps) + self.less(source.schedule, i) * eps
            zeroed = i == steps - 1 and self.last_noise == "zeroed"
            noise_maps.append(torch.zeros_like(mean) if zeroed else pivots[i + 1] - mean)
            pivots[i + 1] = mean + noise_maps[-1]
        return {"pivots": torch.stack(pivots), "noise_maps": torch.stack(noise_maps)}

    def make(self, source: Source, found: Mapping[str, Tensor]) -> Start:
        """The start, from what `find` found."""
        pivots, begin = found["pivots"].unbind(), len(source.schedule) - len(found["noise_maps"])
        steps = range(begin, len(source.schedule))
        noise = dict(zip(steps, found["noise_maps"].unbind(), strict=True))
        less = {i: self.less(source.schedule, i) for i in steps}
        return Start(
            pivots[begin],
            lambda i: source.uncond,
            pivots,
            pinned=True,
            around=lambda edit: EditFriendlyEdit(edit, less, noise),
            begin=begin,
        )

    def noised(self, source: Source) -> list[Tensor]:
        """z*_t (1,4,h,w) of each step, each with noise of its own, and the picture's latents."""
        generator = torch.Generator().manual_seed(self.seed)
        eps = [torch.randn(source.z.shape, generator=generator) for _ in source.schedule.t]
        levels = zip(eps, source.schedule.alpha[:-1], strict=True)
        return [*(ddim.add_noise(source.z, e.to(source.z.device), alpha) for e, alpha in levels), source.z]

    def noise(self, source: Source, i: int, z: Tensor) -> Tensor:
        """ε(z*_t) (1,4,h,w): with classifier-free guidance, unless one prediction is all that it needs."""
        guidance = source.guidance if self.guidance is None else self.guidance
        if guidance in (0, 1):
            return source.noise(i, z, source.ctx if guidance else source.uncond)
        uncond, cond = source.noise(i, z, source.uncond), source.noise(i, z, source.ctx)
        return uncond + guidance * (cond - uncond)

    def less(self, schedule: ddim.Schedule, i: int) -> float:
        """√(1-ᾱ_s-σ_t²) - √(1-ᾱ_s): how much less of ε than a DDIM step the mean μ of step i has."""
        alpha, alpha_next = schedule.alpha[i : i + 2]
        variance = self.eta**2 * (1 - alpha_next) / (1 - alpha) * (1 - alpha / alpha_next)
        return (1 - alpha_next - variance) ** 0.5 - (1 - alpha_next) ** 0.5


class EditFriendlyEdit(Wrapped):
    """A method's edit, with stochastic steps whose noise is known: for each step, σ_t n_t (1,4,h,w)."""

    def __init__(self, edit: Edit, less: Mapping[int, float], noise: Mapping[int, Tensor]):
        super().__init__(edit)
        self.less, self.noise = less, noise

    def step(self, i: int, z: Tensor, eps: Tensor) -> Tensor:
        return super().step(i, z, eps) + self.less[i] * eps + self.noise[i]
