"""Momentum of a guidance (SLD, Schramowski et al., CVPR 2023, eq. 7 and 8; SEGA, Brack et al., NeurIPS 2023).

    γ = g + s ν,     ν <- β ν + (1 - β) γ,     ν = 0 at first

It is called in the warm-up steps too, in which the caller makes no use of γ.
"""

from __future__ import annotations

from torch import Tensor


class Momentum:
    """scale: s. decay: β, the weight of the old momentum."""

    def __init__(self, scale: float, decay: float):
        self.scale, self.decay = scale, decay
        self.nu: Tensor | float = 0.0  # ν

    def __call__(self, g: Tensor) -> Tensor:
        """g (B,4,h,w), the guidance of one step -> γ"""
        gamma = g + self.scale * self.nu
        self.nu = self.decay * self.nu + (1 - self.decay) * gamma
        return gamma
