"""What the analyses share: a prompt, its seeds, the original's latents at every step, and pictures of other contexts.

Every analysis asks how the picture changes when the model gets another context from some step R on. Before R all these
pictures have the same latents, those of the original. So the original is drawn once and its latents are kept, and each
other context is drawn from z_R on, many in one batch. `suppress.run` draws the same pictures (to rounding), but it
draws the original again for every context.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from minisd import StableDiffusion
from minisd.base.arguments import check_progress, check_settings, pair
from minisd.picture import to_pil
from minisd.pipeline import check_model

from ..defaults import default_settings
from ..edits.spectrum import soft_weight
from ..methods import SuppressEOT, check_removes
from ..metrics import Judge
from ..prompt import Prompt, Request, encode, read_request

# A context that differs by less than this is the original's: an SVD and its inverse, in float64, change it by less.
SAME = 1e-6


@dataclass(eq=False)
class Study:
    """A prompt and all that the analyses need to draw it. `open_study` makes one."""

    sd: StableDiffusion
    prompt: Prompt
    seeds: list[int]
    settings: SuppressEOT  # the checkpoint's steps, guidance, gamma and R
    origin: str  # where the settings come from
    judge: Judge
    batch_size: int = 8
    progress: Callable[..., Iterable] | None = None
    methods: Sequence[str] = ()  # those that `moved` compares; none: its own list

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of χ: those of the target and of [EOT]."""
        return (*self.prompt.target, *self.prompt.eot)

    @property
    def weighted(self) -> Tensor:
        """The context after SWR, (1,77,D)."""
        return soft_weight(self.prompt.ctx, self.rows, self.settings.gamma)

    @cached_property
    def latents(self) -> list[Tensor]:
        """The original's latents (S,4,h,w) for S seeds, on the CPU: the noise, then the latents after each step."""
        sd = self.sd
        batches = []
        for chunk in _chunks(self.seeds, self.batch_size):
            z = sd.noise(chunk, sd.side, sd.side)
            ctx = self.prompt.ctx.expand(len(z), -1, -1)
            batches.append([z.cpu(), *(z.cpu() for z in self._steps(ctx, z, 0))])
        return [torch.cat(step) for step in zip(*batches, strict=True)]

    @cached_property
    def originals(self) -> list[Image.Image]:
        """One picture per seed."""
        return self._decode(self.latents[-1])

    def draw(self, ctxs: Sequence[Tensor], start_step: int) -> list[list[Image.Image]]:
        """For each context (1,77,D), one picture per seed. The context is used from step `start_step` on.

        For the original's own context nothing is computed: `originals` itself is returned.
        """
        pictures: list[list[Image.Image]] = [[] for _ in ctxs]
        new = [k for k, ctx in enumerate(ctxs) if start_step < self.settings.steps and not self._is_original(ctx)]
        jobs = [(k, s) for k in new for s in range(len(self.seeds))]
        for chunk in _chunks(jobs, self.batch_size):
            ctx = torch.cat([ctxs[k] for k, _ in chunk])
            z = self.latents[start_step][[s for _, s in chunk]].to(self.sd.device)
            [z] = deque(self._steps(ctx, z, start_step), maxlen=1)  # the latents after the last step
            for (k, _), picture in zip(chunk, self._decode(z), strict=True):
                pictures[k].append(picture)
        return [drawn or self.originals for drawn in pictures]

    def of(self, text: str, targets: Sequence[str]) -> Study:
        """The same study of another prompt; `self` if prompt and targets are the same."""
        if read_request(text, targets).found == self.prompt.request.found and text == self.prompt.text:
            return self
        return replace(self, prompt=encode(self.sd, text, targets))

    def _is_original(self, ctx: Tensor) -> bool:
        return bool((ctx - self.prompt.ctx).abs().max() < SAME)

    def _steps(self, ctx: Tensor, z: Tensor, start_step: int) -> Iterable[Tensor]:
        s = self.settings
        loop: Iterable = self.sd.sample(ctx, self.prompt.uncond, z, s.steps, s.guidance, start_step=start_step)
        for _i, _t, z in self.progress(loop, total=s.steps - start_step) if self.progress else loop:
            yield z

    def _decode(self, z: Tensor) -> list[Image.Image]:
        return [p for chunk in z.split(self.batch_size) for p in to_pil(self.sd.decode(chunk))]


def open_study(
    sd: StableDiffusion,
    prompt: str,
    remove: str | Sequence[str] | Request | None = None,
    seed: int | Sequence[int] = 0,
    *,
    steps: int | None = None,
    guidance: float | None = None,
    batch_size: int = 8,
    progress: Callable[..., Iterable] | None = None,
    methods: Sequence[str] = (),
) -> Study:
    """A study of `prompt`. The parameters are those of `suppress.run`.

    R, γ and every setting that is None are those of the checkpoint, measured or published. UserError for a target that
    is not in the prompt (with the token table), and for unusable seeds, settings and methods.
    """
    check_model(sd)
    for method in methods:
        check_removes(method, "methods", "an analysis shows how methods remove a target")
        default_settings(sd, method)
    given: dict[str, Any] = {k: v for k, v in {"steps": steps, "guidance": guidance}.items() if v is not None}
    settings, origin = default_settings(sd, "suppress-eot", **given)
    assert isinstance(settings, SuppressEOT)
    request = read_request(prompt, remove)
    _, seeds = pair(request.prompt, seed)
    encoded = encode(sd, request.prompt, request)
    [batch_size] = check_settings(batch_size=batch_size)
    check_progress(progress)
    return Study(sd, encoded, seeds, settings, origin, Judge(sd), batch_size, progress, methods)


def _chunks(items: list, size: int) -> Iterable[list]:
    return (items[k : k + size] for k in range(0, len(items), size))
