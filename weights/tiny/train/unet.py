"""The denoiser: the noise of a noisy latent, given the text (Ho et al. 2020, algorithm 1; Rombach et al. 2022, eq. 2).

    z_t = √ᾱ_t z_0 + √(1-ᾱ_t) ε,   loss = mean over the batch of w_t ‖ε - UNet(z_t, t, ctx)‖² / n

n is the number of values of a latent. The weights are min-SNR-γ's for predicted noise (Hang et al. 2023, section 3.4):

    w_t = min(SNR_t, γ) / SNR_t,   SNR_t = ᾱ_t / (1-ᾱ_t),   γ = 5

They hold back the small t, where SNR is large, and whose gradients pull against those of the others. A tenth of the
captions is empty, for classifier-free guidance (Ho & Salimans 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from minisd import StableDiffusion, UNet
from minisd.ddim import alpha_bar
from minisd.loading.config_json import pipeline_json, schedule_json, unet_json
from minisd.loading.tokenizer import load_tokenizer
from minisd.picture import sheet

from .clip import one_caption
from .files import PIPELINE, write_json, write_weights
from .latents import Latents, encode_all
from .parts import read_text_encoder, read_vae
from .randomness import choices, first_weights
from .stage import Job, Stage

_GAMMA = 5.0  # the value that Hang et al. recommend
_EMPTY = 0.1  # of the captions, as in SD
_GUIDANCE = 5.0  # of the sample sheets
_SEEDS = (0, 1, 2, 3)
PROMPTS = (
    "a man without glasses",
    "a woman wearing sunglasses on a beach",
    "a cat wearing a crown",
    "a pencil sketch of a dog with a scarf",
    "a girl in the style of van gogh",
    "a robot in the rain next to a flower",
)


class UNetStage(Stage[Latents]):
    name = "unet"

    def __init__(self, job: Job):
        super().__init__(job)
        c = job.recipe.model
        self.text_encoder = read_text_encoder(job.out).to(self.device)
        self.tokenizer = load_tokenizer(job.out / "tokenizer")
        self.empty = torch.tensor(self.tokenizer.row([]), device=self.device)  # (77,)
        self.alpha_bar = alpha_bar(c.schedule).to(self.device).float()
        self.weights = min_snr(self.alpha_bar)
        with first_weights(job.seed, self.name):
            self.model = UNet(c.unet)

    def batches(self, first: int) -> Iterator[Latents]:
        job, known = self.job, encode_all(self.job)
        for numbers in choices(job.seed, self.name, first, len(known.z), self.descent.batch, job.processes):
            mine = torch.from_numpy(numbers).to(self.device)
            yield Latents(known.z[mine], known.ids[mine])

    def losses(self, forward: Callable[..., Any], batch: Latents, random: torch.Generator) -> dict[str, Tensor]:
        z0, b = batch.z.float(), len(batch.z)
        with torch.no_grad(), self.job.processes.autocast():
            ctx = self.text_encoder(self.captions(batch.ids, random))
        t = torch.randint(len(self.alpha_bar), (b,), generator=random, device=self.device)
        eps = torch.randn(z0.shape, generator=random, device=self.device)
        a = self.alpha_bar[t][:, None, None, None]
        found = forward(a.sqrt() * z0 + (1 - a).sqrt() * eps, t, ctx)
        errors = (found.float() - eps).square().mean(dim=(1, 2, 3))
        return {"loss": (self.weights[t] * errors).mean(), "unweighted": errors.mean()}

    def captions(self, ids: Tensor, random: torch.Generator) -> Tensor:
        """ids (B,4,77) -> (B,77): one caption of each picture, or the empty one."""
        empty = torch.rand(len(ids), 1, generator=random, device=self.device) < _EMPTY
        return torch.where(empty, self.empty, one_caption(ids, random))

    @torch.no_grad()
    def sheet(self, model: nn.Module) -> Image.Image:
        """A row for each prompt, a column for each seed."""
        assert isinstance(model, UNet)
        vae, recipe = read_vae(self.job.out).to(self.device), self.job.recipe
        config = replace(recipe.model, vae=vae.config, text=self.text_encoder.config)
        sd = StableDiffusion(recipe.name, None, config, model, vae, self.text_encoder, self.tokenizer)
        rows = [sd.generate(prompt, _SEEDS, recipe.sheet_steps, _GUIDANCE) for prompt in PROMPTS]
        return sheet(rows, [[f"{prompt}, {seed}" for seed in _SEEDS] for prompt in PROMPTS])

    def export(self, model: nn.Module) -> None:
        out, c = self.job.out, self.job.recipe.model
        write_json(out / "scheduler" / "scheduler_config.json", schedule_json(c.schedule))
        write_json(out / "model_index.json", pipeline_json())
        write_json(out / "unet" / "config.json", unet_json(c.unet))
        write_weights(out / "unet" / PIPELINE, model.state_dict())


def min_snr(alpha_bar: Tensor, gamma: float = _GAMMA) -> Tensor:
    """w_t (1000,) of ᾱ_t (1000,)."""
    snr = alpha_bar / (1 - alpha_bar)
    return snr.clamp(max=gamma) / snr
