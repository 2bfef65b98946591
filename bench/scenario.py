"""What is timed: a model, a job, a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

import minisd
from minisd import StableDiffusion
from minisd.loading.source import data_folder
from minisd.loading.tokenizer import load_tokenizer
from minisd.text import TextEncoder
from suppress import Job, Method, SuppressEOT, Unread

PROMPT, TARGET = "a man without glasses", "glasses"

# The bench job is fixed and does not follow the defaults: 50 steps, guidance 7.5, R = .2, ITO in steps 10-19 × 10,
# cosine loss with cross and self terms, all 8 heads. "200" has ITO in steps 0-19, "swr" has no ITO. "unread" is the
# default method with the R of the embedded model, as the README's first command has it.
JOBS: dict[str, Method] = {
    "bench": SuppressEOT.official(heads=None),
    "200": SuppressEOT.official(heads=None, start=0),
    "swr": SuppressEOT.official(heads=None, iterations=0),
    "unread": Unread(start=0.06),
}


@dataclass(frozen=True)
class Scenario:
    model: str  # "tiny", any other source of minisd.load, or "fake-sd14": SD v1.4's shape with random weights
    job: str  # a name of JOBS
    batch: int
    device: str

    @property
    def settings(self) -> Method:
        return JOBS[self.job]

    @property
    def ito(self) -> tuple[int, int]:
        """(steps with ITO, iterations in each of them); (0, 0) for a job without ITO."""
        s = self.settings
        if not isinstance(s, SuppressEOT) or not s.iterations:
            return 0, 0
        return max(s.ito_end - s.start_step, 0), s.iterations

    @property
    def jobs(self) -> list[Job]:
        return [Job(PROMPT, TARGET, seed) for seed in range(self.batch)]

    def load(self, dtype: torch.dtype) -> StableDiffusion:
        if self.model == "fake-sd14":
            return fake_sd14(self.device, dtype)
        return minisd.load(self.model, self.device, dtype)


def fake_sd14(device: str, dtype: torch.dtype) -> StableDiffusion:
    """SD v1.4 in full size with random weights. Time and memory are those of a checkpoint, the pictures are noise."""
    config = minisd.SD14
    torch.manual_seed(0)  # the modules initialise themselves on the CPU, so the weights are the same on every device
    text = TextEncoder(config.text)
    for embedding in (text.embeddings.token_embedding, text.embeddings.position_embedding):
        torch.nn.init.normal_(embedding.weight, std=0.02)
    parts: dict[str, Any] = {
        "unet": minisd.UNet(config.unet),
        "vae": minisd.AutoencoderKL(config.vae),
        "text_encoder": text,
    }
    for module in parts.values():
        module.to(device, dtype).eval().requires_grad_(False)
    tokenizer = load_tokenizer(data_folder() / "clip_tokenizer")
    return StableDiffusion("fake-sd14", None, config, **parts, tokenizer=tokenizer)
