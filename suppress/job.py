"""`suppress.run`: a prompt, what to remove from it, and two pictures of the same noise: with it and without."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from minisd import Average, StableDiffusion, UserError, heat_maps, select
from minisd.picture import to_pil
from minisd.pipeline import pair

from .methods import DEFAULT, Method, Prompt, parse_method, two_branches
from .target import eot_rows, find_rows, read_request


@dataclass(frozen=True)
class Result:
    """What a run made. A single seed gives single pictures, a list of seeds lists of them."""

    image: Image.Image | list[Image.Image]  # without the target
    original: Image.Image | list[Image.Image]  # the same noise, nothing removed
    latents: Tensor  # (B,4,h,w), of `image`
    original_latents: Tensor
    settings: Method
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
    settings: Method | None = None,
    *,
    maps: bool = False,
    batch_size: int = 8,
    progress: Callable[..., Iterable] | None = None,
) -> Result:
    """Draws `prompt` with and without what is to be removed.

    remove: a phrase, a list of phrases (one picture without all of them), or None: what the prompt negates or puts
    in [brackets]. method: a name of `METHODS`, "name:field=value,…", or None for the default, with the checkpoint's
    measured settings or the published ones (`default_settings`). settings: an instance, e.g. SuppressEOT.official(),
    in place of a name.
    maps: record the cross-attention maps as well. batch_size: seeds drawn at once. progress: wraps the steps, called
    as progress(iterator, total=…).

    UserError for a target that is not in the prompt (with the token table) and for unusable settings.
    """
    if settings is None:
        settings, _origin = default_settings(sd, method)
    elif method is not None:
        raise UserError("method and settings both say what to run; give one of them")
    request = read_request(prompt, remove)
    _, seeds = pair(request.prompt, seed)
    clock = _Clock(sd.device)
    read = encode(sd, request.prompt, request.targets)
    clock.stop("encode")
    batches = [
        _sample(sd, read, chunk, settings, maps, progress)
        for chunk in (seeds[k : k + batch_size] for k in range(0, len(seeds), batch_size))
    ]
    originals, latents, *recorded = (torch.cat(parts) for parts in zip(*batches, strict=True))
    clock.stop("sample")
    pictures = [to_pil(sd.decode(z)) for z in (originals, latents)]
    clock.stop("decode")
    single = not isinstance(seed, Iterable)
    return Result(
        image=pictures[1][0] if single else pictures[1],
        original=pictures[0][0] if single else pictures[0],
        latents=latents,
        original_latents=originals,
        settings=settings,
        timings=clock.timings(),
        prompt=request.prompt,
        targets=request.targets,
        rows=read.target,
        maps=recorded[1] if maps else None,
        original_maps=recorded[0] if maps else None,
    )


def default_settings(sd: StableDiffusion, method: str | None = None, **given: Any) -> tuple[Method, str]:
    """(settings, where they come from): a folder's defaults.json, measured on that checkpoint, or the published.

    method: a name, or "name:field=value,…" (`parse_method`); `given` replaces single values.
    """
    spec = method or DEFAULT
    file = sd.folder / "defaults.json" if sd.folder else None
    measured: dict[str, Any] = json.loads(file.read_text()) if file and file.is_file() else {}
    origin = f"measured on {sd.name}" if spec.partition(":")[0] in measured else "published"
    return parse_method(spec, measured, **given), origin


def encode(sd: StableDiffusion, text: str, targets: Sequence[str]) -> Prompt:
    """A prompt as the methods get it: its embeddings, and where the targets and [EOT] stand in them."""
    rows = find_rows(sd, text, targets)
    words = tuple(sd.tokens(text)[:-1])
    return Prompt(text, tuple(targets), sd.encode_text(text), sd.encode_text(""), rows, eot_rows(sd, text), words)


def _sample(
    sd: StableDiffusion,
    prompt: Prompt,
    seeds: Sequence[int],
    method: Method,
    maps: bool,
    progress: Callable[..., Iterable] | None,
) -> tuple[Tensor, ...]:
    """(original latents, latents[, original maps, maps]) of a batch of seeds."""
    side = sd.config.unet.sample_size * sd.vae.config.factor
    z = sd.noise(seeds, side, side)
    watch = (Average(select("cross")), Average(select("cross"))) if maps else None
    steps: Iterable = two_branches(sd, prompt, z, method, watch)
    [latents] = deque(progress(steps, total=method.steps) if progress else steps, maxlen=1)  # the last
    heats = [heat_maps(record.maps, (z.shape[-2], z.shape[-1])) for record in watch or ()]
    return *latents, *heats


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
