"""SDEdit (Meng et al. 2022, "SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations").

    z_{t0} = √ᾱ_{t0} z*_0 + √(1-ᾱ_{t0}) ε,   ε noise;   the loop begins at t0 = strength × the schedule

Nothing is inverted: the noise hides the picture's details and the prompt fills them in, in both branches alike. More
strength keeps less. The baseline that is free, as `minisd generate --image` has it. UNet: 0 samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from minisd import UserError, ddim
from minisd.base.arguments import check_seed, check_settings

from ..protocol import Start
from .inversion import Inversion, Source


@dataclass(frozen=True)
class Noised(Inversion):
    strength: float = 0.8  # fraction of the steps that are drawn; this project's own, as in `generate`
    seed: int = 0  # of the noise

    deterministic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_settings(strength=self.strength)
        check_seed(self.seed)
        if self.repeats:
            raise UserError(f"repeats = {self.repeats}; noised inverts nothing, leave it out")

    def find(self, source: Source) -> dict[str, Tensor]:
        return {}

    def recipe(self, source: Source) -> None:
        return None

    def make(self, source: Source, found: Mapping[str, Tensor]) -> Start:
        steps = len(source.schedule)
        begin = steps - max(1, round(steps * self.strength))
        factor = source.sd.vae.config.factor
        eps = source.sd.noise([self.seed], *(side * factor for side in source.z.shape[-2:]))
        pivots = [ddim.add_noise(source.z, eps, alpha) for alpha in source.schedule.alpha[:-1]] + [source.z]
        return Start(pivots[begin], lambda i: source.uncond, pivots, begin=begin)
