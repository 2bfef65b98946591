"""The file of a training that is not finished: weights, the optimiser's moments, and what was prepared.

It stands beside the delta file: for glasses.safetensors it is glasses.state.safetensors. A training that goes on from
it ends with the same weights, to the bit, as one that was never stopped. It is removed when the training is finished.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from minisd import UserError

from ..edits.tensor_file import described, read_tensors, write_tensors

_FORMAT = "minisd training 1"


@dataclass(frozen=True)
class Progressed:
    """A training after `iteration` iterations."""

    iteration: int
    tensors: dict[str, Tensor]  # "weights.NAME", "mean.NAME", "square.NAME", "prepared.NAME", "losses"


@dataclass(frozen=True)
class StateFile:
    """Where a training is kept while it runs. about: the settings and the model, which must be the same to go on."""

    path: Path
    about: dict[str, Any]
    every: int = 100  # iterations after which it is written

    def read(self) -> Progressed | None:
        """What the file holds; None if there is none. UserError if it is of another training, or damaged."""
        if not self.path.exists():
            return None
        try:
            metadata, tensors = read_tensors(self.path)
            known = metadata.get("format") == _FORMAT
            about, iteration = json.loads(metadata.get("about", "{}")), int(metadata.get("iteration", -1))
        except (OSError, SafetensorError, ValueError) as error:
            raise UserError(f"{self.path} cannot be read ({error}); start anew with --overwrite") from None
        if not known:
            raise UserError(f"{self.path} is no training of this command; name another --out")
        mine = json.loads(json.dumps(self.about))  # a tuple is a list in JSON
        differing = [key for key in sorted({*about, *mine}) if about.get(key) != mine.get(key)]
        if differing:
            was = ", ".join(f"{key} = {about.get(key)!r}, now {mine.get(key)!r}" for key in differing)
            raise UserError(
                f"{self.path} is a training with other settings ({was}); give the same ones to go on, or start anew "
                "with --overwrite"
            )
        return Progressed(iteration, tensors)

    def write(self, iteration: int, tensors: dict[str, Tensor]) -> None:
        write_tensors(self.path, tensors, described(_FORMAT, self.about) | {"iteration": str(iteration)})

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def state_path(out: Path) -> Path:
    return out.with_name(f"{out.stem}.state.safetensors")


def parts(tensors: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    """The tensors of one kind, by their names without it."""
    return {name.removeprefix(f"{kind}."): x for name, x in tensors.items() if name.startswith(f"{kind}.")}


def named(kind: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{kind}.{name}": x for name, x in tensors.items()}


def no_losses() -> Tensor:
    return torch.zeros(0)
