"""Other weights for the edited branch, out of a file: the carrier of every method that fine-tunes or rewrites the UNet.

    ẑ <- DDIM(ẑ, eps(ẑ, t, c; θ + Δθ))

The file holds the tensors that differ, as a whole and not as differences: names of the UNet's state dict, in a
.safetensors file. ESD (Gandikota et al. 2023) and concept ablation (Kumari et al. 2023), for example, change the cross
attention alone. The original branch keeps the model's own weights.
"""

from __future__ import annotations

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
    start: int | float = 0  # fine-tuned weights are used in all steps
    path: str = ""  # the .safetensors file

    def edit(self, run: Run) -> Edit:
        if not (isinstance(self.path, str) and self.path):
            raise UserError(f"path = {shown(self.path)}; expected a file, as in --method delta:FILE.safetensors")
        edit = Edit(run)
        edit.unet = with_weights(run.sd.unet, read_delta(self.path, run.sd.unet))
        return edit
