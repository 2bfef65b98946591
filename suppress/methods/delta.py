"""Other weights for the edited branch, from a file. Every method that fine-tunes or rewrites the UNet can use it.

    ẑ <- DDIM(ẑ, eps(ẑ, t, c; θ'))

The file is a .safetensors file (suppress/edits/weights.py). It holds the tensors in which θ' differs from the model's
weights θ: their new values under their names in the UNet's state dict, or small factors of the difference. `suppress
train` writes such files: ESD (Gandikota et al. 2023), concept ablation (Kumari et al. 2023), and others. The original
branch keeps θ.

A file from `suppress train` fits only the weights that it was trained on. A name without a folder and an ending, such
as `delta:glasses`, is a file that comes with the model, in its folder "erasers". The words to remove do not change what
the file does: it forgets the concept that it was trained for, and you are warned if that is another one.

UNet: 4 samples per step, as every method of two branches; nothing is shared between the branches.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minisd import StableDiffusion, UserError
from minisd.base.arguments import shown

from ..edits.weights import read_about, read_delta, with_weights
from ..protocol import Edit, Method

if TYPE_CHECKING:
    from ..loop import Run

FOLDER = "erasers"  # in a checkpoint's folder


@dataclass(frozen=True)
class Delta(Method):
    """Settings."""

    start: int | float = 0  # fine-tuned weights are used in all steps
    path: str = ""  # the .safetensors file, or the name of one that comes with the model

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
        path = find_delta(run.sd, self.path)
        edit = Edit(run)
        edit.unet = with_weights(run.sd.unet, read_delta(path, run.sd.unet))
        concept = read_about(path).get("concept", "")
        others = {
            target for prompt in run.prompts for target in prompt.targets if concept and not alike(target, concept)
        }
        if others:
            warnings.warn(f"{path} makes the model forget {concept!r}, not {', '.join(sorted(others))}", stacklevel=2)
        return edit


def find_delta(sd: StableDiffusion, name: str) -> Path:
    """The file, or the one of this name that comes with the model."""
    path = Path(name)
    own = sd.folder / FOLDER / f"{name}.safetensors" if sd.folder and re.fullmatch(r"[\w-]+", name) else None
    return own if own and own.is_file() and not os.path.isfile(path) else path


def alike(target: str, concept: str) -> bool:
    """Whether two phrases share a word."""
    first, second = (set(re.findall(r"\w+", phrase.lower())) for phrase in (target, concept))
    return bool(first & second)
