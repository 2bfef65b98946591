"""SuppressEOT: "Get What You Want, Not What You Don't", Li et al., ICLR 2024. Soft-weighted regularisation (SWR).

    ĉ = SWR(c)                              eq. 2, suppress/embedding.py
    for step i = 0 … steps-1:
        z  <- DDIM(z,  eps(z,  t_i, c))     the original
        ẑ  <- DDIM(ẑ,  eps(ẑ,  t_i, c))     if i < R: the layout is still the original's
              DDIM(ẑ,  eps(ẑ,  t_i, ĉ))     from R on

Both pictures come from the same noise; until R they are one, and one pass serves both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minisd import StableDiffusion, Tap, UserError, ddim

from ..embedding import soft_weight


@dataclass(frozen=True)
class SuppressEOT:
    """The method's settings, with the published values."""

    steps: int = 50  # DDIM steps; from the code
    guidance: float = 7.5  # classifier-free guidance; from the code
    gamma: float = 1.0  # γ of σ̂ = σ e^(-γσ); eq. 2 has 1, appendix D sweeps it
    start: int | float = 0.2  # R, the first step with ĉ: a step number, or below 1 a share of the steps; from the code

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise UserError(f"steps = {self.steps!r}; expected a whole number, 1 or more")
        if not math.isfinite(self.guidance):
            raise UserError(f"guidance = {self.guidance!r}; expected a finite number")
        if not self.gamma >= 0:
            raise UserError(f"gamma = {self.gamma!r}; expected a number, 0 or more")
        share = isinstance(self.start, float) and 0 <= self.start < 1
        if not share and not (float(self.start).is_integer() and 0 <= self.start <= self.steps):
            raise UserError(
                f"start = {self.start!r}; expected a step from 0 to {self.steps}, or a share of the steps below 1"
            )

    @property
    def first(self) -> int:
        """R as a step number: the edited context is used from this step on."""
        if isinstance(self.start, float) and self.start < 1:
            return round(self.start * self.steps)
        return int(self.start)


@torch.no_grad()
def suppress_eot(
    sd: StableDiffusion,
    ctx: Tensor,
    uncond: Tensor,
    rows: Sequence[int],
    z: Tensor,
    settings: SuppressEOT,
    tap: Tap | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields (z, ẑ) after each step: the original and the suppressed latents, (B,4,h,w) each.

    ctx (B,77,D), uncond (1,77,D), rows: positions of target and [EOT], z: the noise. A tap sees the batch
    [uncond, c] before R and [uncond, uncond, c, ĉ] after it.
    """
    schedule = ddim.Schedule(settings.steps, sd.config.schedule)
    both_ctx = torch.cat([ctx, soft_weight(ctx, rows, settings.gamma)])
    for i, t in enumerate(schedule.t):
        if i == settings.first:
            z, ctx = torch.cat([z, z]), both_ctx  # from here on: the original, then the suppressed
        eps = sd.predict(z, t, ctx, uncond, settings.guidance, tap)
        z = ddim.step(z, eps, schedule.alpha[i], schedule.alpha[i + 1])
        original, suppressed = (z, z) if i < settings.first else z.chunk(2)
        yield original, suppressed
