"""Negative-prompt inversion (NPI; Miyake et al. 2023, "Negative-prompt Inversion: Fast Image Inversion for Editing").

    pivots by DDIM inversion with c
    Start: z*_T, and ∅_i = c at every step

With ∅ = c the guided noise of the original branch is ε_c + w (ε_c - ε_c) = ε_c whatever w is: the picture comes back as
it does at guidance 1, and nothing is optimised (their eq. 7: c nearly solves what null-text inversion optimises). In
the edited branch the guidance points from the prompt to the edited one: ε_c + w (ε_ĉ - ε_c). UNet: T samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..protocol import Start
from .inversion import Pivots, Source


@dataclass(frozen=True)
class NegativePrompt(Pivots):
    takes_negative: ClassVar[bool] = False  # ∅ is the prompt itself

    def make(self, source: Source, found: Mapping[str, Tensor]) -> Start:
        pivots = found["pivots"].unbind()
        return Start(pivots[0], lambda i: source.ctx, pivots)
