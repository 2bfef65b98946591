"""Null-text inversion (Mokady et al. 2023, "Null-text Inversion for Editing Real Images", Algorithm 1).

    pivots z*_T … z*_0 by DDIM inversion with c;   z = z*_T,   ∅ = the empty prompt
    for step i, from z to the pivot z*' after it:
        repeat:   ∅ <- Adam step on |DDIM(z, ε_∅ + w (ε_c - ε_∅)) - z*'|² (mean), ε_∅ = UNet(z, t, ∅)
        ∅_i = ∅,   z <- DDIM(z, ε_∅ + w (ε_c - ε_∅))
    Start: z*_T, and ∅_i

∅ begins each step with what the last one found. The authors' code, at 50 steps, has the learning rate 1e-2 (1 - i/100)
and ends the inner loop when the loss is below 1e-5 + 2e-5 i. Both depend on i / T here, which is the same at T = 50.
∅_i fits the guidance w it was optimised for. UNet: at most T (3 + `iterations`) samples, `iterations` of them with
a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd.base.arguments import number, whole_number

from ..edits.ito import gradient_scale
from ..protocol import Start
from .inversion import Inversion, Source


@dataclass(frozen=True)
class NullText(Inversion):
    iterations: int = 10  # of the inner loop, at most; from the code
    rate: float = 1e-2  # Adam's learning rate at step 0, which falls to half of it; from the code
    enough: float = 1e-5  # the loss that ends the inner loop at step 0; from the code
    more: float = 1e-3  # what is added to it by the end: 50 × 2e-5 in the code

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("iterations", self.iterations, 0)
        for name in ("rate", "enough", "more"):
            number(name, getattr(self, name))

    def find(self, source: Source) -> dict[str, Tensor]:
        pivots = self.pivots(source)
        z, uncond = pivots[0], source.uncond.float()
        found = []
        for i in source.each(range(len(source.schedule))):
            with torch.no_grad():
                eps_c = source.noise(i, z, source.ctx)
            uncond = self._optimise(source, i, z, eps_c, uncond, pivots[i + 1])
            found.append(uncond.to(source.uncond.dtype))
            with torch.no_grad():
                z = _guided_step(source, i, z, eps_c, uncond)
        return {"pivots": torch.stack(pivots), "uncond": torch.stack(found)}  # (T+1,1,4,h,w), (T,1,77,D)

    def make(self, source: Source, found: Mapping[str, Tensor]) -> Start:
        pivots = found["pivots"].unbind()
        return Start(pivots[0], lambda i: found["uncond"][i], pivots)

    def _optimise(self, source: Source, i: int, z: Tensor, eps_c: Tensor, uncond: Tensor, goal: Tensor) -> Tensor:
        """∅_i (1,77,D), float32."""
        fraction = i / len(source.schedule)
        scale = gradient_scale(source.sd.dtype)
        with torch.enable_grad():
            leaf = uncond.clone().requires_grad_()
            adam = torch.optim.Adam([leaf], lr=self.rate * (1 - fraction / 2))  # a new one for each step
            for _ in range(self.iterations):
                loss = F.mse_loss(_guided_step(source, i, z, eps_c, leaf), goal)
                (gradient,) = torch.autograd.grad(scale * loss, leaf)
                leaf.grad = gradient / scale
                adam.step()
                if loss.item() < self.enough + self.more * fraction:  # tested after the update, as in the code
                    break
        return leaf.detach()


def _guided_step(source: Source, i: int, z: Tensor, eps_c: Tensor, uncond: Tensor) -> Tensor:
    eps = source.noise(i, z, uncond)
    return source.step(i, z, eps + source.guidance * (eps_c - eps))
