"""What all inversions share: the picture as they get it, their settings, and the DDIM inversion that records pivots.

    z*_0 = VAE(x)                                        the picture's latents
    z*_t = √ᾱ_t (z*_s - √(1-ᾱ_s) ε) / √ᾱ_s + √(1-ᾱ_t) ε     with s the noise level before t, ε = UNet(z*_s, t, c)

This is DDIM (Song et al. 2021, eq. 12) from less noise to more. The pivots z*_0 … z*_T are the way that the picture
took; Mokady et al. 2023 call them so ("Null-text Inversion", section 3.2).

An inversion has two parts. `find` makes the UNet passes and returns named tensors, which cache.py can keep on disk;
`make` turns these into a `Start` without a pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from minisd import StableDiffusion, ddim
from minisd.base.arguments import number, plain, whole_number

from ..protocol import Start

if TYPE_CHECKING:
    from ..engine import Engine


@dataclass(frozen=True, eq=False)
class Source:
    """A picture that is to be inverted."""

    sd: StableDiffusion
    z: Tensor  # z*_0 (1,4,h,w)
    ctx: Tensor  # c (1,77,D), of the prompt that describes the picture
    uncond: Tensor  # (1,77,D), of the negative prompt, which may be empty
    schedule: ddim.Schedule
    guidance: float  # w, with which the picture will be drawn again
    progress: Callable[..., Iterable] | None = None
    engine: Engine | None = None  # makes the UNet passes; None: the plain UNet
    negative: str = ""  # the negative prompt

    def each(self, steps: range) -> Iterable[int]:
        """The steps, under the caller's progress bar."""
        return self.progress(steps, total=len(steps)) if self.progress else steps

    def noise(self, i: int, z: Tensor, ctx: Tensor) -> Tensor:
        """ε = UNet(z, t_i, ctx), (1,4,h,w); differentiable with respect to z and ctx"""
        return (self.engine.noise if self.engine else self.sd.unet)(z, self.schedule.t[i], ctx)

    def step(self, i: int, z: Tensor, eps: Tensor) -> Tensor:
        """DDIM from step i's noise level to the next, which is less."""
        return ddim.step(z, eps, self.schedule.alpha[i], self.schedule.alpha[i + 1])

    def inverse_step(self, i: int, z: Tensor, eps: Tensor) -> Tensor:
        """Back from the level after step i to the level before it."""
        return ddim.inverse_step(z, eps, self.schedule.alpha[i + 1], self.schedule.alpha[i])


@dataclass(frozen=True)
class Inversion:
    """The settings that every inversion has. A subclass adds its own, each with its source, and makes its `Start`."""

    repeats: int = 0  # k of ReNoise (renoise.py): 0 to 5

    # whether DDIM steps at guidance 1 lead from the start's latents back to the picture; not if there is noise in them
    deterministic: ClassVar[bool] = True
    takes_negative: ClassVar[bool] = True  # whether ∅ may be a negative prompt

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        whole_number("repeats", self.repeats, 0)

    def start(self, source: Source) -> Start:
        return self.make(source, self.find(source))

    def find(self, source: Source) -> dict[str, Tensor]:
        """What the UNet passes find, as named tensors. `make` needs nothing else of them."""
        raise NotImplementedError(f"{type(self).__name__}.find")

    def make(self, source: Source, found: Mapping[str, Tensor]) -> Start:
        """The start, from what `find` found. It makes no UNet pass."""
        raise NotImplementedError(f"{type(self).__name__}.make")

    def recipe(self, source: Source) -> str | None:
        """What `find` depends on beside the picture, the prompt, the schedule and the weights.

        Two inversions with the same recipe find the same. None: nothing that is worth keeping.
        """
        return f"{type(self).__module__}.{self!r} for guidance {source.guidance!r}"

    @torch.no_grad()
    def pivots(self, source: Source, guidance: float = 1.0) -> list[Tensor]:
        """z*_T … z*_0 (1,4,h,w) each, in the order of sampling: before each step and after the last.

        guidance: of the inversion; 1 is ε_c alone.
        """
        guidance = number("guidance", guidance, -math.inf)
        z, pivots = source.z, [source.z]

        def noise(i: int, z: Tensor) -> Tensor:
            eps = source.noise(i, z, source.ctx)
            if guidance == 1:
                return eps
            eps_uncond = source.noise(i, z, source.uncond)
            return eps_uncond + guidance * (eps - eps_uncond)

        for i in source.each(range(len(source.schedule) - 1, -1, -1)):
            before = z
            for _ in range(1 + self.repeats):
                z = source.inverse_step(i, before, noise(i, z))
            pivots.append(z)
        return pivots[::-1]


class Pivots(Inversion):
    """An inversion that finds the pivots with c alone, and nothing else. All of these have one recipe."""

    def find(self, source: Source) -> dict[str, Tensor]:
        return {"pivots": torch.stack(self.pivots(source))}  # (T+1,1,4,h,w)

    def recipe(self, source: Source) -> str | None:
        return pivots_recipe(self.repeats, 1.0)


def pivots_recipe(repeats: int, guidance: float) -> str:
    return f"pivots by DDIM with {repeats} repeats at guidance {float(guidance)!r}"
