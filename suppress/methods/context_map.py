"""A linear map of the context from a file, used on any prompt: what `suppress.methods.uce.fit` made once.

    ẑ <- DDIM(ẑ, ε(ẑ, T_a ∅) + w (ε(ẑ, T_a c) - ε(ẑ, T_a ∅))),      T_a = 1 + a (T - 1)

The words to remove only say what the scores look for; T is what the file has. No UNet pass is added. The file can be
used with every checkpoint that has the same text encoder (suppress/edits/context_map.py).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from minisd import UserError
from minisd.base.arguments import fraction, one_of, shown

from ..edits.context_map import MapEdit, read_map
from ..protocol import Edit, Method

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class FromFile(Method):
    """Settings."""

    start: int | float = 0  # all steps: the published edit is in the weights
    path: str = ""  # the .safetensors file
    strength: float = 1.0  # a: 0 is the original, 1 the map of the file; this project's own
    uncond: Literal["mapped", "kept"] = "mapped"  # the empty prompt of the guidance; UCE's code maps it

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.path, os.PathLike):
            object.__setattr__(self, "path", os.fspath(self.path))
        object.__setattr__(self, "strength", fraction("strength", self.strength))
        one_of("uncond", self.uncond, ("mapped", "kept"))

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        if not (isinstance(self.path, str) and self.path):
            raise UserError(f"path = {shown(self.path)}; expected a file, as in --method context-map:FILE.safetensors")
        matrix = read_map(self.path, run.sd).matrix
        one = torch.eye(len(matrix))
        maps = (one + self.strength * (matrix - one)).expand(run.batch, -1, -1)
        return MapEdit(run, maps, self.uncond == "mapped")
