"""DDIM inversion (Song et al. 2021, "Denoising Diffusion Implicit Models", section 4.3; Dhariwal & Nichol 2021).

    for t upwards:   z*_t = inverse step of z*_{t-Δ} with ε = UNet(z*_{t-Δ}, t, c)
    Start:           z*_T, and the empty prompt for ∅

ε should be that of z*_t, which is not known yet; the latents before it stand in. With guidance 1 the error stays small.
Under classifier-free guidance it grows with w: then this is the baseline that fails (Mokady et al. 2023, section 3.1).
UNet: T samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from minisd.base.arguments import number

from ..protocol import Start
from .inversion import Inversion, Source, pivots_recipe


@dataclass(frozen=True)
class DDIM(Inversion):
    guidance: float = 1.0  # of the inversion: 1 is ε_c alone; another value takes 2 T samples

    def __post_init__(self) -> None:
        super().__post_init__()
        number("guidance", self.guidance, -math.inf)

    def find(self, source: Source) -> dict[str, Tensor]:
        return {"pivots": torch.stack(self.pivots(source, self.guidance))}  # (T+1,1,4,h,w)

    def recipe(self, source: Source) -> str | None:
        return pivots_recipe(self.repeats, self.guidance)

    def make(self, source: Source, found: Mapping[str, Tensor]) -> Start:
        pivots = found["pivots"].unbind()
        return Start(pivots[0], lambda i: source.uncond, pivots)
