"""Other weights, or layers, for the UNet: a few are new, all others are shared with the model.

A delta file is a .safetensors file with the new values of some parameters, under their names in the UNet's state dict,
or with a product of two thin matrices that is added (suppress/edits/low_rank.py). What `suppress train` writes also
says what it is for: the concept, all settings, and the fingerprint of the weights that it was trained on. A file with
such a fingerprint fits these weights alone. A file without one, such as ESD's authors write, fits by names and shapes.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from minisd import CheckpointError, UNet, UserError
from minisd.base.arguments import printable, shown
from minisd.loading.weight_files import WEIGHT_DTYPES, SafetensorsFile

from .fingerprint import dtype_name, fingerprint
from .low_rank import IN, OUT, restored
from .tensor_file import described, existing, read_metadata, write_tensors

FORMAT = "minisd delta 1"


def read_delta(path: str | os.PathLike[str], unet: UNet) -> dict[str, Tensor]:
    """Reads the tensors of a .safetensors file that replace parameters of the UNet, in its dtype and on its device.

    Their names are those of the UNet's state dict ("mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight").
    UserError if the file is missing, empty or damaged, for names and shapes that the UNet does not have, and if it was
    trained on other weights.
    """
    file = existing(path, "a .safetensors file with tensors of the UNet")
    try:
        found = SafetensorsFile(file)
        about = read_about(file)
        _check_names(found, unet, file, about)
        _check_fingerprint(unet, file, about)
        weight = unet.conv_in.weight
        tensors = found.read(found.shapes, weight.dtype, weight.device)
    except CheckpointError as error:
        raise UserError(str(error)) from None
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise UserError(f"{file} has infinite values or NaN in {_listed(broken)}; train the weights again in float32")
    return restored(tensors, dict(unet.named_parameters()))


def read_about(path: Path) -> dict[str, Any]:
    """What a delta file says about itself; empty if it is not from `suppress train`, or if it cannot be read."""
    try:
        metadata = read_metadata(path)
        about = json.loads(metadata["about"]) if metadata.get("format") == FORMAT else {}
    except (OSError, SafetensorError, ValueError, KeyError):
        return {}
    return about if isinstance(about, dict) else {}


def write_delta(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes a delta file; an existing one is replaced. about: for JSON."""
    write_tensors(path, tensors, described(FORMAT, about))


def purpose(about: Mapping[str, Any]) -> str:
    """For an error: what the file was trained for; empty if it does not say so."""
    if not about:
        return ""
    concept, trainer, model = (printable(str(about.get(key, "?"))) for key in ("concept", "trainer", "model"))
    return f"; it was trained with {trainer} to remove {concept!r} from the model {model!r}"


def with_weights(unet: UNet, tensors: Mapping[str, Tensor]) -> UNet:
    """A UNet in which `tensors` replace the parameters of these names. All other parameters are shared with `unet`."""
    return with_parts(unet, {name: nn.Parameter(tensor, requires_grad=False) for name, tensor in tensors.items()})


def with_parts(unet: UNet, parts: Mapping[str, nn.Parameter | nn.Module]) -> UNet:
    """A UNet in which `parts` replace the parameters or modules of these names. All others are shared with `unet`."""
    other = copy.deepcopy(unet, {id(p): p for p in unet.parameters()})
    for name, part in parts.items():
        module, _, leaf = name.rpartition(".")
        setattr(other.get_submodule(module), leaf, part)
    return other


def _check_names(found: SafetensorsFile, unet: UNet, file: Path, about: Mapping[str, Any]) -> None:
    """UserError for names and shapes that the UNet does not have."""
    own = dict(unet.named_parameters())
    wrong = [name for name in found.shapes if name.removesuffix(OUT).removesuffix(IN) not in own]
    if wrong or not found.shapes:
        known = "a UNet's state dict, such as " + next(name for name in own if "attn2.to_k" in name)
        raise UserError(f"{file} has {_listed(wrong) or 'no tensors'}; expected names of {known}{purpose(about)}")
    for name, header in found.shapes.items():
        expected = tuple(own[name.removesuffix(OUT).removesuffix(IN)].shape)
        shape = header.shape
        if name.endswith((OUT, IN)):
            shape = _product_shape(found, name, expected)
        if shape != expected or header.dtype not in WEIGHT_DTYPES:
            have = f"{header.dtype} {header.shape}"
            raise UserError(f"{file}: {name} is {have}; expected numbers of shape {expected}{purpose(about)}")


def _product_shape(found: SafetensorsFile, name: str, expected: tuple[int, ...]) -> tuple[int, ...]:
    """`expected` if the two factors of the parameter multiply to this shape, else ()."""
    name = name.removesuffix(OUT).removesuffix(IN)
    pair = [found.shapes[name + end].shape for end in (OUT, IN) if name + end in found.shapes]
    if len(pair) != 2 or name in found.shapes or any(len(shape) != 2 for shape in pair) or len(expected) < 2:
        return ()
    (rows, rank), (same_rank, columns) = pair
    width = torch.Size(expected[1:]).numel()
    return expected if rank == same_rank and (rows, columns) == (expected[0], width) else ()


def _check_fingerprint(unet: UNet, file: Path, about: Mapping[str, Any]) -> None:
    """UserError if the file was trained on other weights than the UNet's."""
    known = about.get("fingerprints")
    if not isinstance(known, dict):
        return
    dtype = unet.conv_in.weight.dtype
    name = dtype_name(dtype)
    if name in known and known[name] != fingerprint(unet, dtype):
        raise UserError(
            f"{file} does not fit this model: it has names and shapes of this UNet, but was trained on other "
            f"weights{purpose(about)}; load that model, or train the eraser again on this one (suppress train)"
        )


def _listed(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more
