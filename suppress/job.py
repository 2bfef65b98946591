"""`suppress.run`: a prompt, what to remove from it, and two pictures of the same noise: with it and without."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from minisd import Average, Site, StableDiffusion, UserError, heat_maps, select
from minisd.picture import to_pil
from minisd.pipeline import pair

from .methods import SuppressEOT, suppress_eot
from .target import eot_rows, find_rows, read_request

METHODS = ("suppress-eot",)


@dataclass(frozen=True)
class Result:
    """What a run made. A single seed gives single pictures, a list of seeds lists of them."""

    image: Image.Image | list[Image.Image]  # without the target
    original: Image.Image | list[Image.Image]  # the same noise, nothing removed
    latents: Tensor  # (B,4,h,w), of `image`
    original_latents: Tensor
    settings: SuppressEOT
    timings: dict[str, float]  # seconds: encode, sample, decode, total
    prompt: str  # as the model got it
    targets: tuple[str, ...]
    rows: tuple[int, ...]  # token positions of the targets
    maps: Tensor | None = field(default=None, repr=False)  # (B,77,h,w) with maps=True: cross maps, mean over all
    original_maps: Tensor | None = field(default=None, repr=False)


def run(
    sd: StableDiffusion,
    prompt: str,
    remove: str | Sequence[str] | None = None,
    method: str | None = None,
    seed: int | Sequence[int] = 0,
    settings: SuppressEOT | None = None,
    *,
    maps: bool = False,
    batch_size: int = 8,
    progress: Callable[..., Iterable] | None = None,
) -> Result:
    """Draws `prompt` with and without what is to be removed.

    remove: a phrase, a list of phrases (one picture without all of them), or None: what the prompt negates or puts
    in [brackets]. method None: the default, "suppress-eot". settings None: the checkpoint's measured defaults, or
    the published ones (`default_settings`). maps: record the cross-attention maps as well. batch_size: seeds drawn
    at once. progress: wraps the steps, called as progress(iterator, total=…).

    UserError for a target that is not in the prompt (with the token table) and for unusable settings.
    """
    if method is not None and method not in METHODS:
        raise UserError(f"method {method!r}; there is {', '.join(METHODS)}")
    settings = default_settings(sd)[0] if settings is None else settings
    request = read_request(prompt, remove)
    _, seeds = pair(request.prompt, seed)
    rows = find_rows(sd, request.prompt, request.targets)
    clock = _Clock(sd.device)
    ctx, uncond = sd.encode_text(request.prompt), sd.encode_text("")
    clock.stop("encode")
    batches = [
        _sample(sd, ctx, uncond, rows, eot_rows(sd, request.prompt), chunk, settings, maps, progress)
        for chunk in (seeds[k : k + batch_size] for k in range(0, len(seeds), batch_size))
    ]
    originals, latents, *recorded = (torch.cat(parts) for parts in zip(*batches, strict=True))
    clock.stop("sample")
    pictures = [to_pil(sd.decode(z)) for z in (originals, latents)]
    clock.stop("decode")
    single = not isinstance(seed, Sequence)
    return Result(
        image=pictures[1][0] if single else pictures[1],
        original=pictures[0][0] if single else pictures[0],
        latents=latents,
        original_latents=originals,
        settings=settings,
        timings=clock.timings(),
        prompt=request.prompt,
        targets=request.targets,
        rows=rows,
        maps=recorded[1] if maps else None,
        original_maps=recorded[0] if maps else None,
    )


def default_settings(sd: StableDiffusion) -> tuple[SuppressEOT, str]:
    """(settings, where they come from): a folder's defaults.json, measured on that checkpoint, or the published."""
    file = sd.folder / "defaults.json" if sd.folder else None
    if file is None or not file.is_file():
        return SuppressEOT(), "published"
    return SuppressEOT(**json.loads(file.read_text())["suppress-eot"]), f"measured on {sd.name}"


def _sample(
    sd: StableDiffusion,
    ctx: Tensor,
    uncond: Tensor,
    rows: Sequence[int],
    eot: Sequence[int],
    seeds: Sequence[int],
    settings: SuppressEOT,
    maps: bool,
    progress: Callable[..., Iterable] | None,
) -> tuple[Tensor, ...]:
    """(original latents, latents[, original maps, maps]) of a batch of seeds."""
    side = sd.config.unet.sample_size * sd.vae.config.factor
    z = sd.noise(seeds, side, side)
    record = _BranchMaps(len(seeds)) if maps else None
    steps: Iterable = suppress_eot(sd, ctx.expand(len(seeds), -1, -1), uncond, (*rows, *eot), z, settings, tap=record)
    [latents] = deque(progress(steps, total=settings.steps) if progress else steps, maxlen=1)  # the last
    if record is None:
        return latents
    heat = heat_maps(record.maps, (z.shape[-2], z.shape[-1]))
    return *latents, *heat.chunk(2)


class _BranchMaps(Average):
    """Average cross maps of [original, suppressed], both conditional; before R the one branch stands for both."""

    def __init__(self, samples: int):
        super().__init__(select("cross"))
        self.samples = samples

    def probs(self, site: Site, p: Tensor) -> Tensor:
        conditional = p.chunk(2)[1]
        if len(conditional) == self.samples:
            conditional = torch.cat([conditional, conditional])
        super().probs(site, conditional)
        return p


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
