"""The detector: which of the 37 attributes a picture shows, for DetScore.

    loss = binary cross-entropy of each attribute

It has to judge pictures that a model draws, which are not as clean as those it learns from. So half of each batch
passes through the autoencoder, with noise of up to a quarter of the latents' standard deviation, and all pictures get
noise of up to .1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suppress.metrics.detector import SIDE, Network

from .drawings import NAMES, Batch
from .files import MODEL, write_json, write_weights
from .parts import read_vae
from .randomness import first_weights
from .stage import Job, PictureStage

_LATENT_NOISE, _PIXEL_NOISE = 0.25, 0.1  # the most


class DetectorStage(PictureStage):
    name = "detector"

    def __init__(self, job: Job):
        super().__init__(job)
        self.vae = read_vae(job.out).to(self.device)
        with first_weights(job.seed, self.name):
            self.model = Network(len(NAMES))

    def losses(self, forward: Callable[..., Any], batch: Batch, random: torch.Generator) -> dict[str, Tensor]:
        x = self.imperfect(batch.x(self.device), random)
        logits = forward(x).float()
        shown = batch.attributes.to(self.device)
        right = ((logits > 0) == shown).float().mean()
        return {"loss": F.binary_cross_entropy_with_logits(logits, shown.float()), "right": right}

    @torch.no_grad()
    def imperfect(self, x: Tensor, random: torch.Generator) -> Tensor:
        """x (B,3,side,side) -> (B,3,128,128): the first half decoded from noisy latents, and noise over all."""
        half = len(x) // 2

        def noise(like: Tensor, most: float) -> Tensor:
            strength = most * torch.rand(len(like), 1, 1, 1, generator=random, device=x.device)
            return strength * torch.randn(like.shape, generator=random, device=x.device)

        with self.job.processes.autocast():
            z = self.vae.encode(x[:half]).float()
            decoded = self.vae.decode(z + noise(z, _LATENT_NOISE) * z.std()).float()
        x = torch.cat([decoded, x[half:]])
        if x.shape[-1] != SIDE:  # the judge resizes its pictures, too
            x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
        return x + noise(x, _PIXEL_NOISE)

    def export(self, model: nn.Module) -> None:
        folder = self.job.out / "detector"
        write_json(folder / "attributes.json", NAMES)
        write_weights(folder / MODEL, model.state_dict())
