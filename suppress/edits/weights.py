"""Other weights, or layers, for the UNet: a few are new, all others are shared with the model."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from minisd import CheckpointError, UNet, UserError
from minisd.base.arguments import shown
from minisd.loading.weight_files import WEIGHT_DTYPES, SafetensorsFile


def read_delta(path: str | os.PathLike[str], unet: UNet) -> dict[str, Tensor]:
    """Reads the tensors of a .safetensors file that replace parameters of the UNet, in its dtype and on its device.

    Their names are those of the UNet's state dict ("mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight").
    UserError if the file is missing, empty or damaged, and for names and shapes that the UNet does not have.
    """
    file = Path(path)
    if not os.path.isfile(file):  # False also for a name that no file can have
        raise UserError(f"there is no file {shown(str(path))}; expected a .safetensors file with tensors of the UNet")
    try:
        found = SafetensorsFile(file)
        own = dict(unet.named_parameters())
        wrong = [name for name in found.shapes if name not in own]
        if wrong or not found.shapes:
            known = "a UNet's state dict, such as " + next(name for name in own if "attn2.to_k" in name)
            raise UserError(f"{file} has {_listed(wrong) or 'no tensors'}; expected names of {known}")
        for name, header in found.shapes.items():
            if header.shape != tuple(own[name].shape) or header.dtype not in WEIGHT_DTYPES:
                have = f"{header.dtype} {header.shape}"
                raise UserError(f"{file}: {name} is {have}; expected numbers of shape {tuple(own[name].shape)}")
        weight = unet.conv_in.weight
        tensors = found.read(found.shapes, weight.dtype, weight.device)
    except CheckpointError as error:
        raise UserError(str(error)) from None
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise UserError(f"{file} has infinite values or NaN in {_listed(broken)}; train the weights again in float32")
    return tensors


def with_weights(unet: UNet, tensors: Mapping[str, Tensor]) -> UNet:
    """A UNet in which `tensors` replace the parameters of these names. All other parameters are shared with `unet`."""
    other = copy.deepcopy(unet, {id(p): p for p in unet.parameters()})
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        setattr(other.get_submodule(module), leaf, nn.Parameter(tensor, requires_grad=False))
    return other


def with_layers(unet: UNet, layers: Mapping[str, nn.Module]) -> UNet:
    """A UNet in which `layers` replace the modules of these names. All parameters are shared with `unet`."""
    other = copy.deepcopy(unet, {id(p): p for p in unet.parameters()})
    for name, layer in layers.items():
        module, _, leaf = name.rpartition(".")
        setattr(other.get_submodule(module), leaf, layer)
    return other


def _listed(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more
