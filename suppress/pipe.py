"""`suppress.apply`: `suppress.run` for a StableDiffusionPipeline of diffusers that is in memory already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from minisd import from_pipeline

from .job import run
from .prompt import Request
from .result import Result


@dataclass(frozen=True, eq=False)
class Pictures:
    """What `apply` returns: `images`, as a pipeline's output has them, and all the rest."""

    images: list[Image.Image]  # without the target, one for each seed
    result: Result  # with the originals, latents, maps, timings


def apply(
    pipe: Any,
    prompt: str,
    remove: str | Sequence[str] | Request | None = None,
    *,
    clip_skip: int | None = None,
    **options: Any,
) -> Pictures:
    """Draws `prompt` with the weights of a diffusers pipeline, without what is to be removed.

        suppress.apply(pipe, "a man without glasses", "glasses", seed=[0, 1]).images[1].save("1.png")

    clip_skip: as in `minisd.load`. options: what `run` takes besides the model (method, seed, settings, image, …).

    The pipeline is not changed, and nothing of it is kept. Its sampler and its safety checker are not used: the steps
    are this project's DDIM. For many calls, make `sd = minisd.from_pipeline(pipe)` once and use `suppress.run(sd, …)`:
    then the parts are checked once.

    UserError for what is no Stable Diffusion v1.x pipeline (`minisd.from_pipeline`), and as in `run`.
    """
    result = run(from_pipeline(pipe, clip_skip=clip_skip), prompt, remove, **options)
    return Pictures(result.image if isinstance(result.image, list) else [result.image], result)
