"""ReNoise (Garibi et al. 2024, "ReNoise: Real Image Inversion Through Iterative Noising", section 4).

An inversion step wants the noise of the latents z*_t that it is about to find:

    z*_t = f(z*_t),     f(z) = inverse step of z*_{t-Δ} with ε = UNet(z, t, c)
    z^(0) = f(z*_{t-Δ}),     z^(n+1) = f(z^(n)),     z*_t = z^(k)

DDIM inversion takes z^(0). k further iterations come nearer to the fixed point, where the sampling step leads back to
z*_{t-Δ} exactly. The paper takes k = 1 for SD with 50 steps, and 9 for SDXL-Turbo, where it averages the last ones and
regularises the noise; that is not here. UNet: T (1 + k) samples.

Every inversion has `repeats`, so that the iteration combines with all of them: "direct:repeats=1". The name "renoise"
is `ddim` with k = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from .ddim import DDIM


@dataclass(frozen=True)
class ReNoise(DDIM):
    repeats: int = 1  # k; from the authors' code for SD with 50 steps
