"""Stable Diffusion v1.x by hand in pure PyTorch. Its attention maps are ordinary tensors.

    import minisd
    sd = minisd.load("tiny")
    sd.generate("a cat wearing a crown")[0].save("cat.png")

The files at this level are the model. Read them in this order, in an evening: config, text, attention, unet, vae, ddim,
tap, emphasis, pipeline, picture.

    watch/     a drawing seen from outside: steps, previews, heat maps
    taps/      ready-made taps, and how to combine them
    loading/   checkpoint files -> modules, for every layout; nothing in a file is run
    cli/       the command `minisd`, and what it shares with `suppress`
    base/      for all of these: errors, checks of values, lazy imports, reading and safe writing of files
"""

from typing import TYPE_CHECKING

from .base.errors import CheckpointError, UserError
from .base.lazy import attributes

if TYPE_CHECKING:
    from .attention import Site
    from .config import SD14, Config, ScheduleConfig, TextConfig, UNetConfig, VAEConfig
    from .emphasis import Weighted, weighted
    from .loading.checkpoint import load
    from .loading.export import export
    from .loading.from_pipeline import from_pipeline
    from .pipeline import StableDiffusion
    from .tap import Tap
    from .taps.compose import Part, compose
    from .taps.heat_maps import heat_maps
    from .taps.prompt_to_prompt import Controller, Replace, Reweight
    from .taps.record import Average, Record
    from .taps.select import select
    from .text import TextEncoder
    from .unet import UNet
    from .vae import AutoencoderKL
    from .watch.film import Film
    from .watch.heat import Heat, heat
    from .watch.step import Step

__version__ = "0.1.0"

_MODULES = {
    "attention": ("Site",),
    "loading.checkpoint": ("load",),
    "loading.export": ("export",),
    "loading.from_pipeline": ("from_pipeline",),
    "config": ("SD14", "Config", "ScheduleConfig", "TextConfig", "UNetConfig", "VAEConfig"),
    "pipeline": ("StableDiffusion",),
    "tap": ("Tap",),
    "taps.compose": ("Part", "compose"),
    "taps.heat_maps": ("heat_maps",),
    "taps.prompt_to_prompt": ("Controller", "Replace", "Reweight"),
    "taps.record": ("Average", "Record"),
    "taps.select": ("select",),
    "text": ("TextEncoder",),
    "unet": ("UNet",),
    "vae": ("AutoencoderKL",),
    "watch.film": ("Film",),
    "watch.heat": ("Heat", "heat"),
    "watch.step": ("Step",),
    "emphasis": ("Weighted", "weighted"),
}
__getattr__ = attributes(__name__, {name: module for module, names in _MODULES.items() for name in names})

__all__ = [
    "SD14",
    "AutoencoderKL",
    "Average",
    "CheckpointError",
    "Config",
    "Controller",
    "Film",
    "Heat",
    "Part",
    "Record",
    "Replace",
    "Reweight",
    "ScheduleConfig",
    "Site",
    "StableDiffusion",
    "Step",
    "Tap",
    "TextConfig",
    "TextEncoder",
    "UNet",
    "UNetConfig",
    "UserError",
    "VAEConfig",
    "Weighted",
    "compose",
    "export",
    "from_pipeline",
    "heat",
    "heat_maps",
    "load",
    "select",
    "weighted",
]
