"""`load`: checkpoints -> modules. A folder in diffusers layout, a CompVis single file, a hub id, or "tiny".

Loading is strict: before any weights are read, names and shapes in the headers must be exactly those of the modules.
One error lists everything that is missing, unexpected or of another shape.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from ..base.arguments import plain, shown
from ..base.errors import CheckpointError, UserError
from ..base.inputs import read_json
from ..config import SD14, Config
from ..pipeline import StableDiffusion
from . import compvis
from .clip_skip import check_clip_skip, skip_layers
from .diffusers_layout import CONFIGS, check_vocabulary, diffusers_parts, text_name
from .family import SD1, SD1_UNET, family, has_ema
from .lora import open_lora, read_specs
from .own_vae import own_vae
from .parts import EmptyModule, check, empty_parts, fill, first_keys
from .source import Source, data_folder, find, weight_files
from .tokenizer import Tokenizer, load_tokenizer
from .weight_files import WeightFile, open_weights

_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)  # the last for exact comparisons


def load(
    source: str | os.PathLike[str] = "tiny",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    *,
    variant: str | None = None,
    revision: str | None = None,
    ema: bool = False,
    lora: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    vae: str | os.PathLike[str] | None = None,
    clip_skip: int | None = None,
) -> StableDiffusion:
    """A Stable Diffusion v1.x model, ready to draw.

    source: "tiny" (the embedded model), a folder in diffusers layout, a CompVis .safetensors or .ckpt file,
        or a hub id such as "CompVis/stable-diffusion-v1-4".
    variant: which files of a folder or hub id, e.g. "fp16". A part without this variant is loaded from its plain files.
    revision: of the hub's repository.
    device: None means the first of cuda, mps and cpu that the machine has.
    dtype: None means float32, with which a seed gives the same image everywhere.
    ema: take the moving average of the UNet's weights, from a single file that has both.
    lora: one or several LoRA files that are merged into the weights, "file.safetensors:0.8" (minisd/loading/lora.py).
    vae: a VAE of its own: a file, a folder or a hub id (minisd/loading/own_vae.py).
    clip_skip: how many of the text encoder's last layers are left out (minisd/loading/clip_skip.py).

    Raises CheckpointError for a file that is damaged, incomplete or of another family, and UserError for a source
    that is none of the four.
    """
    device = _check_device(device)
    dtype = check_dtype(torch.float32 if dtype is None else dtype, device)
    for name, value in (("variant", variant), ("revision", revision)):
        if value is not None and not isinstance(value, str):
            raise UserError(f"{name} = {shown(value)}; expected a string, such as 'fp16' or 'main', or None")
    if not isinstance(plain(ema), bool):
        raise UserError(f"ema = {shown(ema)}; expected True or False")
    specs = read_specs(lora)
    found = find(source, variant, revision)
    config, parts = read_parts(found, variant, ema)
    check_clip_skip(clip_skip, config.text)
    unused = None if vae is None else parts["vae"]
    if vae is not None:
        config, parts["vae"] = own_vae(vae, config)
    if ignored := check(parts, unused):
        warnings.warn(f"{found.name}: ignored, as no picture depends on it: {first_keys(ignored)}", stacklevel=2)
    tokenizer = _tokenizer(found, config)  # before the weights, which take longest to read
    loras = [open_lora(name, scale, {part: empty.module for part, empty in parts.items()}) for name, scale in specs]
    modules = {name: fill(parts[name], dtype, device) for name in ("unet", "vae", "text_encoder")}
    for each in loras:
        each.merge(modules)
    folder = found.path if found.is_folder else None
    changes: dict[str, Any] = {"lora": [f"{name}:{scale}" for name, scale in specs]} if specs else {}
    if vae is not None:
        changes["vae"] = os.fspath(vae)
    changes |= {name: value for name, value in (("variant", variant), ("revision", revision), ("ema", ema)) if value}
    sd = StableDiffusion(found.name, folder, config, tokenizer=tokenizer, changes=changes, **modules)
    return skip_layers(sd, clip_skip)


def check_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype; UserError if the device cannot draw a picture with it."""
    if not isinstance(dtype, torch.dtype) or dtype not in _DTYPES:
        raise UserError(f"dtype = {shown(dtype)}; expected torch.float32, torch.float16 or torch.bfloat16")
    if dtype == torch.float64 and device.type == "mps":
        raise UserError("dtype = torch.float64: Apple's GPUs (mps) have none; load with torch.float32, or on the CPU")
    return dtype


def _check_device(device: str | torch.device | None) -> torch.device:
    """The device; UserError, with the names of those that work here, if it cannot be used."""
    names = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    device = names[0] if device is None else device
    try:
        checked = torch.device(device)
        torch.empty(0, device=checked)
    except (RuntimeError, AssertionError, TypeError, ValueError, OverflowError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise UserError(f"device {shown(device)} cannot be used here: {reason}. There is {', '.join(names)}") from error
    if checked.type == "meta":
        raise UserError(f"device {device!r} holds shapes without numbers and cannot draw. There is {', '.join(names)}")
    return checked


def read_parts(source: Source, variant: str | None, ema: bool) -> tuple[Config, dict[str, EmptyModule]]:
    """The checkpoint's sizes and its parts, from config files and headers alone: no weights are read."""
    return _folder_parts(source, variant, ema) if source.is_folder else _file_parts(source, ema)


def _folder_parts(source: Source, variant: str | None, ema: bool) -> tuple[Config, dict[str, EmptyModule]]:
    """A folder in diffusers layout."""
    folder = source.path
    if ema:
        raise UserError(f"ema=True is for single files with both sets; for {source.name} see its variants (non_ema)")
    files = weight_files(folder, variant)
    configs = {part: read_json(folder / file) for part, file in CONFIGS.items()}
    return diffusers_parts(str(folder), configs, {part: open_weights(file) for part, file in files.items()})


def _file_parts(source: Source, ema: bool) -> tuple[Config, dict[str, EmptyModule]]:
    """A CompVis single file. It has no config, so it must have the sizes of SD v1.4."""
    weights = open_weights(source.path)
    kind = family(weights.shapes)
    if kind != SD1:
        raise CheckpointError(
            f"{source.path} looks like {kind}; expected {SD1}. "
            f"Its first keys: {', '.join(sorted(weights.shapes)[:3])}"
            + (". Give the folder that holds unet/, vae/ and the rest instead" if kind == SD1_UNET else "")
        )
    if ema and not has_ema(weights.shapes):
        raise CheckpointError(f"{source.path} holds no EMA weights (model_ema.*); load it without ema=True")
    return SD14, single_file_parts(SD14, weights, ema)


def single_file_parts(config: Config, weights: WeightFile, ema: bool = False) -> dict[str, EmptyModule]:
    """The parts of a CompVis file of any sizes. `minisd/loading/compvis.py` has the table of keys."""
    c = config.unet
    unet_rules = compvis.unet_rules(c.layers, len(c.channels), c.attention)
    vae_rules = compvis.vae_rules(len(config.vae.channels))
    clip_name = text_name(weights)

    def unet_name(key: str) -> str:
        name = compvis.rename(key, unet_rules)
        return compvis.ema_key(name) if ema else compvis.UNET + name

    names = {
        "unet": unet_name,
        "vae": lambda key: compvis.VAE + compvis.rename(key, vae_rules),
        "text_encoder": lambda key: compvis.TEXT + clip_name(key),
    }
    return empty_parts(config, dict.fromkeys(names, weights), names)


def _tokenizer(source: Source, config: Config) -> Tokenizer:
    """The folder's tokenizer. A single file has none and gets CLIP's vocabulary."""
    if not source.is_folder:
        return load_tokenizer(data_folder() / "clip_tokenizer")
    tokenizer = load_tokenizer(source.path / "tokenizer")
    check_vocabulary(f"the tokenizer in {source.path}", tokenizer, config)
    return tokenizer
