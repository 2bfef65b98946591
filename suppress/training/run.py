"""Trains an eraser and writes its delta file."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from minisd import UserError, __version__
from minisd.base.arguments import whole_number

from ..edits.fingerprint import fingerprints
from ..edits.low_rank import reduced
from ..edits.tensor_file import new_file
from ..edits.weights import write_delta
from .catalogue import ERASERS
from .eraser import Eraser, Progress
from .state import StateFile, state_path

if TYPE_CHECKING:
    from minisd import StableDiffusion


@dataclass(frozen=True)
class Output:
    """Where the delta file goes, and how."""

    path: Path
    rank: int = 0  # of the matrices' differences, in float16; 0: whole values in float32
    resume: bool = False  # go on with a training that was stopped
    overwrite: bool = False
    every: int = 100  # iterations after which the state is written


def check_output(
    name: str | os.PathLike[str], rank: int = 0, resume: bool = False, overwrite: bool = False, every: int = 100
) -> Output:
    """The output, checked before the work starts. UserError if it exists or cannot be written.

    A training that was stopped is kept beside it, and is an output, too.
    """
    if resume and overwrite:
        raise UserError("--resume and --overwrite contradict each other: go on with a training, or start anew")
    path = new_file(name, overwrite)
    whole_number("rank", rank, 0)
    whole_number("save every", every, 1)
    state = state_path(path)
    if state.exists() and not (resume or overwrite):
        raise UserError(f"{state} is a training that was stopped; give --resume to go on, or --overwrite to start anew")
    if resume and not state.exists():
        raise UserError(f"there is no {state} to go on with; leave --resume out")
    return Output(path, rank, resume, overwrite, every)


def train(
    sd: StableDiffusion, name: str, eraser: Eraser, out: Output, progress: Progress | None = None, command: str = ""
) -> dict[str, Any]:
    """Trains and writes the file. Returns what the file says about itself.

    name: of the catalogue. command: the command line, which the file repeats.
    """
    about = describe(sd, name, eraser)
    state = StateFile(state_path(out.path), about, out.every)
    if out.overwrite:
        state.remove()
    wall, cpu = time.perf_counter(), time.process_time()
    trained = eraser.fit(sd, state, progress)
    seconds = {"seconds": round(time.perf_counter() - wall, 1), "cpu seconds": round(time.process_time() - cpu, 1)}
    own = dict(sd.unet.named_parameters())
    tensors: dict[str, Tensor] = reduced(trained.tensors, own, out.rank) if out.rank else trained.tensors
    about = about | trained.notes | seconds | {"rank": out.rank, "command": command}
    write_delta(out.path, tensors, about)
    state.remove()
    return about


def describe(sd: StableDiffusion, name: str, eraser: Eraser) -> dict[str, Any]:
    """What a delta file says about itself before it is trained: all settings, and the model."""
    return {
        "trainer": name,
        "source": ERASERS[name].source,
        "concept": eraser.concept,
        "settings": asdict(eraser),
        "model": sd.name,
        "fingerprints": fingerprints(sd.unet),
        "version": __version__,
    }
