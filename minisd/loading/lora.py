"""LoRA (Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models"), merged into the weights at loading.

    W <- W + scale · α/r · B A        B (out,r), A (r,in); r: the rank; α: the file's own scale (without one, α = r)

For a convolution, A has the size of its kernel, (r,in,k,k), and B is 1x1 (LoCon). Every layer that the file does not
name keeps its weights, bit for bit. A file is checked whole before any weights are read: names, shapes and ranks.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..base.arguments import is_number, printable, shown
from ..base.errors import CheckpointError, UserError
from .family import family
from .lora_names import Layer, layers, read_key
from .parts import listing
from .source import find_file
from .weight_files import WEIGHT_DTYPES, Header, SafetensorsFile, WeightFile, open_weights

Spec = str | os.PathLike[str]

_OTHER_KINDS = {
    "an SDXL LoRA": ("lora_te2_", "text_encoder_2."),
    "LoHa, which is not read": (".hada_",),
    "LoKr, which is not read": (".lokr_",),
    "DoRA, which is not read": ("dora_scale", "magnitude_vector"),
    "a LoRA with a third factor (Tucker), which is not read": (".lora_mid.",),
}


@dataclass(frozen=True)
class Factors:
    """The names of one layer's tensors in the file. down: A; up: B."""

    down: str
    up: str
    alpha: str | None  # None: the number is in `Lora.alphas`, or else r


@dataclass(frozen=True)
class Lora:
    """A LoRA that fits the model."""

    weights: WeightFile
    scale: float
    factors: Mapping[Layer, Factors]
    alphas: Mapping[Layer, float]  # that the file's metadata names

    @torch.no_grad()
    def merge(self, modules: Mapping[str, nn.Module]) -> None:
        """Adds it to the weights. It is computed in float32, or in float64 if the weights are."""
        for layer, factors in self.factors.items():
            weight = modules[layer.part].get_parameter(f"{layer.name}.weight")
            dtype = torch.promote_types(weight.dtype, torch.float32)
            keys = [key for key in (factors.down, factors.up, factors.alpha) if key]
            tensors = self.weights.read(keys, dtype, weight.device)
            broken = next((key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
            if broken:
                raise CheckpointError(f"{self.weights.name} has infinite values or NaN in {printable(broken)}")
            down, up = tensors[factors.down], tensors[factors.up]
            alpha = float(tensors[factors.alpha]) if factors.alpha else self.alphas.get(layer, len(down))
            weight.copy_(weight.to(dtype) + change(up, down, self.scale * alpha / len(down)).view_as(weight))


def change(up: Tensor, down: Tensor, factor: float) -> Tensor:
    """factor · B A as a matrix (out, in·k·k), from B (out,r) or (out,r,1,1) and A (r,in) or (r,in,k,k)."""
    return factor * (up.flatten(1) @ down.flatten(1))


def read_specs(lora: Spec | Sequence[Spec] | None) -> list[tuple[str, float]]:
    """(file, scale) of each LoRA: "file.safetensors" has the scale 1, "file.safetensors:0.8" has .8.

    UserError for what names no file.
    """
    if lora is None:
        return []
    listed = [lora] if isinstance(lora, str | os.PathLike) else lora
    if not isinstance(listed, Iterable) or not all(isinstance(spec, str | os.PathLike) for spec in listed):
        raise UserError(f"lora = {shown(lora)}; expected 'file.safetensors:0.8', or a list of such names")
    return [_read_spec(os.fspath(spec)) for spec in listed]


def _read_spec(spec: Any) -> tuple[str, float]:
    if not isinstance(spec, str):
        raise UserError(f"lora = {shown(spec)}; expected a name such as 'file.safetensors:0.8'")
    name, colon, end = spec.rpartition(":")
    if not colon or re.search(r"[/\\]", end) or os.path.exists(spec):  # the colon is of the name, or of C:\
        return spec, 1.0
    try:
        scale = float(end)
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale):
        raise UserError(f"lora = {shown(spec)}: {shown(end)} is no scale; expected a number, as in {name[:60]}:0.8")
    return name, scale


def open_lora(name: str, scale: float, modules: Mapping[str, nn.Module]) -> Lora:
    """The LoRA in a file, compared with the modules (which may be empty), before its weights are read.

    UserError if there is no such file; CheckpointError, which lists everything that does not fit.
    """
    weights = open_weights(find_file(name, "a LoRA"))
    known = layers(modules)
    found: dict[Layer, dict[str, str]] = {}
    unknown, wrong = [], []
    for key in weights.shapes:
        read = read_key(key)
        layer = known.get(read[0]) if read else None
        if read is None or layer is None:
            unknown.append(key)
        elif other := found.setdefault(layer, {}).get(read[1]):
            wrong.append(f"{key} beside {other}, for the same layer")
        else:
            found[layer][read[1]] = key
    for layer, keys in found.items():
        shape = tuple(modules[layer.part].get_parameter(f"{layer.name}.weight").shape)
        if problem := _problem(keys, weights.shapes, shape):
            wrong.append(f"{next(iter(keys.values()))}: {problem}")
    if unknown or wrong or not found:
        raise CheckpointError(
            f"{weights.name} does not fit this model as a LoRA"
            + listing("no layer of this model, or no tensor of a LoRA", unknown)
            + listing("wrong", wrong)
            + _looks(weights)
        )
    factors = {layer: Factors(keys["down"], keys["up"], keys.get("alpha")) for layer, keys in found.items()}
    return Lora(weights, scale, factors, _alphas(weights, list(found)))


def _problem(keys: Mapping[str, str], shapes: Mapping[str, Header], expected: tuple[int, ...]) -> str:
    """What is wrong with one layer's tensors; empty if nothing is. expected: the shape of the layer's weight."""
    if lacks := [name for name in ("down", "up") if name not in keys]:
        return f"its other factor is missing ({lacks[0]})"
    odd = [keys[name] for name in keys if shapes[keys[name]].dtype not in WEIGHT_DTYPES]
    if odd and odd != [keys.get("alpha")]:
        return f"numbers of the kind {shapes[odd[0]].dtype}; expected F32, F16 or BF16"
    if "alpha" in keys and shapes[keys["alpha"]].size != 1:
        return f"alpha has the shape {shapes[keys['alpha']].shape}; expected one number"
    down, up = (_without_ones(shapes[keys[name]].shape) for name in ("down", "up"))
    if len(down) < 2 or len(up) != 2 or not down[0] or down[0] != up[1]:
        return f"the ranks of A {down} and B {up} differ; expected (r,…) and (out,r)"
    if (up[0], *down[1:]) != _without_ones(expected):
        return f"B A has the shape {(up[0], *down[1:])}; this layer has {expected}"
    return ""


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C,D) of a 1x1 convolution (C,D,1,1); other shapes unchanged."""
    return shape[:2] if shape[2:] == (1, 1) else shape


def _looks(weights: WeightFile) -> str:
    """A line that says what else the file may be; empty if nothing is known."""
    kinds = [kind for kind, marks in _OTHER_KINDS.items() if any(m in key for key in weights.shapes for m in marks)]
    if not kinds and not any(read_key(key) for key in weights.shapes):
        kinds = [family(weights.shapes)]
    return f"\n  it looks like {kinds[0]}" if kinds else ""


def _alphas(weights: WeightFile, found: list[Layer]) -> dict[Layer, float]:
    """α of each layer, from the settings of PEFT that diffusers writes beside the tensors; none if it wrote nothing."""
    text = weights.metadata.get("lora_adapter_metadata") if isinstance(weights, SafetensorsFile) else None
    if text is None:
        return {}
    alphas: dict[Layer, float] = {}
    other = False
    try:
        settings = json.loads(text)
        for layer in found:
            start = f"{layer.part}."
            own = {key.removeprefix(start): value for key, value in settings.items() if key.startswith(start)}
            other = other or bool(own.get("use_rslora") or own.get("use_dora"))
            if (alpha := _alpha(layer.name, own)) is not None:
                alphas[layer] = alpha
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        where = f"{weights.name}: its settings (lora_adapter_metadata)"
        raise CheckpointError(f"{where} cannot be read: {error}") from error
    if other:
        raise CheckpointError(f"{weights.name} is a LoRA with another scale (rsLoRA or DoRA), which is not read")
    return alphas


def _alpha(name: str, settings: Mapping[str, Any]) -> float | None:
    """α of the layer: that of `alpha_pattern` if it names the layer or the end of its name, else `lora_alpha`."""
    special = (value for end, value in (settings.get("alpha_pattern") or {}).items() if f".{name}".endswith(f".{end}"))
    alpha = next(special, settings.get("lora_alpha"))
    if alpha is not None and not (is_number(alpha) and math.isfinite(alpha)):
        raise ValueError(f"lora_alpha = {shown(alpha)}")
    return alpha
