"""DDIM (Song et al. 2021, "Denoising Diffusion Implicit Models"), eta = 0: pure functions on tensors.

A noisy latent is z_t = √ᾱ_t z_0 + √(1-ᾱ_t) eps, with ᾱ_t = Π_{s<=t} (1 - β_s). A step solves this for z_0 with the
predicted noise, and adds the noise again at another level s (their eq. 12):

    z_s = √ᾱ_s (z_t - √(1-ᾱ_t) eps) / √ᾱ_t + √(1-ᾱ_s) eps

Sampling goes to less noise, inversion to more noise; the formula is the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .base.arguments import whole_number
from .config import ScheduleConfig


def alpha_bar(config: ScheduleConfig) -> Tensor:
    """ᾱ for every training timestep: (1000,), float64, on the CPU."""
    c = config
    beta = torch.linspace(c.beta_start**0.5, c.beta_end**0.5, c.train_steps, dtype=torch.float64) ** 2
    return torch.cumprod(1 - beta, dim=0)


def timesteps(steps: int, config: ScheduleConfig) -> list[int]:
    """The sampled timesteps, noisiest first: 981, 961, …, 1 for 50 steps ("leading" spacing plus the offset).

    UserError unless steps is a whole number that the training schedule has room for, from 1 to 999 in SD.
    """
    steps = whole_number("steps", steps, 1, config.train_steps - config.offset)
    stride = config.train_steps // steps
    return [i * stride + config.offset for i in reversed(range(steps))]


class Schedule:
    """The noise levels of one run: `t[i]` is step i's timestep, `alpha[i]` its ᾱ, `alpha[i+1]` the next one's.

    They are Python's floats: reading one never waits for a GPU.
    """

    def __init__(self, steps: int, config: ScheduleConfig):
        table = alpha_bar(config).tolist()
        self.t = timesteps(steps, config)
        # the timestep after the last step; it is below 0 if the stride is longer than the offset (up to 500 steps)
        t_end = self.t[-1] - config.train_steps // len(self.t)
        final = 1.0 if config.final_alpha_one else table[0]
        self.alpha = [table[t] for t in self.t] + [table[t_end] if t_end >= 0 else final]

    def __len__(self) -> int:
        return len(self.t)


def move(z: Tensor, eps: Tensor, alpha_from: float, alpha_to: float) -> Tensor:
    """z at noise level ᾱ = alpha_from -> z at noise level alpha_to. eps: the predicted noise, of z's shape."""
    z0 = (z - (1 - alpha_from) ** 0.5 * eps) / alpha_from**0.5
    return alpha_to**0.5 * z0 + (1 - alpha_to) ** 0.5 * eps


def step(z: Tensor, eps: Tensor, alpha_t: float, alpha_prev: float) -> Tensor:
    """One sampling step: z_t -> z_{t-Δ}. alpha_t = ᾱ_t, alpha_prev = ᾱ_{t-Δ}."""
    return move(z, eps, alpha_t, alpha_prev)


def inverse_step(z: Tensor, eps: Tensor, alpha_prev: float, alpha_t: float) -> Tensor:
    """One inversion step: z_{t-Δ} -> z_t.

    As usual in the field, eps is predicted at the *target* timestep: eps = UNet(z_{t-Δ}, t).
    """
    return move(z, eps, alpha_prev, alpha_t)


def add_noise(z0: Tensor, eps: Tensor, alpha_t: float) -> Tensor:
    """z_t = √ᾱ_t z_0 + √(1-ᾱ_t) eps."""
    return alpha_t**0.5 * z0 + (1 - alpha_t) ** 0.5 * eps
