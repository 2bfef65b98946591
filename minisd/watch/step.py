"""What a callback gets after each step, and how it stops the drawing.

    def callback(step):                      # sd.generate(…, callback=callback), suppress.run(…, callback=callback)
        step.preview()[0].save("now.png")
        return step.i < 19                   # False stops after step 19

z_t and z_s, the latents before and after a DDIM step, are two equations (minisd/ddim.py) with two unknowns, the
picture's latents z_0 and the noise. Without a further pass, this gives the picture that the step expects:

    z_t = √ᾱ_t z_0 + √(1-ᾱ_t) ε,  z_s = √ᾱ_s z_0 + √(1-ᾱ_s) ε   ⇒   z_0 = (σ_t z_s - σ_s z_t) / (σ_t √ᾱ_s - σ_s √ᾱ_t)

with σ = √(1-ᾱ). In a step that is no plain DDIM step (one that adds noise, or moves the latents), it is an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..base.arguments import shown
from ..base.errors import UserError
from ..ddim import Schedule
from ..picture import sheet, to_pil

if TYPE_CHECKING:
    from ..pipeline import StableDiffusion

_COLOURS = 32  # random latents to which the colours of a preview are fitted
_SIDE = 4  # of each, in latents: the smallest with an inside that the borders do not reach


@dataclass(frozen=True, eq=False)
class Step:
    """A batch of pictures after one step. All tensors are copies: a callback changes no picture."""

    i: int  # the step that was done: 0 … total - 1
    total: int  # number of steps of the schedule
    t: int  # its timestep, from 999 down
    jobs: tuple[int, ...]  # which pictures of the call these are; a call with many pictures draws several batches
    latents: Tensor  # (B,4,h,w), after the step
    before: Tensor = field(repr=False)  # (B,4,h,w), before the step
    alphas: tuple[float, float] = field(repr=False)  # ᾱ before and after the step
    viewer: Viewer = field(repr=False)

    @property
    def expected(self) -> Tensor:
        """The latents (B,4,h,w) of the finished picture, as this step expects it. The last step's own latents."""
        if self.i == self.total - 1:
            return self.latents
        (a, b), (sigma_a, sigma_b) = self.alphas, [(1 - alpha) ** 0.5 for alpha in self.alphas]
        return (sigma_a * self.latents - sigma_b * self.before) / (sigma_a * b**0.5 - sigma_b * a**0.5)

    def preview(self) -> list[Image.Image]:
        """The expected pictures, coarsely: a colour for each latent pixel, enlarged to the picture's size. Quick."""
        return self.viewer.preview(self.expected)

    def pictures(self) -> list[Image.Image]:
        """The expected pictures, decoded by the VAE. This may take as long as a step."""
        return self.viewer.pictures(self.expected)

    def sheet(self) -> Image.Image:
        """`pictures()` side by side."""
        return side_by_side([self.pictures()])


def side_by_side(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Pictures as one; a single one as it is."""
    return rows[0][0] if len(rows) == len(rows[0]) == 1 else sheet(rows)


Callback = Callable[[Any], Any]  # gets a Step; False stops the drawing, anything else goes on


class Viewer:
    """Makes pictures of latents: decoded, or in the colours of a linear map that is fitted to the model's VAE."""

    def __init__(self, sd: StableDiffusion):
        self.sd = sd
        self._colours: Tensor | None = None  # (5,3): four latent channels and a constant -> red, green, blue

    def pictures(self, z: Tensor) -> list[Image.Image]:
        return to_pil(self.sd.decode(z))

    @torch.no_grad()
    def preview(self, z: Tensor) -> list[Image.Image]:
        """z (B,4,h,w) -> B pictures"""
        if self._colours is None:
            self._colours = self._fit()
        x = torch.einsum("bchw,cd->bdhw", _with_constant(z.float().cpu()), self._colours)
        factor = self.sd.vae.config.factor
        return to_pil(F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False))

    def _fit(self) -> Tensor:
        """The least-squares map from even patches of latents to the mean colour of what the VAE makes of them."""
        generator = torch.Generator().manual_seed(0)  # its own: a preview moves nobody else's random numbers
        channels = self.sd.vae.config.latent_channels
        z = torch.randn((_COLOURS, channels, 1, 1), generator=generator)
        colours = self.sd.decode(z.expand(-1, -1, _SIDE, _SIDE)).mean(dim=(2, 3)).cpu()
        return torch.linalg.lstsq(_with_constant(z)[:, :, 0, 0], colours).solution


def _with_constant(z: Tensor) -> Tensor:
    """(B,4,h,w) -> (B,5,h,w), with a channel of ones"""
    return torch.cat([z, torch.ones_like(z[:, :1])], dim=1)


def make_step(viewer: Viewer, schedule: Schedule, i: int, jobs: Sequence[int], before: Tensor, latents: Tensor) -> Step:
    """The step i of a schedule, with copies of the latents."""
    copies, alphas = (latents.detach().clone(), before.detach().clone()), (schedule.alpha[i], schedule.alpha[i + 1])
    return Step(i, len(schedule), schedule.t[i], tuple(jobs), *copies, alphas, viewer)


def check_callback(callback: Any) -> None:
    """UserError unless it is a function, or None."""
    if callback is not None and not callable(callback):
        raise UserError(f"callback = {shown(callback)}; expected a function of a step, which may return False to stop")


def wants_to_stop(answer: Any) -> bool:
    """Whether a callback's answer stops the drawing: False does, None and everything else does not."""
    return isinstance(answer, bool | np.bool_) and not answer
