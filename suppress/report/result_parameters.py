"""The `parameters` in the pictures that `Result.save` writes: those of the command line, which `--params-from` reads.

What was given in Python may have no name on the command line: a picture, latents, a start, a method that is not
registered. The parameters say so, and --params-from then asks for it, refuses it by its name, or warns.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from PIL import Image

from minisd import StableDiffusion
from minisd.cli import options, parameters
from minisd.cli.model_choice import OPTIONS

from ..cli.repeat import method_fields
from ..methods.catalogue import METHODS
from ..methods.names import name_of
from ..start.catalogue import DEFAULT

if TYPE_CHECKING:
    from ..result import Result
    from ..task import Task

IN_PYTHON = "given in Python"


def making_fields(sd: StableDiffusion, task: Task) -> dict[str, object]:
    """The fields that a result keeps: those of the model, and of what it was given beside prompt and settings."""
    precision = {name: short for short, name in options.DTYPES.items()}.get(str(sd.dtype).removeprefix("torch."))
    args = argparse.Namespace(dtype=precision, **{name: sd.changes.get(name) for name in OPTIONS})
    fields, job = options.model_fields(sd, args), task.job
    if task.image is None:
        return fields | ({} if job.latents is None else {"Latents": IN_PYTHON})
    inversion = DEFAULT if job.inversion is None else job.inversion
    return fields | {
        "Image": IN_PYTHON,
        "Crop": None if job.crop is None else ",".join(map(str, job.crop)),
        "Inversion": inversion if isinstance(inversion, str) else IN_PYTHON,
        "Mask": None if job.mask is None else IN_PYTHON,
    }


def picture_text(result: Result, picture: Image.Image, seed: int | None, edited: bool, finished: bool = True) -> str:
    """The parameters of the original picture, or of the edited one. seed: None, if it does not depend on one.

    finished: whether it was drawn before the drawing was stopped.
    """
    s = result.settings
    fields = options.sampling_fields(s.steps, s.guidance, seed, picture.size) | dict(result.making)
    if edited:
        name = name_of(s)
        strengthens = name is not None and METHODS[name].strengthens
        methods = [(name or type(s).__name__, s)]
        fields |= method_fields(result.named, methods, [] if seed is None else [seed], strengthen=strengthens)
    stopped = {} if finished or result.stopped_at is None else {"Stopped after step": result.stopped_at + 1}
    return parameters.to_text(result.prompt, result.negative_prompt, {**fields, **stopped})
