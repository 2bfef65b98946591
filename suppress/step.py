"""A drawing's two branches after each step: what a callback gets, and the loop that calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

import minisd
from minisd import compose, ddim, heat_maps
from minisd.watch.step import Callback, Viewer, make_step, side_by_side, wants_to_stop

from .metrics.fetched import Fetched, PromptMaps
from .prompt import Prompt
from .protocol import Method, Start

if TYPE_CHECKING:
    from .engine import Engine


@dataclass(frozen=True, eq=False)
class Step(minisd.Step):
    """A batch after one step: `latents`, `preview()` and `pictures()` are those of the edited branch.

    `original` has the same of the original branch. All tensors are copies: a callback changes no picture.
    """

    original: minisd.Step = field(repr=False)

    def sheet(self) -> Image.Image:
        """The expected pictures: the originals above the edited ones; of one seed, the original on the left."""
        pairs = self.original.pictures(), self.pictures()
        return side_by_side([[*pairs[0], *pairs[1]]] if len(pairs[0]) == 1 else pairs)


@dataclass(frozen=True, eq=False)
class Sample:
    """What was drawn of one picture. All tensors are (1,…)."""

    # after the last step; if a callback stopped the drawing before, the finished latents as the last step expects them
    original_latents: Tensor
    latents: Tensor
    heats: tuple[Tensor, ...]  # (1,77,h,w) each: original maps, maps, fetched; or none
    changed: Tensor | None  # the mask that the edit had (`Edit.changed`)
    stopped_at: int | None  # the step after which a callback stopped it; None if it is finished


@dataclass(frozen=True, eq=False)
class Watcher:
    """Who looks at the steps: a progress bar, a callback, and the record of maps."""

    progress: Callable[..., Iterable] | None
    callback: Callback | None
    maps: bool
    viewer: Viewer


def draw(
    engine: Engine, prompts: Sequence[Prompt], start: Start, method: Method, jobs: Sequence[int], watcher: Watcher
) -> tuple[list[Sample], bool]:
    """Draws a batch. Returns its pictures, and whether the callback wants no further batch.

    jobs: the numbers of the pictures in the call, for the callback.
    """
    records: tuple[PromptMaps, ...] = ()
    if watcher.maps:
        untouched = torch.cat([prompt.ctx for prompt in prompts])
        records = PromptMaps(), PromptMaps(), Fetched(untouched)
    watch = (records[0], compose(*records[1:])) if watcher.maps else None
    branches = engine.two_branches(prompts, start, method, watch)
    steps: Iterable = branches
    if watcher.progress:
        steps = watcher.progress(branches, total=method.steps - start.begin)
    schedule = ddim.Schedule(method.steps, engine.sd.config.schedule)
    z = z_hat = start.z
    stopped, stopped_at = False, None
    for i, (after, after_hat) in enumerate(steps, start.begin):
        if watcher.callback is not None:
            step = _step(watcher.viewer, schedule, i, jobs, (z, z_hat), (after, after_hat))
            stopped = wants_to_stop(watcher.callback(step))
            if stopped:
                z, z_hat, stopped_at = step.original.expected, step.expected, i if i < method.steps - 1 else None
                break
        z, z_hat = after, after_hat
    heats = [heat_maps(record.maps, (start.z.shape[-2], start.z.shape[-1])).split(1) for record in records]
    changed = branches.edit.changed()
    rows = zip(
        z.split(1),
        z_hat.split(1),
        zip(*heats, strict=True) if heats else [()] * len(z),
        changed.split(1) if changed is not None else [None] * len(z),
        strict=True,
    )
    return [Sample(*row, stopped_at) for row in rows], stopped


def _step(
    viewer: Viewer,
    schedule: ddim.Schedule,
    i: int,
    jobs: Sequence[int],
    before: tuple[Tensor, Tensor],
    after: tuple[Tensor, Tensor],
) -> Step:
    original, edited = (make_step(viewer, schedule, i, jobs, *pair) for pair in zip(before, after, strict=True))
    return Step(**vars(edited), original=original)
