"""Stable Diffusion v1.x by hand in pure PyTorch, its attention maps ordinary tensors.

In three lines:

    import minisd
    sd = minisd.load("tiny")
    sd.generate("a cat wearing a crown")[0].save("cat.png")
"""

from .attention import Site
from .checkpoint import load
from .config import SD14, Config, ScheduleConfig, UNetConfig, VAEConfig
from .errors import CheckpointError, UserError
from .pipeline import StableDiffusion
from .tap import Average, Controller, Part, Record, Replace, Reweight, Tap, compose, heat_maps, select
from .unet import UNet
from .vae import AutoencoderKL

__version__ = "0.1.0"

__all__ = [
    "SD14",
    "AutoencoderKL",
    "Average",
    "CheckpointError",
    "Config",
    "Controller",
    "Part",
    "Record",
    "Replace",
    "Reweight",
    "ScheduleConfig",
    "Site",
    "StableDiffusion",
    "Tap",
    "UNet",
    "UNetConfig",
    "UserError",
    "VAEConfig",
    "compose",
    "heat_maps",
    "load",
    "select",
]
