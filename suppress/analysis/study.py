"""What the analyses share: a prompt, its seeds, the original's way through all steps, and pictures from other contexts.

Every analysis asks what becomes of the picture when the model gets another context from some step R on. Up to R all
those pictures are one, the original: its latents are kept, and each context is drawn from z_R alone, many in a batch.
That is what `suppress.run` draws (to rounding), without drawing the original again for every context.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor

from minisd import StableDiffusion
from minisd.picture import to_pil
from minisd.pipeline import check_model, check_progress, check_settings, pair

from ..edits.spectrum import soft_weight
from ..job import default_settings, encode
from ..methods import Prompt, SuppressEOT
from ..metrics import Judge
from ..prompt import Request, read_request

# a context this close to the original's is the original's: an SVD and back leaves less, in float64
SAME = 1e-6


@dataclass(eq=False)
class Study:
    """A prompt under study. Made by `open_study`."""

    sd: StableDiffusion
    prompt: Prompt
    seeds: list[int]
    settings: SuppressEOT  # steps, guidance, gamma and R; those of the checkpoint
    origin: str  # where they come from
    judge: Judge
    batch_size: int = 8
    progress: Callable[..., Iterable] | None = None

    @property
    def rows(self) -> tuple[int, ...]:
        """Those of χ: the target's and [EOT]'s."""
        return (*self.prompt.target, *self.prompt.eot)

    @property
    def weighted(self) -> Tensor:
        """SWR of the context, (1,77,D)."""
        return soft_weight(self.prompt.ctx, self.rows, self.settings.gamma)

    @cached_property
    def latents(self) -> list[Tensor]:
        """The original's (S,4,h,w), S seeds, on the CPU: the noise, then after each step."""
        sd, side = self.sd, self.sd.config.unet.sample_size * self.sd.vae.config.factor
        batches = []
        for chunk in _chunks(self.seeds, self.batch_size):
            z = sd.noise(chunk, side, side)
            ctx = self.prompt.ctx.expand(len(z), -1, -1)
            batches.append([z.cpu(), *(z.cpu() for z in self._steps(ctx, z, 0))])
        return [torch.cat(step) for step in zip(*batches, strict=True)]

    @cached_property
    def originals(self) -> list[Image.Image]:
        """One picture a seed."""
        return self._decode(self.latents[-1])

    def draw(self, ctxs: Sequence[Tensor], first: int) -> list[list[Image.Image]]:
        """For each context (1,77,D), used from step `first` on, one picture a seed.

        The original's context gives the very same pictures, and nothing is computed.
        """
        pictures: list[list[Image.Image]] = [[] for _ in ctxs]
        new = [k for k, ctx in enumerate(ctxs) if first < self.settings.steps and not self._is_original(ctx)]
        jobs = [(k, s) for k in new for s in range(len(self.seeds))]
        for chunk in _chunks(jobs, self.batch_size):
            ctx = torch.cat([ctxs[k] for k, _ in chunk])
            z = self.latents[first][[s for _, s in chunk]].to(self.sd.device)
            [last] = deque(self._steps(ctx, z, first), maxlen=1)
            for (k, _), picture in zip(chunk, self._decode(last), strict=True):
                pictures[k].append(picture)
        return [drawn or self.originals for drawn in pictures]

    def of(self, text: str, targets: Sequence[str]) -> Study:
        """The same study of another prompt; itself where that is the same."""
        if read_request(text, targets).found == self.prompt.request.found and text == self.prompt.text:
            return self
        return replace(self, prompt=encode(self.sd, text, targets))

    def _is_original(self, ctx: Tensor) -> bool:
        return bool((ctx - self.prompt.ctx).abs().max() < SAME)

    def _steps(self, ctx: Tensor, z: Tensor, first: int) -> Iterable[Tensor]:
        s = self.settings
        loop: Iterable = self.sd.sample(ctx, self.prompt.uncond, z, s.steps, s.guidance, first=first)
        for _i, _t, z in self.progress(loop, total=s.steps - first) if self.progress else loop:
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
) -> Study:
    """The parameters are those of `suppress.run`; what is None, R and γ are the checkpoint's, measured or published.

    UserError for a target that is not in the prompt (with the token table), for unusable seeds and settings.
    """
    check_model(sd)
    given = {k: v for k, v in {"steps": steps, "guidance": guidance}.items() if v is not None}
    settings, origin = default_settings(sd, "suppress-eot", **given)
    assert isinstance(settings, SuppressEOT)
    request = read_request(prompt, remove)
    _, seeds = pair(request.prompt, seed)
    encoded = encode(sd, request.prompt, request)
    [batch_size] = check_settings(batch_size=batch_size)
    check_progress(progress)
    return Study(sd, encoded, seeds, settings, origin, Judge(sd), batch_size, progress)


def _chunks(items: list, size: int) -> Iterable[list]:
    return (items[k : k + size] for k in range(0, len(items), size))
