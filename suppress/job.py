"""`suppress.run` draws a prompt twice from the same noise: as it is, and without what is to be removed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from minisd import CheckpointError, StableDiffusion, UserError, compose, heat_maps
from minisd.base.arguments import check_progress, check_seed, check_settings, pair, shown
from minisd.base.inputs import read_json
from minisd.picture import Prepared, to_pil
from minisd.pipeline import check_model

from .edits.masks import mask_pictures, read_mask
from .engine import find_engine
from .methods import DEFAULT, METHODS, parse_method
from .methods.catalogue.entry import Entry
from .metrics.fetched import Fetched, PromptMaps
from .prompt import Prompt, Request, encode, read_request
from .protocol import Method, Start
from .result import Result, join
from .start.cache import find_cache
from .start.invert import check_inversion, find_start, fitted
from .start.noise import from_noise

if TYPE_CHECKING:
    from .engine import Engine
    from .start.cache import Cache
    from .start.inversion import Inversion


def run(
    sd: StableDiffusion,
    prompt: str,
    remove: str | Sequence[str] | Request | None = None,
    method: str | None = None,
    seed: int | Sequence[int] = 0,
    settings: Method | None = None,
    engine: str | Engine | None = None,
    *,
    image: Image.Image | Prepared | None = None,
    inversion: str | Inversion | Start | None = None,
    mask: Image.Image | None = None,
    crop: Sequence[int] | None = None,
    cache: bool | str | os.PathLike[str] | Cache | None = None,
    maps: bool = False,
    batch_size: int = 8,
    progress: Callable[..., Iterable] | None = None,
    height: int | None = None,
    width: int | None = None,
) -> Result:
    """Draws `prompt` with and without what is to be removed; or edits a picture, which the prompt describes.

    remove: a phrase; a list of phrases (one picture without all of them); or None, which means the phrases in
    [brackets], or else what the prompt negates. Methods that need no word of the prompt (`Method.needs_words`) take any
    phrase.
    method: a name of `METHODS`, "name:field=value,…", or None for the default. Its settings are those measured on the
    checkpoint, or the published ones (`default_settings`). settings: an instance, e.g. SuppressEOT.official(), in
    place of a method's name.
    engine: "reference" runs the loop as the papers have it. "fast" (None) draws the same picture faster. "compiled" is
    "fast" with torch.compile, which takes a minute or more at the first run. A `suppress.Fast` keeps what it compiled
    for later runs.
    image: a picture to edit, which the prompt describes. It is turned by its EXIF orientation, converted to sRGB,
    cropped around its centre and resized to height × width, and then inverted. `minisd.picture.prepare` does the same
    and tells what was done; its result can be given as `image`. crop: the part of the picture to take, (left, top,
    right, bottom) in pixels of the upright picture; it is cropped further if its aspect is not that of height × width.
    inversion: a name of `INVERSIONS` (default: "direct"), or a start that `invert` made of this picture. `original` of
    the result is then the picture itself. The seed has no meaning; leave it out. Without `settings`, the method has
    those for pictures (`default_settings`).
    mask: a picture that is white where the result may differ, black elsewhere, and as large as `image`. It is cropped
    and resized with it; a mask of height × width is taken as it is.
    Methods that need a mask take it in place of one that they find, and so does `keep`.
    cache: a folder in which inversions are kept for later runs, True for `~/.cache/minisd/inversions`, or a
    `suppress.start.cache.Cache`. None: none is kept.
    maps: whether to record the cross-attention maps. batch_size: how many seeds are drawn at once; this bounds the
    memory. progress: wraps the steps of every batch, called as progress(iterator, total=…). height, width: pixels,
    multiples of 8 (default: the size on which the model was trained).

    UserError for a target that is not in the prompt (with the token table), and for unusable settings and sizes.
    """
    request = read_request(prompt, remove)
    _, seeds = pair(request.prompt, seed)
    if image is not None and isinstance(seed, Iterable):
        raise UserError(f"an image with seeds {shown(seed)}; a picture is edited once, leave the seeds out")
    jobs = [Job(request.prompt, request, s, height, width, image, inversion, mask, crop) for s in seeds]
    results = run_batch(
        sd, jobs, method, settings, engine, cache=cache, maps=maps, batch_size=batch_size, progress=progress
    )
    return results[0] if not isinstance(seed, Iterable) else replace(join(results), timings=results[0].timings)


@dataclass(frozen=True)
class Job:
    """One picture of a batch. `remove`, `image`, `inversion`, `mask` and `crop` are what `run` takes."""

    prompt: str
    remove: str | Sequence[str] | Request | None = None
    seed: int = 0
    height: int | None = None  # pixels, multiples of 8; None: the size on which the model was trained
    width: int | None = None
    image: Image.Image | Prepared | None = None
    inversion: str | Inversion | Start | None = None
    mask: Image.Image | None = None
    crop: Sequence[int] | None = None


def run_batch(
    sd: StableDiffusion,
    jobs: Sequence[Job],
    method: str | None = None,
    settings: Method | None = None,
    engine: str | Engine | None = None,
    *,
    cache: bool | str | os.PathLike[str] | Cache | None = None,
    maps: bool = False,
    batch_size: int = 8,
    progress: Callable[..., Iterable] | None = None,
) -> list[Result]:
    """`run` for many jobs with one method. Their prompts, targets and sizes may differ.

    Returns one result per job, in the order of the jobs, with single pictures. Each picture equals that of the job
    alone, to rounding. Jobs of one size are drawn together; a job with an image is drawn by itself. `timings` are those
    of all jobs together. If a job has an image, the method's name stands for its settings for pictures.
    """
    check_model(sd)
    tasks = [_check_job(sd, job) for job in jobs]
    settings = _check_settings(sd, method, settings, picture=any(task.image for task in tasks))
    [batch_size] = check_settings(batch_size=batch_size)
    check_progress(progress)
    kept = find_cache(cache)
    runner, clock = find_engine(sd, engine), _Clock(sd.device)
    prompts = _encode_all(sd, jobs, settings.needs_words)
    clock.stop("encode")
    starts = {
        k: find_start(runner, task.image, prompts[k], jobs[k].inversion, settings, kept, progress)
        for k, task in enumerate(tasks)
        if task.image is not None
    }
    if starts:
        clock.stop("invert")
    drawn: dict[int, list[Tensor]] = {}
    found: dict[int, Image.Image] = {}  # masks
    for batch in _batches([k if k in starts else task.kind for k, task in enumerate(tasks)], batch_size):
        theirs, first, start = [prompts[k] for k in batch], tasks[batch[0]], starts.get(batch[0])
        if start is None:
            start = from_noise(theirs, sd.noise([tasks[k].seed for k in batch], *first.size))
        masks = [mask for k in batch if (mask := tasks[k].mask) is not None]  # all have one, or none has
        if masks:
            start = replace(start, mask=torch.cat(masks))
        samples, changed = _sample(theirs, start, settings, runner, maps, progress)
        drawn |= zip(batch, samples, strict=True)
        if changed is not None:
            found |= zip(batch, mask_pictures(changed, *first.size), strict=True)
    clock.stop("sample")
    tensors = [drawn[k] for k in range(len(jobs))]
    pictures = [[to_pil(runner.decode(z))[0] for z in parts[:2]] for parts in tensors]
    clock.stop("decode")
    return [
        Result(
            image=image,
            original=original if task.image is None else task.image.picture,
            reconstruction=None if task.image is None else original,
            mask=found.get(k),
            latents=parts[1],
            original_latents=parts[0],
            settings=settings,
            timings=clock.timings(),
            prompt=prompt.text,
            targets=prompt.targets,
            rows=prompt.target,
            original_maps=parts[2] if maps else None,
            maps=parts[3] if maps else None,
            fetched=parts[4] if maps else None,
        )
        for k, (task, prompt, parts, (original, image)) in enumerate(
            zip(tasks, prompts, tensors, pictures, strict=True)
        )
    ]


def _check_settings(sd: StableDiffusion, method: str | None, settings: Method | None, picture: bool) -> Method:
    """The settings, or those that belong to the method's name. picture: whether a picture is edited."""
    if settings is None:
        return default_settings(sd, method, picture)[0]
    if method is not None:
        raise UserError("method and settings both say what to run; give one of them")
    if not isinstance(settings, Method):
        raise UserError(f"settings = {shown(settings)}; expected an instance such as suppress.SuppressEOT(gamma=1)")
    return settings


@dataclass(frozen=True, eq=False)
class _Task:
    """A job that was checked."""

    seed: int
    size: tuple[int, int]  # (height, width)
    image: Prepared | None
    mask: Tensor | None  # (1,1,H,W)

    @property
    def kind(self) -> Hashable:
        """Jobs of one kind can be drawn together."""
        return self.size, self.mask is not None


def _check_job(sd: StableDiffusion, job: Job) -> _Task:
    """UserError if it is not a Job, or if one of its values is unusable or does not go with the others."""
    if not isinstance(job, Job):
        raise UserError(f"a job is a suppress.Job(prompt, remove, seed), not {shown(job)}")
    check_inversion(job.image, job.inversion)
    seed = check_seed(job.seed)
    if job.image is not None and seed != 0:
        raise UserError(f"an image with seed {seed}; a picture is inverted without noise, leave the seed out")
    if job.image is None and job.crop is not None:
        raise UserError(f"crop = {shown(job.crop)} without an image; a crop is of a picture: image=…")
    image, size = None, (job.height, job.width)
    if job.image is not None:
        image = fitted(sd, job.image, *size, job.crop)
        size = image.picture.height, image.picture.width
    size = sd.check_size(*(sd.side if value is None else value for value in size))
    return _Task(seed, size, image, None if job.mask is None else read_mask(job.mask, *size, image))


def _batches(kinds: Sequence[Hashable], batch_size: int) -> list[list[int]]:
    """The batches, as lists of job numbers: at most `batch_size` jobs of one kind each."""
    alike: dict[Hashable, list[int]] = {}
    for k, kind in enumerate(kinds):
        alike.setdefault(kind, []).append(k)
    return [ks[k : k + batch_size] for ks in alike.values() for k in range(0, len(ks), batch_size)]


def _encode_all(sd: StableDiffusion, jobs: Sequence[Job], needs_words: bool) -> list[Prompt]:
    """One prompt per job. Jobs with the same request get the same object, which is encoded once."""
    known: dict[Request, Prompt] = {}
    prompts = []
    for job in jobs:
        request = read_request(job.prompt, job.remove)
        if request not in known:
            known[request] = encode(sd, request.prompt, request, needs_words)
        prompts.append(known[request])
    return prompts


def default_settings(
    sd: StableDiffusion, method: str | None = None, picture: bool = False, **given: Any
) -> tuple[Method, str]:
    """(settings, where their R comes from).

    If the checkpoint's folder has a defaults.json, its values are used: they were measured on that checkpoint.
    Otherwise the settings are the published ones, or the method's own if it is not published.
    method: a name, or "name:field=value,…" (`parse_method`). `given` replaces single values.
    picture: the settings are for the edit of a picture (`_for_pictures`); measured and given values count before them.
    """
    spec = DEFAULT if method is None else method
    if not isinstance(spec, str):
        raise UserError(f"method = {shown(spec)}; expected the name of a method, such as {DEFAULT!r}")
    name = spec.partition(":")[0]
    measured = measured_defaults(sd)
    settings = parse_method(spec, measured, **given)  # raises UserError for an unknown name
    if picture:
        own = {**_for_pictures(METHODS[name], measured), **measured.get(name, {})}
        settings = parse_method(spec, {**measured, name: own}, **given)
    general = {} if METHODS[name].preset else measured.get("all", {})
    has_start = "start" in {*general, *measured.get(name, {})}
    return settings, f"measured on {sd.name}" if has_start else METHODS[name].origin


def _for_pictures(entry: Entry, measured: Mapping[str, Any]) -> dict[str, Any]:
    """A method's settings for real pictures: those published for them, and keep = 1.

    Without `keep`, an edit of the context alone drifts away from the picture. A preset has its published `keep`, and a
    method with a default of its own has that one.
    """
    if entry.preset or entry.kind.keep != Method.keep or "keep" in entry.bound:
        return dict(entry.for_pictures)
    return {"keep": 1.0, **entry.for_pictures, **measured.get("all", {})}


def measured_defaults(sd: StableDiffusion) -> dict[str, Any]:
    """The content of the checkpoint's defaults.json; empty if it has none."""
    file = sd.folder / "defaults.json" if sd.folder else None
    if not file or not file.is_file():
        return {}
    try:
        return read_json(file)
    except CheckpointError as error:
        raise UserError(f"{error}; repair it, or remove it to use the published settings") from None


def _sample(
    prompts: Sequence[Prompt],
    start: Start,
    method: Method,
    engine: Engine,
    maps: bool,
    progress: Callable[..., Iterable] | None,
) -> tuple[list[list[Tensor]], Tensor | None]:
    """Draws a batch.

    Returns a list per sample of tensors (1,…): [original latents, latents], and with `maps` also
    [original maps, maps, fetched]; and the mask that the edit had (`Edit.changed`).
    """
    records: tuple[PromptMaps, ...] = ()
    if maps:
        untouched = torch.cat([prompt.ctx for prompt in prompts])
        records = PromptMaps(), PromptMaps(), Fetched(untouched)
    watch = (records[0], compose(*records[1:])) if maps else None
    branches = engine.two_branches(prompts, start, method, watch)
    steps: Iterable = branches
    if progress:
        steps = progress(branches, total=method.steps - start.begin)
    [latents] = deque(steps, maxlen=1)  # keeps the last step's
    heats = [heat_maps(record.maps, (start.z.shape[-2], start.z.shape[-1])) for record in records]
    samples = [list(parts) for parts in zip(*(x.split(1) for x in (*latents, *heats)), strict=True)]
    return samples, branches.edit.changed()


class _Clock:
    """Measures the seconds between two stops. A stop waits for the GPU, so that its work counts in the right span."""

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds: dict[str, float] = {}
        self.previous_stop = time.perf_counter()

    def stop(self, name: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[name] = now - self.previous_stop
        self.previous_stop = now

    def timings(self) -> dict[str, float]:
        return self.seconds | {"total": sum(self.seconds.values())}
