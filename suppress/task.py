"""The pictures that a call asks for: each is checked, gets its settings and its noise, and is put into a batch."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from minisd import StableDiffusion, UserError
from minisd.base.arguments import check_negative, check_seed, number, shown, whole_number
from minisd.picture import Prepared
from minisd.pipeline import check_latents_alone

from .defaults import default_settings
from .edits.masks import read_mask
from .prompt import Prompt, Request, encode, read_request
from .protocol import Method, Start
from .start.invert import check_inversion, fitted

if TYPE_CHECKING:
    from .start.inversion import Inversion


@dataclass(frozen=True)
class Job:
    """One picture of a batch. Each field is what `run` takes."""

    prompt: str
    remove: str | Sequence[str] | Request | None = None
    seed: int = 0
    height: int | None = None  # pixels, multiples of 8; None: the size on which the model was trained
    width: int | None = None
    image: Image.Image | Prepared | None = None
    inversion: str | Inversion | Start | None = None
    mask: Image.Image | None = None
    crop: Sequence[int] | None = None
    negative_prompt: str = ""
    latents: Tensor | None = field(default=None, repr=False)  # (1,4,h,w), in place of the seed's noise
    steps: int | None = None  # None: those of the method's settings; guidance likewise
    guidance: float | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """A job that was checked."""

    job: Job
    negative: str  # the negative prompt
    settings: Method
    seed: int
    size: tuple[int, int]  # (height, width)
    image: Prepared | None
    mask: Tensor | None  # (1,1,H,W)

    @property
    def kind(self) -> Hashable:
        """Jobs of one kind can be drawn together."""
        return self.size, self.mask is not None, self.settings.steps, self.settings.guidance

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed, if the picture depends on it."""
        return () if self.image is not None or self.job.latents is not None else (self.seed,)


def check_jobs(sd: StableDiffusion, jobs: Sequence[Job], method: str | None, settings: Method | None) -> list[Task]:
    """UserError for what is no Job, and if one of a job's values is unusable or does not go with the others."""
    for job in jobs:
        if not isinstance(job, Job):
            raise UserError(f"a job is a suppress.Job(prompt, remove, seed), not {shown(job)}")
    picture = any(job.image is not None for job in jobs)
    known: dict[tuple[int | None, float | None], Method] = {}  # by steps and guidance
    tasks = []
    for job in jobs:
        steps = None if job.steps is None else whole_number("steps", job.steps, 1)
        guidance = None if job.guidance is None else number("guidance", job.guidance, -math.inf)
        if (steps, guidance) not in known:
            known[steps, guidance] = _find_settings(sd, method, settings, picture, steps, guidance)
        tasks.append(_check_job(sd, job, known[steps, guidance]))
    return tasks


def _find_settings(
    sd: StableDiffusion,
    method: str | None,
    settings: Method | None,
    picture: bool,
    steps: int | None,
    guidance: float | None,
) -> Method:
    """The settings, or those that belong to the method's name. picture: whether a picture is edited.

    UserError if they say something else than `steps` and `guidance`.
    """
    given = {name: value for name, value in (("steps", steps), ("guidance", guidance)) if value is not None}
    if settings is None:
        settings = default_settings(sd, method, picture, **given)[0]
    elif method is not None:
        raise UserError("method and settings both say what to run; give one of them")
    elif not isinstance(settings, Method):
        raise UserError(f"settings = {shown(settings)}; expected an instance such as suppress.SuppressEOT(gamma=1)")
    for name, value in given.items():
        own = getattr(settings, name)
        if own != value:
            where = "the settings have" if method is None else f"method {method!r} has"
            raise UserError(f"{name} = {value:g}, but {where} {name} = {own:g}; give one of them")
    return settings


def _check_job(sd: StableDiffusion, job: Job, settings: Method) -> Task:
    check_inversion(job.image, job.inversion)
    negative = _check_negative(job)
    seed = check_seed(job.seed)
    if job.image is not None and seed != 0:
        raise UserError(f"an image with seed {seed}; a picture is inverted without noise, leave the seed out")
    if job.image is None and job.crop is not None:
        raise UserError(f"crop = {shown(job.crop)} without an image; a crop is of a picture: image=…")
    image, size = None, (job.height, job.width)
    if job.latents is not None:
        if job.image is not None:
            raise UserError("latents with an image; the image is inverted, which gives the latents: leave them out")
        size = check_latents_alone(sd, job.latents, seed, job.height, job.width)
        if len(job.latents) != 1:
            raise UserError(f"a job with {len(job.latents)} latents; expected (1,4,h,w), those of one picture")
    if job.image is not None:
        image = fitted(sd, job.image, *size, job.crop)
        size = image.picture.height, image.picture.width
    size = sd.check_size(*(sd.side if value is None else value for value in size))
    mask = None if job.mask is None else read_mask(job.mask, *size, image)
    return Task(job, negative, settings, seed, size, image, mask)


def _check_negative(job: Job) -> str:
    """The negative prompt. A start that was inverted with one has it already."""
    negative, start = check_negative(job.negative_prompt), job.inversion
    if not isinstance(start, Start) or negative == start.negative:
        return negative
    if negative:
        raise UserError(
            f"negative prompt {shown(negative)}, but this start was made for {shown(start.negative)}; give it to "
            "suppress.invert(…, negative_prompt=…)"
        )
    return start.negative


def batches(kinds: Sequence[Hashable], batch_size: int) -> list[list[int]]:
    """The batches, as lists of job numbers: at most `batch_size` jobs of one kind each."""
    alike: dict[Hashable, list[int]] = {}
    for k, kind in enumerate(kinds):
        alike.setdefault(kind, []).append(k)
    return [ks[k : k + batch_size] for ks in alike.values() for k in range(0, len(ks), batch_size)]


def encode_all(sd: StableDiffusion, tasks: Sequence[Task]) -> list[Prompt]:
    """One prompt per task. Tasks with the same request get the same object, which is encoded once."""
    known: dict[tuple[Request, str], Prompt] = {}
    prompts = []
    for task in tasks:
        request, negative = read_request(task.job.prompt, task.job.remove), task.negative
        if (request, negative) not in known:
            known[request, negative] = encode(sd, request.prompt, request, task.settings.needs_words, negative)
        prompts.append(known[request, negative])
    return prompts


def first_noise(sd: StableDiffusion, tasks: Sequence[Task]) -> Tensor:
    """(B,4,h,w), float32: each task's latents, or the noise of its seed."""
    given = [task.job.latents for task in tasks]
    rows = [
        sd.noise([task.seed], *task.size) if own is None else own.float().to(sd.device)
        for task, own in zip(tasks, given, strict=True)
    ]
    return torch.cat(rows)
