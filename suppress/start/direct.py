"""Direct inversion (PnP Inversion; Ju et al. 2024, "PnP Inversion: Boosting Diffusion-based Editing with 3 Lines").

    pivots by DDIM inversion with c
    in the loop, after each step i:  z <- z*_{i+1}       (they add the difference z* - z, which is the same)

The original branch follows the pivots, so that it reconstructs what the VAE can; the edited branch is left alone. What
an edited branch takes from the original (maps, keys and values) is then taken from the picture itself. A method that
only changes the context takes nothing from there: its edited branch drifts as with plain DDIM. UNet: T samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ..protocol import Start
from .inversion import Pivots, Source


@dataclass(frozen=True)
class Direct(Pivots):
    def make(self, source: Source, found: Mapping[str, Tensor]) -> Start:
        pivots = found["pivots"].unbind()
        return Start(pivots[0], lambda i: source.uncond, pivots, pinned=True)
