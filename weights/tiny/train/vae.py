"""The autoencoder: pictures x <-> latents z (Kingma & Welling 2014; Rombach et al. 2022, section 3.1).

    z = μ(x) + σ(x) n,  x̂ = decoder(z)
    loss = |x̂ - x| + .25 |Δx̂ - Δx| + .5 |pool(x̂) - pool(x)| + 2e-4 KL(N(μ, σ²) ‖ N(0, 1))

|·| is the mean of absolute values, Δ the Laplacian, which sees edges, and pool the mean of 4 × 4 pixels. Rombach et al.
have a perceptual and an adversarial loss in place of the two in the middle; flat drawings with clear outlines need
neither. The small KL keeps the latents near zero and does not blur the pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from minisd import AutoencoderKL
from minisd.loading.config_json import vae_json
from minisd.picture import sheet, to_pil

from .drawings import Batch
from .files import PIPELINE, write_json, write_weights
from .randomness import first_weights
from .stage import Job, PictureStage

_EDGE, _LOW, _KL = 0.25, 0.5, 2e-4  # weights of the terms
_LOG_VARIANCES = (-30.0, 20.0)  # beyond them, the exponential would lose its meaning in float32
_SHEET = 16  # pictures of a sheet
_MEASURED = 20_000  # pictures whose latents give the scaling


class Autoencoding(nn.Module):
    """An autoencoder while it is trained: its forward pass goes there and back."""

    def __init__(self, vae: AutoencoderKL):
        super().__init__()
        self.vae = vae

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B,3,H,W), noise (B,4,h,w) -> x̂ (B,3,H,W), μ and log σ² (B,4,h,w). The scaling is still 1."""
        mean, log_variance = self.vae.quant_conv(self.vae.encoder(x)).chunk(2, dim=1)
        log_variance = log_variance.clamp(*_LOG_VARIANCES)
        return self.vae.decode(mean + (log_variance / 2).exp() * noise), mean, log_variance


class VAEStage(PictureStage):
    name = "vae"

    def __init__(self, job: Job):
        super().__init__(job)
        with first_weights(job.seed, self.name):
            self.model = Autoencoding(AutoencoderKL(job.recipe.model.vae))

    def losses(self, forward: Callable[..., Any], batch: Batch, random: torch.Generator) -> dict[str, Tensor]:
        x = batch.x(self.device)
        c = self.job.recipe.model
        side = c.unet.sample_size
        noise = torch.randn(len(x), c.vae.latent_channels, side, side, generator=random, device=x.device)
        rebuilt, mean, log_variance = (y.float() for y in forward(x, noise))
        parts = {
            "pixels": (rebuilt - x).abs().mean(),
            "edges": (laplacian(rebuilt) - laplacian(x)).abs().mean(),
            "low": (F.avg_pool2d(rebuilt, 4) - F.avg_pool2d(x, 4)).abs().mean(),
            "kl": divergence(mean, log_variance),
        }
        loss = parts["pixels"] + _EDGE * parts["edges"] + _LOW * parts["low"] + _KL * parts["kl"]
        return {"loss": loss, **parts}

    @torch.no_grad()
    def sheet(self, model: nn.Module) -> Image.Image:
        """Pictures above, and what the autoencoder makes of them below."""
        assert isinstance(model, Autoencoding)
        x = self.job.drawings.__getitems__(range(min(_SHEET, len(self.job.drawings)))).x(self.device)
        return sheet([to_pil(x), to_pil(model.vae.decode(model.vae.encode(x)))])

    @torch.no_grad()
    def export(self, model: nn.Module) -> None:
        assert isinstance(model, Autoencoding)
        job, c = self.job, self.job.recipe.model
        numbers = range(min(_MEASURED, len(job.drawings)))
        batches = job.drawings.in_order(numbers, self.descent.batch, job.workers)
        latents = torch.cat([model.vae.encode(batch.x(self.device)).cpu() for batch in batches])
        scaling = 1 / float(latents.std())  # so that the UNet sees latents with a standard deviation of 1
        job.journal.write(self.name, scaling=scaling)
        write_json(job.out / "vae" / "config.json", vae_json(replace(c.vae, scaling=scaling), job.recipe.side))
        write_weights(job.out / "vae" / PIPELINE, model.vae.state_dict())


def laplacian(x: Tensor) -> Tensor:
    """x (B,3,H,W) -> (B,3,H-2,W-2): how far each pixel is from the mean of its four neighbours, times 4."""
    inner = x[..., 1:-1, 1:-1]
    return x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:] - 4 * inner


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) per number of the latents: Kingma & Welling 2014, appendix B."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
