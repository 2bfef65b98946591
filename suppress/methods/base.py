"""What the methods share: two branches from one noise, the original and the suppressed.

    for step i = 0 … steps-1:
        z <- DDIM(z, eps(z, t_i, c))        the original
        ẑ <- DDIM(ẑ, eps(ẑ, t_i, c))        while i < R: the layout is still the original's
             DDIM(ẑ, eps(ẑ, t_i, ĉ_i))      from R on, ĉ_i what the method makes of the context

`two_branches` is the loop as the authors' code has it, call for call. suppress/engine draws the same faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from minisd import Part, StableDiffusion, Tap, UserError, compose, ddim
from minisd.base.arguments import is_number, number, plain, shown, whole_number

from ..prompt import Request

# (step i, timestep t, original latents z, suppressed latents ẑ) -> ĉ_i (B,77,D)
Editor = Callable[[int, int, Tensor, Tensor], Tensor]
Watch = tuple[Tap, Tap]  # one looks at the original branch, one at the suppressed; B samples each


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==: a prompt is itself alone
class Prompt:
    """A prompt as the methods get it."""

    request: Request  # its text, and what is to be removed from it
    ctx: Tensor  # (1,77,D)
    uncond: Tensor  # (1,77,D), of the empty prompt
    target: tuple[int, ...]  # token positions of the phrases to remove
    eot: tuple[int, ...]  # the first [EOT] and the padding: n-1 … 76
    words: tuple[str, ...]  # the tokens up to the first [EOT], without it; words[0] is [SOT]

    @property
    def text(self) -> str:
        return self.request.prompt

    @property
    def targets(self) -> tuple[str, ...]:
        return self.request.targets

    @property
    def others(self) -> tuple[int, ...]:
        """The words to keep: no [SOT], no [EOT], no target."""
        return tuple(i for i in range(1, self.eot[0]) if i not in self.target)


@dataclass(frozen=True)
class Method:
    """Settings that every method has. A subclass says what becomes of the context (`context`)."""

    steps: int = 50  # DDIM steps; from the authors' code
    guidance: float = 7.5  # classifier-free guidance; from the code
    start: int | float = 0.2  # R, the first step with ĉ: a step number, or below 1 a share of the steps; from the code

    def __post_init__(self) -> None:
        for field in fields(self):  # Python's own numbers: they multiply tensors, and a JSON file can hold them
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        whole_number("steps", self.steps, 1)
        object.__setattr__(self, "guidance", number("guidance", self.guidance, -math.inf))
        step_number("start", self.start, self.steps)

    @property
    def first(self) -> int:
        """R as a step number."""
        return step_number("start", self.start, self.steps)

    def context(self, sd: StableDiffusion, prompt: Prompt) -> Tensor:
        """ĉ (1,77,D), the same at every step."""
        raise NotImplementedError

    def editor(self, sd: StableDiffusion, prompt: Prompt, z: Tensor) -> Editor:
        """Made once a batch of noises z (B,4,h,w), called at every step from R on: ĉ_i where it changes on the way."""
        ctx = self.context(sd, prompt).expand(len(z), -1, -1)
        return lambda i, t, z, edited: ctx

    def remark(self, prompt: Prompt) -> str:
        """What a user should know of the method on this prompt, for one line; empty: nothing."""
        return ""

    def tap(self, prompts: Sequence[Prompt], step: int) -> Tap | None:
        """What the method does at attention sites from R on, in the batch [original × B, suppressed × B].

        prompts: one a sample. The unconditional passes of the guidance are not shown.
        """
        return None


def step_number(name: str, value: int | float, steps: int) -> int:
    """A step number from 0 to steps, or a share below 1 of them, as a step number. UserError for anything else.

    A share is rounded down, as the authors' code does: .1 of 25 steps is step 2.
    """
    value = plain(value)
    if isinstance(value, float) and 0 <= value < 1:
        return int(value * steps + 1e-9)  # .29 × 100 is 28.999999999999996
    if not (is_number(value) and 0 <= value <= steps and value == int(value)):
        raise UserError(f"{name} = {shown(value)}; expected a step from 0 to {steps}, or a share of the steps below 1")
    return int(value)


@torch.no_grad()
def two_branches(
    sd: StableDiffusion, prompt: Prompt, z: Tensor, method: Method, watch: Watch | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The reference: the loop above as the authors' code has it. Yields (z, ẑ) after each step, (B,4,h,w) each.

    Both branches from the first step to the last; two UNet calls a step, one without the prompt and one with it;
    maps at every attention site, as their controllers ask for.
    z: the noise. watch: looks at the maps, behind what the method's own tap makes of them.
    """
    schedule = ddim.Schedule(method.steps, sd.config.schedule)
    samples, ctx = len(z), prompt.ctx.expand(len(z), -1, -1)
    uncond = prompt.uncond.expand(2 * samples, -1, -1)
    edit = method.editor(sd, prompt, z)
    explicit = Tap()
    edited = z
    for i, t in enumerate(schedule.t):
        ctx_hat = edit(i, t, z, edited) if i >= method.first else ctx
        taps = [explicit, method.tap([prompt] * samples, i) if i >= method.first else None]
        if watch:
            taps += [Part(watch[0], slice(samples)), Part(watch[1], slice(samples, None))]
        both = torch.cat([z, edited])
        eps_u = sd.unet(both, t, uncond, tap=explicit)
        eps_c = sd.unet(both, t, torch.cat([ctx, ctx_hat]), tap=compose(*filter(None, taps)))
        eps = eps_u + method.guidance * (eps_c - eps_u)
        z, edited = ddim.step(both, eps, schedule.alpha[i], schedule.alpha[i + 1]).chunk(2)
        yield z, edited
