"""`from_pipeline`: a StableDiffusionPipeline of diffusers in memory -> a model of minisd.

diffusers is not imported here. What the pipeline's parts say about themselves (their configs) and their state dicts are
checked as strictly as a folder's files, by the same rules.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..base.arguments import shown
from ..base.errors import UserError
from ..config import Config
from ..pipeline import StableDiffusion
from .checkpoint import check_dtype
from .clip_skip import skip_layers
from .diffusers_layout import check_vocabulary, diffusers_parts
from .parts import check, fill, first_keys
from .source import PARTS
from .tokenizer import Tokenizer, load_tokenizer
from .weight_files import InMemory

_NEEDED = (*PARTS, "tokenizer", "scheduler")
# parts that change no picture, or only look at a finished one
_HARMLESS = ("safety_checker", "feature_extractor")
_OTHERS = {  # parts that only pipelines of other families have
    "text_encoder_2": "an SDXL or SD 3 pipeline, with two text encoders",
    "transformer": "a pipeline with a transformer in place of the UNet (SD 3, FLUX, …)",
    "prior": "a pipeline with a prior (Kandinsky, Stable Cascade, …)",
}


def from_pipeline(pipe: Any, *, clip_skip: int | None = None) -> StableDiffusion:
    """The model in a diffusers StableDiffusionPipeline, with the pipeline's dtype and device.

    No weight is copied: the two share their memory. So a change of the pipeline's weights in place, such as training or
    `fuse_lora`, changes this model too; make it again afterwards. A part with another dtype or device than the UNet's
    is converted, with a warning. The sampler is this project's DDIM with the scheduler's noise levels.

    `folder` of the model is None: values that were measured on a checkpoint (defaults.json) are not used, because the
    weights in memory may be others.

    clip_skip: as in `load`.

    UserError for what is no such pipeline, for parts that are missing or still have separate LoRA layers, and for other
    families (SD 2, SDXL, …). CheckpointError, as of `load`, for weights and configs that are not of SD v1.
    """
    _check_pipeline(pipe)
    configs = {name: _config(name, getattr(pipe, name)) for name in (*PARTS, "scheduler")}
    states = {name: _state(name, getattr(pipe, name)) for name in PARTS}
    weights = {name: InMemory(f"pipe.{name}", state) for name, state in states.items()}
    places = {name: f"pipe.{name}.config" for name in configs}
    config, parts = diffusers_parts("the pipeline", configs, weights, places)
    if ignored := check(parts):
        warnings.warn(f"the pipeline: ignored, as no picture depends on it: {first_keys(ignored)}", stacklevel=2)
    tokenizer = _tokenizer(pipe.tokenizer, config)
    device = states["unet"]["conv_in.weight"].device
    dtype = check_dtype(states["unet"]["conv_in.weight"].dtype, device)
    if other := [text for name in PARTS if (text := _unlike(name, states[name], dtype, device))]:
        warnings.warn(f"converted to the UNet's {dtype} on {device}: {'; '.join(other)}", stacklevel=2)
    unet, vae, text_encoder = (fill(parts[name], dtype, device) for name in ("unet", "vae", "text_encoder"))
    name = getattr(pipe, "name_or_path", None)
    sd = StableDiffusion(
        name=name if isinstance(name, str) and name else "pipeline",
        folder=None,
        config=config,
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
    )
    return skip_layers(sd, clip_skip)


def _check_pipeline(pipe: Any) -> None:
    """UserError unless it has the parts of a StableDiffusionPipeline. A warning names parts that are left out."""
    if isinstance(pipe, StableDiffusion):
        raise UserError(f"{pipe!r} is a model of minisd already; give it to suppress.run as it is")
    absent = [name for name in _NEEDED if not hasattr(pipe, name)]
    if len(absent) == len(_NEEDED):
        raise UserError(
            f"pipe = {shown(pipe)}; expected a StableDiffusionPipeline of diffusers. minisd.load reads a folder, a "
            "file or a hub id"
        )
    for name, what in _OTHERS.items():
        if getattr(pipe, name, None) is not None:
            raise UserError(f"{type(pipe).__name__} is {what}; minisd reads Stable Diffusion v1.x")
    if lost := absent or [name for name in _NEEDED if getattr(pipe, name) is None]:
        raise UserError(f"{type(pipe).__name__} has no {', '.join(lost)}; load the pipeline with all its parts")
    more = getattr(pipe, "components", None)
    known = (*_NEEDED, *_HARMLESS)
    if extra := [name for name, part in dict(more or {}).items() if part is not None and name not in known]:
        warnings.warn(f"{type(pipe).__name__}: its {', '.join(extra)} cannot be taken over", stacklevel=3)


def _config(name: str, part: Any) -> Mapping[str, Any]:
    """What a part says about itself: diffusers' configs are mappings, those of transformers turn into one."""
    config = getattr(part, "config", None)
    if config is not None and not isinstance(config, Mapping) and hasattr(config, "to_dict"):
        config = config.to_dict()
    if not isinstance(config, Mapping):
        raise UserError(f"pipe.{name} = {shown(part)} has no config; expected the {name} of a StableDiffusionPipeline")
    return config


def _state(name: str, part: Any) -> dict[str, Tensor]:
    """The tensors of a part. UserError if it has none, or has layers of a LoRA beside its weights."""
    part = getattr(part, "_orig_mod", part)  # torch.compile puts the module into another one
    state = part.state_dict() if hasattr(part, "state_dict") else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(x, Tensor) for x in state.values()):
        raise UserError(f"pipe.{name} = {shown(part)} has no weights; expected a module of PyTorch")
    if any(".lora_A." in key or ".lora." in key for key in state):
        raise UserError(
            f"pipe.{name} has LoRA layers beside its weights; merge them first: pipe.fuse_lora() and then "
            "pipe.unload_lora_weights()"
        )
    if any(x.device.type == "meta" for x in state.values()):
        raise UserError(
            f"the weights of pipe.{name} are not in memory (device meta): the pipeline moves them to and fro; load it "
            "without enable_sequential_cpu_offload() and device_map"
        )
    return dict(state)


def _unlike(name: str, state: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device) -> str:
    """ "vae (torch.float16, cpu)" if its weights have another dtype or device; else empty."""
    floats = [x for x in state.values() if x.is_floating_point()]
    other = next((x for x in floats if x.dtype != dtype or x.device != device), None)
    return "" if other is None else f"{name} ({other.dtype}, {other.device})"


def _tokenizer(part: Any, config: Config) -> Tokenizer:
    """The tokenizer, through the files that it writes: their format is public, its inner parts are not."""
    if not hasattr(part, "save_pretrained"):
        raise UserError(f"pipe.tokenizer = {shown(part)}; expected a CLIPTokenizer of transformers")
    with tempfile.TemporaryDirectory(prefix="minisd-") as folder:
        part.save_pretrained(folder)
        tokenizer = load_tokenizer(Path(folder))
    check_vocabulary("pipe.tokenizer", tokenizer, config)
    return tokenizer
