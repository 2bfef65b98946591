"""All numbers of the recipe: the sizes of the networks, and how each stage descends.

`TINY` is the embedded model. `MICRO` has the same parts with a few channels each: it tests every stage on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

from minisd.config import Config, ScheduleConfig, TextConfig, UNetConfig, VAEConfig
from suppress.metrics.clip import VisionConfig


@dataclass(frozen=True)
class Descent:
    """How a stage descends: AdamW (Loshchilov & Hutter 2019) with a cosine schedule."""

    steps: int  # the stage's budget, unless the command gives another
    batch: int  # samples per step, over all processes
    lr: float  # the highest learning rate
    weight_decay: float
    beta2: float  # of AdamW; its β1 is .9
    clip: float = 1.0  # a longer gradient is scaled down to this norm; 0: it is not
    ema: float = 0.0  # decay of the moving average of the weights; 0: none
    save_every: int = 1000  # steps between two checkpoints


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how."""

    name: str
    pictures: int  # of the drawn world; each has 4 captions
    projection: int  # dimensions of the space that CLIP's towers share
    vision: VisionConfig
    model: Config  # its vocab_size and scaling are found by the stages
    descents: dict[str, Descent]  # for each stage but the tokenizer
    sheet_steps: int  # DDIM steps of the UNet's sample sheets

    @property
    def side(self) -> int:
        """Pixels of a side of the pictures."""
        return self.model.unet.sample_size * self.model.vae.factor


TINY = Recipe(
    name="tiny",
    pictures=120_000,
    projection=192,
    vision=VisionConfig(dim=256, hidden=1024, layers=6, heads=8, image_size=128, patch_size=16),
    model=Config(
        unet=UNetConfig(channels=(64, 128, 192, 192), context_dim=192, sample_size=16),
        vae=VAEConfig(channels=(48, 96, 128, 128), layers=1, groups=16, scaling=1.0),
        schedule=ScheduleConfig(),
        text=TextConfig(dim=192, hidden=768, layers=4, heads=6),
    ),
    # steps and batches of the committed model; only its detector's steps were not counted
    descents={
        "clip": Descent(steps=1716, batch=1024, lr=1e-3, weight_decay=0.05, beta2=0.98),
        "vae": Descent(steps=4389, batch=128, lr=6e-4, weight_decay=1e-4, beta2=0.99, ema=0.999),
        "detector": Descent(steps=2000, batch=256, lr=2e-3, weight_decay=1e-3, beta2=0.999, clip=0),
        "unet": Descent(steps=7669, batch=512, lr=8e-4, weight_decay=0.01, beta2=0.99, ema=0.9995),
    },
    sheet_steps=25,
)

MICRO = Recipe(
    name="micro",
    pictures=96,
    projection=16,
    vision=VisionConfig(dim=32, hidden=64, layers=1, heads=2, image_size=32, patch_size=16),
    model=Config(
        unet=UNetConfig(
            channels=(16, 32), attention=(True, False), layers=1, heads=2, context_dim=32, groups=8, sample_size=4
        ),
        vae=VAEConfig(channels=(8, 8, 16, 16), layers=1, groups=4, scaling=1.0),
        schedule=ScheduleConfig(),
        text=TextConfig(dim=32, hidden=64, layers=1, heads=2),
    ),
    descents={
        "clip": Descent(steps=6, batch=8, lr=1e-3, weight_decay=0.05, beta2=0.98, save_every=4),
        "vae": Descent(steps=6, batch=4, lr=6e-4, weight_decay=1e-4, beta2=0.99, ema=0.999, save_every=4),
        "detector": Descent(steps=4, batch=4, lr=2e-3, weight_decay=1e-3, beta2=0.999, clip=0, save_every=4),
        "unet": Descent(steps=6, batch=8, lr=8e-4, weight_decay=0.01, beta2=0.99, ema=0.9995, save_every=4),
    },
    sheet_steps=2,
)

RECIPES = {recipe.name: recipe for recipe in (TINY, MICRO)}
