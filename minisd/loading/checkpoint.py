"""`load`: checkpoints -> modules. A folder in diffusers layout, a CompVis single file, a hub id, or "tiny".

The modules are made on the meta device (without memory or random numbers), and the file's tensors become their
parameters (`assign=True`). Loading is strict: before any weights are read, names and shapes in the headers must be
exactly those of the modules. One error lists everything that is missing, unexpected or of another shape.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..base.arguments import plain, printable, shown
from ..base.errors import CheckpointError, UserError
from ..base.inputs import read_json
from ..config import SD14, Config
from ..pipeline import StableDiffusion
from ..text import TextEncoder
from ..unet import UNet
from ..vae import AutoencoderKL
from . import compvis, config_files
from .family import SD1, SD1_UNET, family, has_ema
from .source import Source, data_folder, find, weight_files
from .tokenizer import Tokenizer, load_tokenizer
from .weight_files import WEIGHT_DTYPES, WeightFile, open_weights

_SHOWN = 12  # keys of each kind in an error
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)  # the last for exact comparisons


@dataclass
class EmptyModule:
    """A module without weights, and where to find them."""

    module: nn.Module  # on the meta device
    weights: WeightFile
    names: dict[str, str]  # the module's key -> the name in the file


def load(
    source: str | os.PathLike[str] = "tiny",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    *,
    variant: str | None = None,
    revision: str | None = None,
    ema: bool = False,
) -> StableDiffusion:
    """A Stable Diffusion v1.x model, ready to draw.

    source: "tiny" (the embedded model), a folder in diffusers layout, a CompVis .safetensors or .ckpt file,
        or a hub id such as "CompVis/stable-diffusion-v1-4".
    variant: which files of a folder or hub id, e.g. "fp16". A part without this variant is loaded from its plain files.
    revision: of the hub's repository.
    device: None means the first of cuda, mps and cpu that the machine has.
    dtype: None means float32, with which a seed gives the same image everywhere.
    ema: take the moving average of the UNet's weights, from a single file that has both.

    Raises CheckpointError for a file that is damaged, incomplete or of another family, and UserError for a source
    that is none of the four.
    """
    device = _check_device(device)
    dtype = _check_dtype(torch.float32 if dtype is None else dtype, device)
    for name, value in (("variant", variant), ("revision", revision)):
        if value is not None and not isinstance(value, str):
            raise UserError(f"{name} = {shown(value)}; expected a string, such as 'fp16' or 'main', or None")
    if not isinstance(plain(ema), bool):
        raise UserError(f"ema = {shown(ema)}; expected True or False")
    found = find(source, variant, revision)
    config, parts = read_parts(found, variant, ema)
    if ignored := check(parts):
        warnings.warn(f"{found.name}: ignored, as no picture depends on it: {first_keys(ignored)}", stacklevel=2)
    tokenizer = _tokenizer(found, config)  # before the weights, which take longest to read
    unet, vae, text_encoder = (_fill(parts[name], dtype, device) for name in ("unet", "vae", "text_encoder"))
    return StableDiffusion(
        name=found.name,
        folder=found.path if found.is_folder else None,
        config=config,
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
    )


def _check_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
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
    """A folder in diffusers layout. Its keys are those of our modules, except for old names in the VAE's attention."""
    folder = source.path
    if ema:
        raise UserError(f"ema=True is for single files with both sets; for {source.name} see its variants (non_ema)")
    files = weight_files(folder, variant)
    config = Config(
        unet=config_files.unet_config(read_json(folder / "unet" / "config.json")),
        vae=config_files.vae_config(read_json(folder / "vae" / "config.json")),
        schedule=config_files.schedule_config(read_json(folder / "scheduler" / "scheduler_config.json")),
        text=config_files.text_config(read_json(folder / "text_encoder" / "config.json")),
    )
    width, channels = config.text.dim, config.vae.latent_channels
    if width != config.unet.context_dim:
        raise CheckpointError(
            f"{folder}: the text encoder is {width} wide and the UNet expects {config.unet.context_dim}"
        )
    if channels != config.unet.in_channels:
        raise CheckpointError(
            f"{folder}: the VAE's latents have {channels} channels, the UNet's {config.unet.in_channels}"
        )
    weights = {part: open_weights(file) for part, file in files.items()}
    rename: dict[str, Callable[[str], str]] = {
        "unet": str,
        "vae": _vae_name(weights["vae"]),
        "text_encoder": _text_name(weights["text_encoder"]),
    }
    return config, _parts(config, weights, rename)


def _vae_name(weights: WeightFile) -> Callable[[str], str]:
    """In files from before 2023 the layers of the VAE's attention are called query, key, value and proj_attn."""
    if not any(key.endswith("attentions.0.query.weight") for key in weights.shapes):
        return str
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    return lambda key: re.sub(r"(attentions\.0)\.(to_q|to_k|to_v|to_out\.0)\.", lambda m: f"{m[1]}.{old[m[2]]}.", key)


def _text_name(weights: WeightFile) -> Callable[[str], str]:
    """In most files, every key of the text encoder begins with `text_model.`; transformers 5 leaves that out."""
    prefixed = any(key.endswith("text_model.embeddings.token_embedding.weight") for key in weights.shapes)
    bare = any(key.endswith("embeddings.token_embedding.weight") for key in weights.shapes)
    return str if bare and not prefixed else lambda key: "text_model." + key


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
    text_name = _text_name(weights)

    def unet_name(key: str) -> str:
        name = compvis.rename(key, unet_rules)
        return compvis.ema_key(name) if ema else compvis.UNET + name

    names = {
        "unet": unet_name,
        "vae": lambda key: compvis.VAE + compvis.rename(key, vae_rules),
        "text_encoder": lambda key: compvis.TEXT + text_name(key),
    }
    return _parts(config, dict.fromkeys(names, weights), names)


def _parts(
    config: Config, weights: Mapping[str, WeightFile], names: Mapping[str, Callable[[str], str]]
) -> dict[str, EmptyModule]:
    with torch.device("meta"):
        modules = {
            "unet": UNet(config.unet),
            "vae": AutoencoderKL(config.vae),
            "text_encoder": TextEncoder(config.text),
        }
    return {
        part: EmptyModule(module, weights[part], {key: names[part](key) for key in module.state_dict()})
        for part, module in modules.items()
    }


def check(parts: Mapping[str, EmptyModule]) -> list[str]:
    """Compares the headers with the modules, before any weights are read.

    Returns the keys that are ignored because no picture depends on them (`compvis.HARMLESS`). If the weights do not
    fit, CheckpointError lists everything that is missing, unexpected or of another shape.
    """
    missing, wrong = [], []
    wanted: dict[str, set[str]] = {}
    for part in parts.values():
        expected = part.module.state_dict()
        wanted.setdefault(part.weights.name, set()).update(part.names.values())
        for key, name in part.names.items():
            found, shape = part.weights.shapes.get(name), tuple(expected[key].shape)
            if found is None:
                missing.append(name)
            elif found.dtype not in WEIGHT_DTYPES:
                wrong.append(f"{name} of the kind {found.dtype}, quantised or no weight; expected F32, F16 or BF16")
            elif found.shape != shape and not _is_1x1(found.shape, shape):
                wrong.append(f"{name} {found.shape} for {shape}")
    sources = {part.weights.name: part.weights for part in parts.values()}
    others = [
        key
        for name, weights in sources.items()
        for key in weights.shapes
        if key not in wanted[name] and not compvis.IGNORED.fullmatch(key) and not _other_set(key, wanted[name])
    ]
    ignored = [key for key in others if compvis.HARMLESS.fullmatch(key)]
    unexpected = [key for key in others if not compvis.HARMLESS.fullmatch(key)]
    if missing or unexpected or wrong:
        looks = "; ".join(f"{name} looks like {family(w.shapes)}" for name, w in sources.items())
        raise CheckpointError(
            "the checkpoint does not fit Stable Diffusion v1.x"
            + _absent(parts)
            + _listing("missing", missing)
            + _listing("unexpected", unexpected)
            + _listing("wrong shape or dtype", wrong)
            + f"\n  {looks}"
        )
    return ignored


def _absent(parts: Mapping[str, EmptyModule]) -> str:
    """A line for each part that is completely missing from the files."""
    texts = {"unet": "UNet", "vae": "VAE", "text_encoder": "text encoder"}
    lines = [
        f"\n  {part.weights.name} holds no {texts[name]}: take a version of the model that has it"
        for name, part in parts.items()
        if not any(key in part.weights.shapes for key in part.names.values())
    ]
    return "".join(lines)


def _other_set(key: str, wanted: set[str]) -> bool:
    """Whether the key is of the plain UNet weights, which are not used with ema=True."""
    return key.startswith(compvis.UNET) and not any(name.startswith(compvis.UNET) for name in wanted)


def _listing(what: str, keys: list[str]) -> str:
    return f"\n  {what} ({len(keys)}): {first_keys(keys)}" if keys else ""


def first_keys(keys: list[str]) -> str:
    """The first keys of a list, and the number of the others."""
    more = f", … {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(map(printable, keys[:_SHOWN])) + more


def _is_1x1(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """CompVis stores the layers of the VAE's attention as 1x1 convolutions: (C,C,1,1) instead of (C,C)."""
    return found == (*expected, 1, 1)


def _tensors(part: EmptyModule, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    tensors = part.weights.read(part.names.values(), dtype, device)
    expected = part.module.state_dict()
    return {key: tensors.pop(name).reshape(expected[key].shape) for key, name in part.names.items()}


def _fill(part: EmptyModule, dtype: torch.dtype, device: torch.device) -> Any:
    part.module.load_state_dict(_tensors(part, dtype, device), strict=True, assign=True)
    return part.module.eval().requires_grad_(False)


def _tokenizer(source: Source, config: Config) -> Tokenizer:
    """The folder's tokenizer. A single file has none and gets CLIP's vocabulary."""
    if not source.is_folder:
        return load_tokenizer(data_folder() / "clip_tokenizer")
    tokenizer = load_tokenizer(source.path / "tokenizer")
    if tokenizer.size > config.text.vocab_size:
        raise CheckpointError(
            f"the tokenizer in {source.path} has ids up to {tokenizer.size - 1}, and its text encoder embeds "
            f"{config.text.vocab_size} tokens: they are not of one checkpoint"
        )
    return tokenizer
