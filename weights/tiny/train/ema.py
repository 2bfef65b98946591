"""The exponential moving average of a model's weights, which draws better than the weights themselves.

    θ' <- d θ' + (1 - d) θ,   d = min(decay, (1 + n) / (10 + n)) after n updates

The smaller d of the first updates forgets the random weights of the beginning soon.

Ho et al. 2020 (DDPM), appendix B, has a decay of .9999 for 800,000 steps. A shorter training needs a smaller one.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class EMA:
    """`model` is the copy with the averaged weights."""

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, updates: int) -> None:
        """Takes in the model's new weights. updates: how many there were before."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        averages: list[Tensor] = [*self.model.parameters()]
        weights: list[Tensor] = [*model.parameters()]
        torch._foreach_lerp_(averages, weights, 1 - decay)
