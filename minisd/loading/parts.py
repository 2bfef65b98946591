"""The modules of a model without weights, and the strict comparison with the file or the memory that has the weights.

The modules are made on the meta device (without memory or random numbers), and the file's tensors become their
parameters (`assign=True`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..base.arguments import printable
from ..base.errors import CheckpointError
from ..config import Config
from ..text import TextEncoder
from ..unet import UNet
from ..vae import AutoencoderKL
from . import compvis
from .family import family
from .weight_files import WEIGHT_DTYPES, WeightFile

_SHOWN = 12  # keys of each kind in an error


@dataclass
class EmptyModule:
    """A module without weights, and where to find them."""

    module: nn.Module  # on the meta device
    weights: WeightFile
    names: dict[str, str]  # the module's key -> the name in the file


def empty_parts(
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


def check(parts: Mapping[str, EmptyModule], unused: EmptyModule | None = None) -> list[str]:
    """Compares the headers with the modules, before any weights are read.

    unused: a part of the same files that another replaces; it may be there or not.

    Returns the keys that are ignored because no picture depends on them (`compvis.HARMLESS`). If the weights do not
    fit, CheckpointError lists everything that is missing, unexpected or of another shape.
    """
    missing, wrong = [], []
    wanted: dict[str, set[str]] = {unused.weights.name: set(unused.names.values())} if unused else {}
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
            + listing("missing", missing)
            + listing("unexpected", unexpected)
            + listing("wrong shape or dtype", wrong)
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


def listing(what: str, keys: list[str]) -> str:
    """A line of an error: what is wrong with these keys, how many there are, and the first; empty if there are none."""
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


def fill(part: EmptyModule, dtype: torch.dtype, device: torch.device) -> Any:
    part.module.load_state_dict(_tensors(part, dtype, device), strict=True, assign=True)
    return part.module.eval().requires_grad_(False)
