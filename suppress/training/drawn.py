"""Erasers that train on pictures which the model draws itself, once, before the first iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from minisd import StableDiffusion
from minisd.base.arguments import number, whole_number
from minisd.ddim import alpha_bar

from .eraser import Progress
from .objective import Objective, generator

AT_ONCE = 8  # pictures that are drawn in one batch


@dataclass(frozen=True)
class Noised:
    """Some of the drawn pictures with noise, as one iteration needs them."""

    z: Tensor  # (B,4,h,w)
    t: Tensor  # (B,)
    eps: Tensor  # (B,4,h,w), the noise in z
    texts: list[int]  # which text each was drawn for


@dataclass(frozen=True)
class Drawn(Objective):
    """Settings of an eraser that trains on drawn pictures."""

    pictures: int = 200  # how many are drawn; picture n is of text n modulo the number of texts
    drawing_steps: int = 50  # DDIM steps
    drawing_guidance: float = 7.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pictures", "drawing_steps"):
            whole_number(name, getattr(self, name), 1)
        object.__setattr__(self, "drawing_guidance", number("drawing_guidance", self.drawing_guidance, -math.inf))

    def drawn_texts(self) -> list[str]:
        """The texts that pictures are drawn of."""
        return self.texts()

    def prepare(self, sd: StableDiffusion, progress: Progress | None = None) -> dict[str, Tensor]:
        """{"z": latents (pictures,4,h,w)} of the drawn pictures."""
        texts, uncond = self.drawn_texts(), sd.encode_text("")
        batches = self.noise(sd, self.pictures, generator(self.seed, -1)).split(AT_ONCE)
        drawn, bar = [], progress(batches, total=len(batches), unit="batch") if progress else batches
        for n, z in enumerate(bar):
            of = [texts[(n * AT_ONCE + j) % len(texts)] for j in range(len(z))]
            for _, _, after in sd.sample(
                sd.encode_text(of), uncond, z.to(sd.device), self.drawing_steps, self.drawing_guidance
            ):
                z = after
            drawn.append(z)
        return {"z": torch.cat(drawn)}

    def noised(self, sd: StableDiffusion, prepared: dict[str, Tensor], random: torch.Generator) -> Noised:
        """A batch of them at random noise levels: z_t = √ᾱ_t z_0 + √(1-ᾱ_t) ε."""
        z0, levels = prepared["z"], alpha_bar(sd.config.schedule)
        picked = torch.randint(len(z0), (self.batch,), generator=random)
        least = min(round((1 - self.levels) * len(levels)), len(levels) - 1)
        t = torch.randint(least, len(levels), (self.batch,), generator=random)
        eps = torch.randn(self.batch, *z0.shape[1:], generator=random).to(z0)
        alpha = levels[t].to(z0)[:, None, None, None]
        z = alpha.sqrt() * z0[picked.to(z0.device)] + (1 - alpha).sqrt() * eps
        count = len(self.drawn_texts())
        return Noised(z, t.to(z0.device), eps, [n % count for n in picked.tolist()])
