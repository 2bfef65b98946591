"""`suppress.invert`: finds the start from which the model draws a given picture again."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from minisd import StableDiffusion, UserError, ddim
from minisd.base.arguments import check_negative, check_progress, check_prompt, number, shown
from minisd.base.counted import counted
from minisd.picture import Prepared, from_pil, prepare, to_rgb
from minisd.pipeline import check_model

from ..engine import find_engine
from ..methods.names import read_settings
from ..prompt import Prompt
from ..protocol import Method, Start
from .cache import Cache, find_cache
from .catalogue import DEFAULT, INVERSIONS
from .inversion import Inversion, Source

if TYPE_CHECKING:
    from ..engine import Engine


def invert(
    sd: StableDiffusion,
    image: Image.Image | Prepared,
    prompt: str,
    how: str | Inversion = DEFAULT,
    steps: int = 50,
    *,
    guidance: float = 7.5,
    negative_prompt: str = "",
    height: int | None = None,
    width: int | None = None,
    crop: Sequence[int] | None = None,
    engine: str | Engine | None = None,
    cache: bool | str | os.PathLike[str] | Cache | None = None,
    progress: Callable[..., Iterable] | None = None,
) -> Start:
    """The start from which the model draws `image` again with `prompt`, which describes it as it is.

    One start serves many edits of the same number of steps:
    `suppress.run(sd, prompt, "hat", image=image, inversion=start)`.
    how: a name of `INVERSIONS`, "name:field=value,…", or an instance. guidance: that of the edits; null-text depends on
    it. negative_prompt: that of the edits, which then have it from this start. image, height, width, crop, engine and
    cache: as in `run`. progress: wraps the steps of the inversion.

    UserError if `image` is not a picture, if the inversion is unknown, or if a setting is unusable.
    """
    check_model(sd)
    check_progress(progress)
    schedule = ddim.Schedule(steps, sd.config.schedule)
    guidance = number("guidance", guidance, -math.inf)
    inversion = how if isinstance(how, Inversion) else parse_inversion(how)
    ctx, uncond = sd.encode_text(check_prompt(prompt)), sd.encode_text(check_negative(negative_prompt))
    prepared, keeper, runner = fitted(sd, image, height, width, crop), find_cache(cache), find_engine(sd, engine)
    z = sd.encode(from_pil(prepared.picture))
    source = Source(sd, z, ctx, uncond, schedule, guidance, progress, runner, negative_prompt)
    return _start(inversion, source, prepared, keeper)


def find_start(
    engine: Engine,
    image: Prepared,
    prompt: Prompt,
    inversion: str | Inversion | Start | None,
    settings: Method,
    cache: Cache | None,
    progress: Callable[..., Iterable] | None,
) -> Start:
    """The start of a picture for a method; one that was made before is checked and taken."""
    sd = engine.sd
    if isinstance(inversion, Start):
        sides = (side // sd.vae.config.factor for side in (image.picture.height, image.picture.width))
        return _check_start(inversion, settings.steps, (1, sd.config.unet.in_channels, *sides))
    z = sd.encode(from_pil(image.picture))
    inversion = inversion if isinstance(inversion, Inversion) else parse_inversion(inversion)
    schedule = ddim.Schedule(settings.steps, sd.config.schedule)
    source = Source(sd, z, prompt.ctx, prompt.uncond, schedule, settings.guidance, progress, engine, prompt.negative)
    return _start(inversion, source, image, cache)


def _start(inversion: Inversion, source: Source, image: Prepared, cache: Cache | None) -> Start:
    if source.negative and not inversion.takes_negative:
        raise UserError(
            f"negative prompt {shown(source.negative)}: this inversion has the prompt itself in that place; take "
            "another one, such as direct or null-text"
        )
    if cache is None:
        start = inversion.start(source)
    else:
        start = inversion.make(source, cache.find(inversion, source, image))
    return replace(start, negative=source.negative)


def check_inversion(image: Any, inversion: Any) -> None:
    """UserError if the inversion is unknown, or if there is an inversion without a picture."""
    if image is None and inversion is not None:
        raise UserError(f"inversion = {shown(inversion)} without an image; an inversion is of a picture: image=…")
    if image is not None and not isinstance(inversion, Start | Inversion):
        parse_inversion(inversion)


def parse_inversion(spec: str | None) -> Inversion:
    """ "name" or "name:field=value,…" -> the inversion; None: the default. UserError for unknown names and values."""
    spec = DEFAULT if spec is None else spec
    name = spec.partition(":")[0] if isinstance(spec, str) else None
    if name not in INVERSIONS:
        raise UserError(f"inversion = {shown(spec)}; expected one of {', '.join(INVERSIONS)}")
    entry = INVERSIONS[name]
    return entry.make(**read_settings(spec, entry))


def fitted(
    sd: StableDiffusion,
    image: Any,
    height: int | None = None,
    width: int | None = None,
    crop: Sequence[int] | None = None,
) -> Prepared:
    """The picture in height × width pixels (default: the size on which the model was trained).

    Warnings tell what was done, except that it was cropped and resized. One that is prepared already is checked.
    """
    given = isinstance(image, Prepared)
    default = (image.picture.height, image.picture.width) if given else (sd.side, sd.side)
    height, width = sd.check_size(*(d if v is None else v for d, v in zip(default, (height, width), strict=True)))
    if not given:
        if not isinstance(image, Image.Image):
            raise UserError(f"image = {shown(image)}; expected a PIL picture, such as PIL.Image.open('FILE.png') gives")
        return prepare(to_rgb(image), height, width, crop)
    if crop is not None or default != (height, width):
        raise UserError(
            f"a prepared picture of {default[1]}×{default[0]} pixels; give crop, height and width to prepare(…) alone"
        )
    return image


def _check_start(start: Start, steps: int, shape: Sequence[int]) -> Start:
    """The start; UserError if it was made for another number of steps or another size (1,4,h,w)."""
    if tuple(start.z.shape) != tuple(shape):
        raise UserError(
            f"a start of shape {tuple(start.z.shape)} for latents of {tuple(shape)}; invert the picture anew"
        )
    if start.pivots is not None and len(start.pivots) != steps + 1:
        raise UserError(
            f"a start of {counted(len(start.pivots) - 1, 'step')} for a method of {steps}; give both the same number"
        )
    return start
