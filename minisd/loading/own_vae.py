"""`vae=`: another VAE than the checkpoint's, from a file, a folder or the hub.

    a file              a VAE with CompVis' names (vae-ft-mse-840000-ema-pruned) or diffusers' names, or a whole model.
                        It has no config, so it must have the sizes of the checkpoint's own VAE
    a folder, a hub id  a VAE (config.json beside its weights), or a whole model, whose vae/ is taken

Its latents must be those that the UNet was trained on. The loader can only check their channels and their size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..base.arguments import shown
from ..base.errors import CheckpointError, UserError
from ..base.inputs import read_json
from ..config import Config
from ..vae import AutoencoderKL
from . import compvis
from .config_files import vae_config
from .diffusers_layout import check_channels, vae_name
from .parts import EmptyModule
from .source import find_file, is_hub_id, snapshot, weight_names
from .weight_files import Header, WeightFile, open_weights

_ENDINGS = (".safetensors", ".bin")  # in order of preference


def own_vae(vae: str | os.PathLike[str], config: Config) -> tuple[Config, EmptyModule]:
    """The config with the sizes of the other VAE, and the VAE without its weights.

    UserError if there is no such file, folder or hub id; CheckpointError if it does not go with the UNet.
    """
    name = os.fspath(vae) if isinstance(vae, str | os.PathLike) else vae
    if not isinstance(name, str):
        raise UserError(f"vae = {shown(vae)}; expected a file, a folder or a hub id")
    folder = _folder(name)
    if folder is None:
        weights = _vae_alone(open_weights(find_file(name, "a VAE")))
        return config, _part(config, weights, _single_name(config, weights))
    vae_sizes = vae_config(read_json(folder / "config.json"), str(folder / "config.json"))
    if vae_sizes.factor != config.vae.factor or vae_sizes.in_channels != config.vae.in_channels:
        raise CheckpointError(
            f"{folder}: this VAE makes {vae_sizes.factor} pixels of a latent and the checkpoint's own "
            f"{config.vae.factor}; expected a VAE of Stable Diffusion v1.x"
        )
    config = replace(config, vae=vae_sizes)
    check_channels(str(folder), config)
    weights = open_weights(_weight_file(folder))
    return config, _part(config, weights, vae_name(weights))


def _part(config: Config, weights: WeightFile, name: Callable[[str], str]) -> EmptyModule:
    with torch.device("meta"):
        module = AutoencoderKL(config.vae)
    return EmptyModule(module, weights, {key: name(key) for key in module.state_dict()})


class _Selection:
    """Some of the tensors of a file."""

    def __init__(self, of: WeightFile, shapes: Mapping[str, Header]):
        self.of, self.shapes = of, shapes
        self.name = f"{of.name} (its VAE)"  # the same file may also be the model's own

    def read(self, keys: Iterable[str], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
        return self.of.read(keys, dtype, device)


def _vae_alone(weights: WeightFile) -> WeightFile:
    """A file without what is not of the VAE: the other parts of a whole model, and what only its training needed."""
    prefix = compvis.VAE if any(key.startswith(compvis.VAE) for key in weights.shapes) else ""
    training = (f"{prefix}loss.", f"{prefix}model_ema.")
    kept = {k: h for k, h in weights.shapes.items() if k.startswith(prefix) and not k.startswith(training)}
    return _Selection(weights, kept)


def _single_name(config: Config, weights: WeightFile) -> Callable[[str], str]:
    """Our key -> the key in a single file."""
    if any(key.startswith(("encoder.down_blocks.", "decoder.up_blocks.")) for key in weights.shapes):
        return vae_name(weights)
    rules = compvis.vae_rules(len(config.vae.channels))
    prefix = compvis.VAE if any(key.startswith(compvis.VAE) for key in weights.shapes) else ""
    return lambda key: prefix + compvis.rename(key, rules)


def _folder(name: str) -> Path | None:
    """The folder with the VAE's config.json; None for a name that is not of a folder or a hub id."""
    try:
        path = Path(name).expanduser()
        if name and path.is_dir():
            return _within(path)
        if path.exists() or not is_hub_id(name):
            return None
    except (ValueError, OSError, RuntimeError):  # a name that no file can have
        return None
    return _within(_from_hub(name))


def _within(folder: Path) -> Path:
    """The folder itself, or its vae/ if it holds a whole model."""
    return folder / "vae" if (folder / "vae").is_dir() else folder


def _from_hub(repo: str) -> Path:
    """A repository's folder in the hub's cache, with the files of its VAE and no others."""
    folder = Path()
    for ending in _ENDINGS:
        names = ["config.json", *weight_names("vae", None, ending)]
        folder = snapshot(repo, None, [*names, *(f"vae/{name}" for name in names)])
        if _weight_files(_within(folder), ending):
            break
    return folder


def _weight_files(folder: Path, ending: str) -> list[Path]:
    """The VAE's weights in this folder: a file, or an index of shards. Variants such as fp16 are not looked for."""
    return [folder / name for name in weight_names("vae", None, ending)[:3] if (folder / name).exists()]


def _weight_file(folder: Path) -> Path:
    found: list[Any] = [file for ending in _ENDINGS for file in _weight_files(folder, ending)]
    if not found:
        raise CheckpointError(f"{folder} has no weights of a VAE ({weight_names('vae', None, _ENDINGS[0])[0]})")
    return found[0]
