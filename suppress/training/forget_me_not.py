"""Forget-Me-Not: the attention to a concept is trained away (Zhang et al. 2023, "Forget-Me-Not: Learning to Forget in
Text-to-Image Diffusion Models").

P_l (H,N,77): the cross maps of site l in a pass with a noised picture of the concept and a prompt that names it; J: the
rows of the concept and, with `eot`, of [EOT]. Per iteration ("attention re-steering"):

    z_t = √ᾱ_t z_0 + √(1-ᾱ_t) ε
    loss = √(Σ_l Σ_{h,n} Σ_{j in J} P_l[h,n,j]²)

There is no other term: nothing says what should be drawn instead, and nothing keeps the rest. The published 35
iterations with a small learning rate are all the restraint there is.

The paper sums the squares, the code takes the root of the sum, as here. The code's pictures are photos of the concept,
here they are drawn by the model; it can also train on pure noise (`no_real_image`), and it can first find a better
word for the concept by textual inversion; neither is here. It was published for SD 2.1, whose padding is no [EOT]: on
SD 1.x, J with `eot` has all rows of the padding.

On the embedded model the published settings change nothing. With a learning rate of 1e-3 everything goes with the
concept, and no face is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from minisd import Site, StableDiffusion, Tap, UNet

from ..prompt import encode
from .drawn import Drawn
from .objective import Weights


@dataclass(frozen=True)
class ForgetMeNot(Drawn):
    """Settings, from the authors' configs/attn.yaml."""

    weights: Weights = "full"
    iterations: int = 35
    lr: float = 2e-6
    weight_decay: float = 0.01
    clip: float = 1.0
    eot: bool = True  # the rows of [EOT] count too (`use_pooler`)
    pictures: int = 8  # photos in the paper

    def __post_init__(self) -> None:
        super().__post_init__()
        self.requests()  # a UserError if a prompt does not name the concept

    def loss(self, sd: StableDiffusion, unet: UNet, prepared: dict[str, Tensor], random: torch.Generator) -> Tensor:
        noised, requests = self.noised(sd, prepared, random), self.requests()
        prompts = [encode(sd, requests[n].prompt, requests[n]) for n in noised.texts]
        rows = torch.zeros(len(prompts), prompts[0].ctx.shape[1], device=sd.device)  # (B,77)
        for row, prompt in zip(rows, prompts, strict=True):
            row[list(prompt.target + (prompt.eot if self.eot else ()))] = 1
        maps = SquaredMaps(rows)
        unet(noised.z, noised.t, torch.cat([prompt.ctx for prompt in prompts]), tap=maps)
        return maps.sum.sqrt()


class SquaredMaps(Tap):
    """Adds up the squares of the cross maps in some rows: rows (B,77), 1 for a row that counts, else 0."""

    def __init__(self, rows: Tensor):
        self.rows = rows[:, None, None]
        self.sum = torch.zeros((), device=rows.device)

    def wants(self, site: Site) -> bool:
        return site.kind == "cross"

    def probs(self, site: Site, p: Tensor) -> Tensor:
        self.sum = self.sum + (p * self.rows).square().sum()
        return p
