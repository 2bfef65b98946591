"""What the methods share: two branches from one noise, the original and the suppressed.

    for step i = 0 … steps-1:
        z <- DDIM(z, eps(z, t_i, c))        the original
        ẑ <- DDIM(ẑ, eps(ẑ, t_i, c))        while i < R: the layout is still the original's
             DDIM(ẑ, eps(ẑ, t_i, ĉ_i))      from R on, ĉ_i what the method makes of the context

Until R the branches are one, and one pass serves both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from minisd import StableDiffusion, Tap, UserError, compose, ddim

# (step i, timestep t, original latents z, suppressed latents ẑ) -> ĉ_i (B,77,D)
Editor = Callable[[int, int, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Prompt:
    """A prompt as the methods get it."""

    text: str
    targets: tuple[str, ...]
    ctx: Tensor  # (1,77,D)
    uncond: Tensor  # (1,77,D), of the empty prompt
    target: tuple[int, ...]  # token positions of the phrases to remove
    eot: tuple[int, ...]  # the first [EOT] and the padding: n-1 … 76

    @property
    def others(self) -> tuple[int, ...]:
        """The words to keep: no [SOT], no [EOT], no target."""
        return tuple(i for i in range(1, self.eot[0]) if i not in self.target)


@dataclass(frozen=True)
class Method:
    """Settings that every method has. A subclass says what becomes of the context (`editor`)."""

    steps: int = 50  # DDIM steps; from the authors' code
    guidance: float = 7.5  # classifier-free guidance; from the code
    start: int | float = 0.2  # R, the first step with ĉ: a step number, or below 1 a share of the steps; from the code

    def __post_init__(self) -> None:
        whole_number("steps", self.steps, 1)
        if not math.isfinite(self.guidance):
            raise UserError(f"guidance = {self.guidance!r}; expected a finite number")
        step_number("start", self.start, self.steps)

    @property
    def first(self) -> int:
        """R as a step number."""
        return step_number("start", self.start, self.steps)

    def editor(self, sd: StableDiffusion, prompt: Prompt, z: Tensor) -> Editor:
        """Made once a batch of noises z (B,4,h,w); called at every step from R on."""
        raise NotImplementedError

    def tap(self, prompt: Prompt, samples: int, step: int) -> Tap | None:
        """What the method does at attention sites in the passes over [uncond × 2B, original × B, suppressed × B]."""
        return None


def whole_number(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"{name} = {value!r}; expected a whole number, {least} or more")


def step_number(name: str, value: int | float, steps: int) -> int:
    """A step number from 0 to steps, or a share below 1 of them, as a step number. UserError for anything else."""
    if isinstance(value, float) and 0 <= value < 1:
        return round(value * steps)
    if isinstance(value, bool) or not (float(value).is_integer() and 0 <= value <= steps):
        raise UserError(f"{name} = {value!r}; expected a step from 0 to {steps}, or a share of the steps below 1")
    return int(value)


@torch.no_grad()
def two_branches(
    sd: StableDiffusion, prompt: Prompt, z: Tensor, method: Method, tap: Tap | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The loop above. Yields (z, ẑ) after each step, (B,4,h,w) each.

    z: the noise. tap: only looks; it sees the batch [uncond, c] before R and [uncond, uncond, c, ĉ] after it, behind
    what the method's own tap makes of the maps.
    """
    schedule = ddim.Schedule(method.steps, sd.config.schedule)
    samples, ctx = len(z), prompt.ctx.expand(len(z), -1, -1)
    edit = method.editor(sd, prompt, z)
    edited = z
    for i, t in enumerate(schedule.t):
        a, a_next = schedule.alpha[i], schedule.alpha[i + 1]
        if i < method.first:
            eps = sd.predict(z, t, ctx, prompt.uncond, method.guidance, tap)
            z = edited = ddim.step(z, eps, a, a_next)
        else:
            both_ctx = torch.cat([ctx, edit(i, t, z, edited)])
            taps = [tp for tp in (method.tap(prompt, samples, i), tap) if tp is not None]
            eps = sd.predict(
                torch.cat([z, edited]), t, both_ctx, prompt.uncond, method.guidance, compose(*taps) if taps else None
            )
            z, edited = ddim.step(torch.cat([z, edited]), eps, a, a_next).chunk(2)
        yield z, edited
