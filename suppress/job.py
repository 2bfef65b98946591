"""`suppress.run` draws a prompt twice from the same noise: as it is, and without what is to be removed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from minisd import StableDiffusion, UserError
from minisd.base.arguments import check_progress, check_settings, pair, shown
from minisd.picture import Prepared, to_pil
from minisd.pipeline import check_latents_alone, check_model
from minisd.watch.step import Callback, Viewer, check_callback

from .edits.masks import mask_pictures
from .engine import find_engine
from .prompt import Prompt, Request, read_request
from .protocol import Method, Start
from .result import Result, join
from .start.cache import find_cache
from .start.invert import find_start
from .start.noise import from_noise
from .step import Sample, Watcher, draw
from .task import Job, Task, batches, check_jobs, encode_all, first_noise

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
    steps: int | None = None,
    guidance: float | None = None,
    negative_prompt: str = "",
    latents: Tensor | None = None,
    callback: Callback | None = None,
) -> Result:
    """Draws `prompt` with and without what is to be removed; or edits a picture, which the prompt describes.

    What to do:

    remove: a phrase; a list of phrases (one picture without all of them); or None, which means the phrases in
        [brackets], or else what the prompt negates. Methods that need no word of the prompt (`Method.needs_words`)
        take any phrase.
    method: a name of `METHODS`, "name:field=value,…", or None for the default. Its settings are those measured on the
        checkpoint, or the published ones (`default_settings`).
    settings: an instance in place of a method's name, e.g. SuppressEOT.official().
    steps, guidance: in place of those of the method's settings.
    negative_prompt: what the guidance of both branches leads away from, in place of the empty prompt.

    A drawing:

    seed: of the noise. An int gives single pictures; a list gives lists of pictures.
    height, width: pixels, multiples of 8. Default: the size on which the model was trained.
    latents: (B,4,height/8,width/8), the noise in place of that of the seeds; leave these out. B = 1 gives single
        pictures.

    Or the edit of a picture, which the prompt describes:

    image: the picture. It is turned by its EXIF orientation, converted to sRGB, cropped around its centre, resized to
        height × width, and then inverted. It is `original` of the result. `minisd.picture.prepare` does the same and
        tells what was done; its result can be given as `image`. The seed has no meaning; leave it out. A method's name
        then stands for its settings for pictures.
    crop: the part of it to take, (left, top, right, bottom) in pixels of the upright picture. It is cropped further if
        its aspect is not that of height × width.
    inversion: a name of `INVERSIONS` (default: "direct"), or a start that `invert` made of this picture.
    mask: a picture that is white where the result may differ, black elsewhere, in place of a mask that the method or
        `keep` finds. It is as large as `image` and treated like it; or height × width, and taken as it is.
    cache: a folder in which inversions are kept for later runs, True for `~/.cache/minisd/inversions`, or a
        `suppress.start.cache.Cache`. None: none is kept.

    How it is computed, and what is seen of it:

    engine: "reference" runs the loop as the papers have it. "fast" (None) draws the same picture faster. "compiled" is
        "fast" with torch.compile, which takes a minute or more at the first run. A `suppress.Fast` keeps what it
        compiled for later runs.
    batch_size: how many seeds are drawn at once; this bounds the memory.
    maps: whether to record the cross-attention maps.
    progress: wraps the steps of every batch, called as progress(iterator, total=…).
    callback: a function of a `suppress.Step`, called after every step of every batch. If it returns False, the drawing
        stops: the result has the pictures drawn so far, the last batch as this step expects it (`Result.stopped_at`).

    UserError for a target that is not in the prompt (with the token table), and for unusable settings and sizes.
    """
    request = read_request(prompt, remove)
    _, seeds = pair(request.prompt, seed)
    if image is not None and isinstance(seed, Iterable):
        raise UserError(f"an image with seeds {shown(seed)}; a picture is edited once, leave the seeds out")
    job = Job(request.prompt, request, 0, height, width, image, inversion, mask, crop, negative_prompt)
    job = replace(job, steps=steps, guidance=guidance)
    if latents is None:
        jobs, many = [replace(job, seed=s) for s in seeds], isinstance(seed, Iterable)
    else:
        check_model(sd)
        check_latents_alone(sd, latents, seed, height, width)
        jobs, many = [replace(job, latents=one) for one in latents.split(1)], len(latents) > 1
    results = run_batch(
        sd,
        jobs,
        method,
        settings,
        engine,
        cache=cache,
        maps=maps,
        batch_size=batch_size,
        progress=progress,
        callback=callback,
    )
    return replace(join(results), timings=results[0].timings) if many else results[0]


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
    callback: Callback | None = None,
) -> list[Result]:
    """`run` for many jobs with one method. Their prompts, targets and sizes may differ.

    Returns one result per job, in the order of the jobs, with single pictures. Each picture equals that of the job
    alone, to rounding. Jobs of one size, steps and guidance are drawn together; a job with an image is drawn by itself.
    `timings` are those of all jobs together. If a job has an image, the method's name stands for its settings for
    pictures. callback: as in `run`; `Step.jobs` has the numbers of its jobs. After a stop, jobs that had not begun have
    no result; `Result.job` is the number of a result's job.
    """
    check_model(sd)
    tasks = check_jobs(sd, jobs, method, settings)
    [batch_size] = check_settings(batch_size=batch_size)
    check_progress(progress)
    check_callback(callback)
    kept = find_cache(cache)
    runner, clock = find_engine(sd, engine), _Clock(sd.device)
    watcher = Watcher(progress, callback, maps, Viewer(sd))
    prompts = encode_all(sd, tasks)
    clock.stop("encode")
    starts = {
        k: find_start(runner, task.image, prompts[k], task.job.inversion, task.settings, kept, progress)
        for k, task in enumerate(tasks)
        if task.image is not None
    }
    if starts:
        clock.stop("invert")
    drawn: dict[int, Sample] = {}
    for batch in batches([k if k in starts else task.kind for k, task in enumerate(tasks)], batch_size):
        theirs, some = [prompts[k] for k in batch], [tasks[k] for k in batch]
        start = starts.get(batch[0]) or from_noise(theirs, first_noise(sd, some))
        masks = [task.mask for task in some if task.mask is not None]  # all have one, or none has
        if masks:
            start = replace(start, mask=torch.cat(masks))
        samples, stopped = draw(runner, theirs, start, some[0].settings, batch, watcher)
        drawn |= zip(batch, samples, strict=True)
        if stopped:
            break
    clock.stop("sample")
    pictures = {
        k: [to_pil(runner.decode(z))[0] for z in (sample.original_latents, sample.latents)]
        for k, sample in sorted(drawn.items())
    }
    clock.stop("decode")
    timings = clock.timings()
    return [
        _result(sd, k, tasks[k], prompts[k], drawn[k], original, image, timings)
        for k, (original, image) in pictures.items()
    ]


def _result(
    sd: StableDiffusion,
    k: int,
    task: Task,
    prompt: Prompt,
    sample: Sample,
    original: Image.Image,
    image: Image.Image,
    timings: dict[str, float],
) -> Result:
    from .report.result_parameters import making_fields

    original_maps, maps, fetched = sample.heats or (None, None, None)
    return Result(
        image=image,
        original=original if task.image is None else task.image.picture,
        reconstruction=None if task.image is None else original,
        mask=None if sample.changed is None else mask_pictures(sample.changed, *task.size)[0],
        latents=sample.latents,
        original_latents=sample.original_latents,
        settings=task.settings,
        timings=timings,
        prompt=prompt.text,
        targets=prompt.targets,
        rows=prompt.target,
        original_maps=original_maps,
        maps=maps,
        fetched=fetched,
        negative_prompt=prompt.negative,
        seeds=task.seeds,
        model=sd.name,
        model_changes=sd.changes,
        named=prompt.request.named,
        making=making_fields(sd, task),
        job=k,
        stopped_at=sample.stopped_at,
        unfinished=int(sample.stopped_at is not None),
    )


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
