"""LocalBlend: outside the place of some words, the edited latents are the original's (Prompt-to-Prompt, section 3).

    s  = Σ over steps so far, mean over layers and heads, Σ over rows of the words, of the cross maps, for each branch
    m  = 1 where s, the largest of 3 × 3 pixels, in the latents' size, is above θ max s;   else 0
    ẑ <- z + M (ẑ - z)   after each step,   M = m of the original ∪ m of the edited

The maps are those of a quarter of the latents' side (16 × 16 for SD at 512²), as the edit left them, from the step on
at which the edit begins. A branch without words has the empty mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import Site, Tap

from .maps import MapSpec, map_grid
from .masks import dilate


class LocalBlend(Tap):
    """A tap for the batch [original × B, edited × B] that adds up the words' maps. It changes nothing.

    rows (2B,77): 1 for the rows of the words, else 0. z (B,4,h,w): latents, for their shape. threshold: θ.
    """

    def __init__(self, rows: Tensor, z: Tensor, spec: MapSpec, threshold: float):
        self.rows, self.size, self.grid, self.spec = rows[:, None].float(), z.shape[-2:], map_grid(z, spec.scale), spec
        self.threshold = threshold
        self.sums = torch.zeros(len(rows), self.grid[0] * self.grid[1], device=z.device)  # s (2B,N)

    def wants(self, site: Site) -> bool:
        return site.kind == "cross" and site.scale == self.spec.scale and site.place != "mid"

    def probs(self, site: Site, p: Tensor) -> Tensor:
        self.sums = self.sums + (p.mean(dim=1) * self.rows).sum(dim=-1)  # (2B,H,N,77) -> (2B,N)
        return p

    def mask(self) -> Tensor:
        """M (B,1,h,w) bool"""
        largest = dilate(self.sums.view(-1, 1, *self.grid), 1)
        values = F.interpolate(largest, self.size)
        original, edited = (values > self.threshold * values.amax(dim=(2, 3), keepdim=True)).chunk(2)
        return original | edited

    def blend(self, z: Tensor, original: Tensor) -> Tensor:
        """z (B,4,h,w) inside the mask, the original's latents outside."""
        return torch.where(self.mask(), z, original)
