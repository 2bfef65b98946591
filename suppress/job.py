"""`suppress.run`: a prompt, what to remove from it, and two pictures of the same noise: with it and without."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from minisd import CheckpointError, StableDiffusion, UserError, compose, heat_maps
from minisd.base.arguments import check_progress, check_seed, check_settings, pair, shown
from minisd.base.inputs import read_json
from minisd.picture import to_pil
from minisd.pipeline import check_model

from .engine import find_engine
from .methods import DEFAULT, METHODS, parse_method
from .metrics.fetched import Fetched, PromptMaps
from .prompt import Prompt, Request, encode, read_request
from .protocol import Method, Start
from .start.invert import check_picture, find_start, fitted
from .start.noise import from_noise

if TYPE_CHECKING:
    from .engine import Engine
    from .metrics.judge import Judge, Scores
    from .start.inversion import Inversion


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==: a result equals itself alone
class Result:
    """What a run made. A single seed gives single pictures, a list of seeds lists of them."""

    image: Image.Image | list[Image.Image]  # without the target
    original: Image.Image | list[Image.Image]  # the same noise, nothing removed; or the given picture, fitted
    latents: Tensor  # (B,4,h,w), of `image`
    original_latents: Tensor
    settings: Method
    timings: dict[str, float]  # seconds: encode, sample, decode, total; invert, for a picture
    prompt: str  # as the model got it
    targets: tuple[str, ...]
    rows: tuple[int, ...]  # token positions of the targets
    reconstruction: Image.Image | None = None  # of a given picture: what the model draws from its inversion
    # with maps=True, (B,77,h,w) each, the mean over steps, sites and heads
    maps: Tensor | None = field(default=None, repr=False)  # cross maps of `image`: where the pixels looked
    original_maps: Tensor | None = field(default=None, repr=False)  # those of `original`
    # `maps` weighted by what is fetched there (suppress/metrics/fetched.py): 0 for a row of zeros, however much it is
    # looked at. Nothing is weighted in the original, so that `original_maps` are what to compare these with
    fetched: Tensor | None = field(default=None, repr=False)

    def scores(self, judge: Judge) -> Scores:
        """DetScore and CLIP score of each target, of `original` and `image`; judge: `suppress.metrics.Judge(sd)`."""
        return judge.scores(self)


def run(
    sd: StableDiffusion,
    prompt: str,
    remove: str | Sequence[str] | Request | None = None,
    method: str | None = None,
    seed: int | Sequence[int] = 0,
    settings: Method | None = None,
    engine: str | Engine | None = None,
    *,
    image: Image.Image | None = None,
    inversion: str | Inversion | Start | None = None,
    maps: bool = False,
    batch_size: int = 8,
    progress: Callable[..., Iterable] | None = None,
    height: int | None = None,
    width: int | None = None,
) -> Result:
    """Draws `prompt` with and without what is to be removed; or edits a picture, which the prompt describes.

    remove: a phrase, a list of phrases (one picture without all of them), or None: what the prompt negates or puts
    in [brackets]. method: a name of `METHODS`, "name:field=value,…", or None for the default, with the checkpoint's
    measured settings or the published ones (`default_settings`). settings: an instance, e.g. SuppressEOT.official(),
    in place of a name.
    engine: "reference", the loop as the paper has it; "fast" (None), the same picture sooner; "compiled", that by
    torch.compile, which takes a minute or more first; or a `suppress.Fast`, which keeps what it compiled for later.
    image: a picture to edit. It is scaled and cropped to height × width, and inverted: by a name of `INVERSIONS`, by
    default "direct", or by what `invert` made of it. `.original` is the picture then, `.reconstruction` what the model
    draws from the inversion with nothing removed; no noise is drawn, so that there is no seed. The method's settings
    stay what they are; the authors of SuppressEOT take step_size=5 for real pictures.
    maps: record the cross-attention maps as well. batch_size: seeds drawn at once, which bounds the memory. progress:
    wraps the steps of every batch, called as progress(iterator, total=…). height, width: pixels, multiples of 8
    (default: the size the model was trained on).

    UserError for a target that is not in the prompt (with the token table) and for unusable settings and sizes.
    """
    request = read_request(prompt, remove)
    _, seeds = pair(request.prompt, seed)
    if image is not None and isinstance(seed, Iterable):
        raise UserError(f"an image with seeds {shown(seed)}; a picture is edited once, leave the seeds out")
    jobs = [Job(request.prompt, request, s, height, width, image, inversion) for s in seeds]
    results = run_batch(sd, jobs, method, settings, engine, maps=maps, batch_size=batch_size, progress=progress)
    return results[0] if not isinstance(seed, Iterable) else replace(join(results), timings=results[0].timings)


@dataclass(frozen=True)
class Job:
    """One picture of a batch: what to draw, what to remove, from which noise or picture, how large; as `run` has it."""

    prompt: str
    remove: str | Sequence[str] | Request | None = None
    seed: int = 0
    height: int | None = None  # pixels, multiples of 8; None: the size the model was trained on
    width: int | None = None
    image: Image.Image | None = None
    inversion: str | Inversion | Start | None = None


def run_batch(
    sd: StableDiffusion,
    jobs: Sequence[Job],
    method: str | None = None,
    settings: Method | None = None,
    engine: str | Engine | None = None,
    *,
    maps: bool = False,
    batch_size: int = 8,
    progress: Callable[..., Iterable] | None = None,
) -> list[Result]:
    """`run` for many jobs at once: prompts, targets, their numbers of tokens and sizes may differ, the method is one.

    Returns a result a job, in their order, with single pictures; each is that of the job alone, to rounding. Jobs of
    one size are drawn together, those with an image by themselves. `timings` are those of all jobs.
    """
    check_model(sd)
    if settings is None:
        settings, _origin = default_settings(sd, method)
    elif method is not None:
        raise UserError("method and settings both say what to run; give one of them")
    if not isinstance(settings, Method):
        raise UserError(f"settings = {shown(settings)}; expected an instance such as suppress.SuppressEOT(gamma=1)")
    [batch_size] = check_settings(batch_size=batch_size)
    check_progress(progress)
    drawings = [_check_job(sd, job) for job in jobs]
    runner, clock = find_engine(sd, engine), _Clock(sd.device)
    prompts = _encode_all(sd, jobs)
    clock.stop("encode")
    given = {k: fitted(sd, job.image, *drawings[k][1]) for k, job in enumerate(jobs) if job.image is not None}
    starts = {k: find_start(sd, x, prompts[k], jobs[k].inversion, settings, progress) for k, x in given.items()}
    if starts:
        clock.stop("invert")
    drawn: dict[int, list[Tensor]] = {}
    for batch in _batches([None if k in given else size for k, (_, size) in enumerate(drawings)], batch_size):
        theirs, start = [prompts[k] for k in batch], starts.get(batch[0])
        if start is None:
            start = from_noise(theirs, sd.noise([drawings[k][0] for k in batch], *drawings[batch[0]][1]))
        drawn |= zip(batch, _sample(theirs, start, settings, runner, maps, progress), strict=True)
    clock.stop("sample")
    tensors = [drawn[k] for k in range(len(jobs))]
    pictures = [[to_pil(runner.decode(z))[0] for z in parts[:2]] for parts in tensors]
    clock.stop("decode")
    return [
        Result(
            image=image,
            original=to_pil(given[k])[0] if k in given else original,
            reconstruction=original if k in given else None,
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
        for k, (prompt, parts, (original, image)) in enumerate(zip(prompts, tensors, pictures, strict=True))
    ]


_TENSORS = ("latents", "original_latents", "maps", "original_maps", "fetched")  # of a Result


def join(results: Sequence[Result]) -> Result:
    """The results of several seeds, of one prompt and method, as one with lists of pictures; seconds are added up."""

    def cat(name: str) -> Any:
        parts = [getattr(result, name) for result in results]
        return torch.cat(parts) if parts[0] is not None else None

    def pictures(name: str) -> list[Image.Image]:
        parts = [getattr(result, name) for result in results]
        return [picture for part in parts for picture in (part if isinstance(part, list) else [part])]

    return replace(
        results[0],
        image=pictures("image"),
        original=pictures("original"),
        timings={name: sum(result.timings[name] for result in results) for name in results[0].timings},
        **{name: cat(name) for name in _TENSORS},
    )


def _check_job(sd: StableDiffusion, job: Job) -> tuple[int, tuple[int, int]]:
    """The job's seed and (height, width). UserError for what is no job, or one of several seeds or of both kinds."""
    if not isinstance(job, Job):
        raise UserError(f"a job is a suppress.Job(prompt, remove, seed), not {shown(job)}")
    side = sd.config.unet.sample_size * sd.vae.config.factor
    height, width = (side if value is None else value for value in (job.height, job.width))
    check_picture(job.image, job.inversion)
    if job.image is not None and job.seed != 0:
        raise UserError(
            f"an image with seed {shown(job.seed)}; a picture is inverted without noise, leave the seed out"
        )
    return check_seed(job.seed), sd.check_size(height, width)


def _batches(sizes: Sequence[tuple[int, int] | None], batch_size: int) -> list[list[int]]:
    """Which jobs are drawn at once, by their positions: those of one size, at most `batch_size`; None by itself."""
    alike: dict[tuple[int, int] | int, list[int]] = {}
    for k, size in enumerate(sizes):
        alike.setdefault(k if size is None else size, []).append(k)
    return [ks[k : k + batch_size] for ks in alike.values() for k in range(0, len(ks), batch_size)]


def _encode_all(sd: StableDiffusion, jobs: Sequence[Job]) -> list[Prompt]:
    """A prompt a job; equal ones are encoded once and are the same object."""
    known: dict[Request, Prompt] = {}
    prompts = []
    for job in jobs:
        request = read_request(job.prompt, job.remove)
        if request not in known:
            known[request] = encode(sd, request.prompt, request)
        prompts.append(known[request])
    return prompts


def default_settings(sd: StableDiffusion, method: str | None = None, **given: Any) -> tuple[Method, str]:
    """(settings, where they come from): those of the folder's defaults.json, which were measured on that checkpoint;
    without them the published ones, or, for a method that is not published, its own.

    method: a name, or "name:field=value,…" (`parse_method`); `given` replaces single values.
    """
    spec = DEFAULT if method is None else method
    if not isinstance(spec, str):
        raise UserError(f"method = {shown(spec)}; expected the name of a method, such as {DEFAULT!r}")
    name = spec.partition(":")[0]
    measured = _measured(sd)
    settings = parse_method(spec, measured, **given)  # a UserError for a name that there is not
    general = "all" in measured and not METHODS[name].preset
    return settings, f"measured on {sd.name}" if name in measured or general else METHODS[name].origin


def _measured(sd: StableDiffusion) -> dict[str, Any]:
    """The content of a folder's defaults.json; nothing where there is none."""
    file = sd.folder / "defaults.json" if sd.folder else None
    if not file or not file.is_file():
        return {}
    try:
        return read_json(file)
    except CheckpointError as error:
        raise UserError(f"{error}; mend it, or remove it for the published settings") from None


def _sample(
    prompts: Sequence[Prompt],
    start: Start,
    method: Method,
    engine: Engine,
    maps: bool,
    progress: Callable[..., Iterable] | None,
) -> list[list[Tensor]]:
    """Draws a batch. Returns for each sample [original latents, latents], and with maps
    [original's maps, maps, what is fetched] besides, (1,…) each.
    """
    records: tuple[PromptMaps, ...] = ()
    if maps:
        untouched = torch.cat([prompt.ctx for prompt in prompts])
        records = PromptMaps(), PromptMaps(), Fetched(untouched)
    watch = (records[0], compose(*records[1:])) if maps else None
    steps: Iterable = engine.two_branches(prompts, start, method, watch)
    [latents] = deque(
        progress(steps, total=method.steps - start.begin) if progress else steps, maxlen=1
    )  # those of the last step
    heats = [heat_maps(record.maps, (start.z.shape[-2], start.z.shape[-1])) for record in records]
    return [list(parts) for parts in zip(*(x.split(1) for x in (*latents, *heats)), strict=True)]


class _Clock:
    """Seconds between stops; waits for the device first, so that work is counted where it was asked for."""

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def stop(self, name: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[name] = now - self.last
        self.last = now

    def timings(self) -> dict[str, float]:
        return self.seconds | {"total": sum(self.seconds.values())}
