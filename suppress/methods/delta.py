"""Other weights for the edited branch, from a file. Every method that fine-tunes or rewrites the UNet can use it.

    ẑ <- DDIM(ẑ, eps(ẑ, t, c; θ'))

The file is a .safetensors file. It holds the tensors in which θ' differs from the model's weights θ: their new values,
not differences, under their names in the UNet's state dict. For example, ESD (Gandikota et al. 2023) and concept
ablation (Kumari et al. 2023) change only the cross attention. The original branch keeps θ.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minisd import UserError
from minisd.base.arguments import shown

from ..edits.weights import read_delta, with_weights
from ..protocol import Edit, Method

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class Delta(Method):
    """Settings."""

    start: int | float = 0  # fine-tuned weights are used in all steps
    path: str = ""  # the .safetensors file

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.path, os.PathLike):
            object.__setattr__(self, "path", os.fspath(self.path))

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        if not (isinstance(self.path, str) and self.path):
            raise UserError(f"path = {shown(self.path)}; expected a file, as in --method delta:FILE.safetensors")
        edit = Edit(run)
        edit.unet = with_weights(run.sd.unet, read_delta(self.path, run.sd.unet))
        return edit
