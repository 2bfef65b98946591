"""Proximal negative-prompt inversion (ProxNPI; Han et al. 2024, "ProxEdit: Improving Tuning-Free Real Image Editing").

    Start: as negative-prompt inversion, ∅_i = c
    edited branch:  δ = ε_ĉ - ε_c,   θ = the quantile of |δ| over the latents
                    ε̂ = ε_c + w prox(δ),   l0: prox(δ) = δ where |δ| > θ, else 0;   l1: sign(δ) max(|δ| - θ, 0)
                    at t < 400, where |δ| <= θ:   ẑ <- ẑ + r (z* - ẑ), z* the pivot after the step

Only what the edit changes most is guided; the rest goes back to the picture. The forms are those of the text; the
authors' code shrinks by θ for "l0" and twice for "l1". UNet: T samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import fraction, number, shown

from ..edits.wrapped import Wrapped
from ..protocol import Edit, Start
from .inversion import Pivots, Source


@dataclass(frozen=True)
class Proximal(Pivots):
    form: Literal["l0", "l1"] = "l0"  # of prox; from the code
    quantile: float = 0.7  # of |δ|, which gives θ; from the code
    # r, the rate of the pull to the pivots, 0 for none; the code's default. Its published runs have 1, which sets all
    # that is not edited to the picture, and leaves torn edges where the edit moves from step to step
    pull: float = 0.1
    below: float = 400.0  # the timestep below which the pull works; from the code

    takes_negative: ClassVar[bool] = False  # ∅ is the prompt itself

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in ("l0", "l1"):
            raise UserError(f"form = {shown(self.form)}; expected l0 or l1")
        for name in ("quantile", "pull"):
            fraction(name, getattr(self, name))
        number("below", self.below)

    def make(self, source: Source, found: Mapping[str, Tensor]) -> Start:
        pivots = found["pivots"].unbind()
        return Start(pivots[0], lambda i: source.ctx, pivots, around=lambda edit: ProximalEdit(self, edit, pivots))


class ProximalEdit(Wrapped):
    """A method's edit, with the threshold and the pull."""

    def __init__(self, settings: Proximal, edit: Edit, pivots: Sequence[Tensor]):
        super().__init__(edit)
        self.settings, self.pivots = settings, pivots
        self.edited: Tensor | None = None  # (B,4,h,w) bool, where |δ| > θ at this step

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        delta = eps[1] - eps[0]
        size = delta.abs()
        theta = torch.quantile(size.flatten(1).float(), self.settings.quantile, dim=1).view(-1, 1, 1, 1)
        self.edited = size > theta
        kept = delta if self.settings.form == "l0" else delta.sign() * (size - theta)
        return super().combine(i, (eps[0], eps[0] + torch.where(self.edited, kept, 0), *eps[2:]))

    def step(self, i: int, z: Tensor, eps: Tensor) -> Tensor:
        z = super().step(i, z, eps)
        if self.edited is None or self.run.schedule.t[i] >= self.settings.below:
            return z
        return torch.where(self.edited, z, z + self.settings.pull * (self.pivots[i + 1] - z))
