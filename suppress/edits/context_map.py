"""A linear map T on the context, its file, and the edit that uses it.

    ε(z, t, T c)  in the unedited UNet   =   ε(z, t, c)  with the projections W T

The file is a .safetensors file with the matrix, and metadata that say what it was made for. T belongs to the text
encoder, and not to the UNet, so it can be used with every checkpoint that has this encoder. The file therefore has the
encoding of a fixed text. It is compared with a tolerance, because the same encoder may be loaded in half precision.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minisd import CheckpointError, StableDiffusion, UserError
from minisd.loading.weight_files import SafetensorsFile

from ..loop import Run
from ..protocol import Edit, Inputs
from .maps import Maps
from .tensor_file import described, existing, read_metadata, write_tensors

FORMAT = "suppress context map 1"
PROBE = "a photo of a cat"  # the text whose encoding is in the file
# of the encoding's norm. Half precision changes it by less than a hundredth; other encoders are farther than its norm
TOLERANCE = 0.05


@dataclass(frozen=True, eq=False)
class ContextMap:
    """T, and what it was made for. Use: `sd.sample(context_map.apply(sd.encode_text(prompt)), …)`."""

    matrix: Tensor  # T (D,D), float32
    probe: Tensor  # (n,D), the encoding of PROBE up to its first [EOT]
    about: Mapping[str, Any] = field(default_factory=dict)  # model, method, concepts, settings: for readers

    def apply(self, ctx: Tensor) -> Tensor:
        """T c for a context c (B,77,D), in its dtype."""
        return apply_map(self.matrix.to(ctx.device)[None], ctx)

    def describe(self) -> str:
        """For messages: "uce of 'glasses', made with tiny"."""
        concepts = ", ".join(map(repr, self.about.get("concepts", ())))
        return f"{self.about.get('method', 'a map')} of {concepts or 'nothing'}, made with {self.about.get('model')}"


def apply_map(t: Tensor, ctx: Tensor) -> Tensor:
    """T c, (B,77,D) in ctx's dtype, for T (B,D,D) or (1,D,D)."""
    return (ctx.to(t) @ t.mT).to(ctx.dtype)


def make_map(sd: StableDiffusion, matrix: Tensor, **about: Any) -> ContextMap:
    """A map for the text encoder of `sd`. about: what to keep in the file for readers, as JSON can hold it."""
    return ContextMap(matrix.float().cpu(), _probe(sd), {"model": sd.name, **about})


def write_map(path: str | os.PathLike[str], context_map: ContextMap) -> Path:
    """Writes the map. An existing file is replaced."""
    tensors = {"matrix": context_map.matrix, "probe": context_map.probe}
    return write_tensors(Path(path), tensors, described(FORMAT, context_map.about))


def read_map(path: str | os.PathLike[str], sd: StableDiffusion) -> ContextMap:
    """Reads a map for `sd`. UserError if the file is missing or damaged, or made for another text encoder."""
    file = existing(path, "a context map, a .safetensors file")
    try:
        found = SafetensorsFile(file)
        notes = read_metadata(file)
        if notes.get("format") != FORMAT or set(found.shapes) != {"matrix", "probe"}:
            raise UserError(
                f"{file} is not a context map (a file of suppress.edits.context_map.write_map). If it has weights of a "
                "UNet, it is for --method delta:FILE"
            )
        tensors = found.read(found.shapes, torch.float32, torch.device("cpu"))
    except CheckpointError as error:
        raise UserError(str(error)) from None
    context_map = ContextMap(tensors["matrix"], tensors["probe"], _about(file, notes.get("about", "")))
    _check(file, context_map, sd)
    return context_map


def _about(file: Path, text: str) -> dict[str, Any]:
    try:
        about = json.loads(text)
    except ValueError:
        about = None
    if not isinstance(about, dict):
        raise UserError(f"{file} is damaged: its metadata cannot be read; make it again")
    return about


def _check(file: Path, context_map: ContextMap, sd: StableDiffusion) -> None:
    """UserError if the map does not fit the model's text encoder, or is not usable at all."""
    matrix, probe, own = context_map.matrix, context_map.probe, _probe(sd)
    width, told = own.shape[1], f"{file} ({context_map.describe()})"
    if matrix.shape != (width, width):
        raise UserError(f"{told} has a matrix {tuple(matrix.shape)}; {sd.name} reads contexts of width {width}")
    if not torch.isfinite(matrix).all():
        raise UserError(f"{told} has infinite values or NaN; make it again")
    if probe.shape != own.shape or (probe - own).norm() > TOLERANCE * own.norm():
        raise UserError(f"{told} is for another text encoder than that of {sd.name}; make one for this model")


def _probe(sd: StableDiffusion) -> Tensor:
    """(n,D) float32 on the CPU"""
    return sd.encode_text(PROBE)[0, : len(sd.tokens(PROBE))].float().cpu().contiguous()


class MapEdit(Edit):
    """The edited branch reads T c; with `uncond`, also T ∅. matrices: T (B,D,D), one per sample."""

    def __init__(self, run: Run, matrices: Tensor, uncond: bool):
        super().__init__(run)
        self.matrices, self.uncond = matrices.to(run.ctx.device), uncond
        self.ctx = apply_map(self.matrices, run.ctx)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        empty = same.contexts[0]  # an inversion may have another one for each step
        return replace(same, contexts=(apply_map(self.matrices, empty) if self.uncond else empty, self.ctx))
