"""The reference loop: it draws two branches from one start, in plain UNet calls, as the papers' algorithms do.

`Run` is one batch. It holds the primitives that methods call; suppress/engine/run.py has fast versions of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from minisd import Part, StableDiffusion, Tap, UNet, compose, ddim

from .edits.ito import MapLoss, descend, gradient_scale
from .edits.maps import LayerMean, Maps, MapSpec, map_grid
from .edits.spectrum import soft_weight
from .prompt import Prompt
from .protocol import Edit, Inputs, Method, Start

Watch = tuple[Tap, Tap]  # the first sees the original branch, the second the edited branch; B samples each


class Run:
    """One batch (its prompts, one per sample; its start; its schedule) and the primitives, computed plainly.

    watch: taps that see the passes with the prompt, as the method's own tap left them.
    """

    def __init__(
        self,
        sd: StableDiffusion,
        prompts: Sequence[Prompt],
        start: Start,
        settings: Method,
        watch: Watch | None = None,
    ):
        self.sd, self.prompts, self.start, self.settings, self.watch = sd, prompts, start, settings, watch
        self.schedule = ddim.Schedule(settings.steps, sd.config.schedule)
        self.batch = len(start.z)
        self.ctx = torch.cat([prompt.ctx for prompt in prompts])  # c (B,77,D)

    def original(self, i: int, z: Tensor) -> Inputs:
        """What the original branch shows the UNet at step i: (∅_i, c)."""
        return Inputs(z, (self.start.uncond(i).expand_as(self.ctx), self.ctx))

    def guide(self, eps: Sequence[Tensor]) -> Tensor:
        """Classifier-free guidance: ε_∅ + w (ε_c - ε_∅), (B,4,h,w)."""
        return eps[0] + self.settings.guidance * (eps[1] - eps[0])

    def step(self, i: int, z: Tensor, eps: Tensor) -> Tensor:
        """DDIM from step i's noise level to the next."""
        return ddim.step(z, eps, self.schedule.alpha[i], self.schedule.alpha[i + 1])

    def per_prompt(self, f: Callable[[Prompt], Tensor]) -> Tensor:
        """f(prompt) (1,…) of every sample, joined to (B,…). Samples with the same prompt share one call of f."""
        results = {prompt: f(prompt) for prompt in dict.fromkeys(self.prompts)}
        return torch.cat([results[prompt] for prompt in self.prompts])

    def predict(
        self, i: int, original: Inputs, edited: Inputs, unet: UNet | None = None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The noise of both branches at step i: for each branch, one prediction (B,4,h,w) per context.

        unet: a UNet with other weights, for the edited branch. A tap of `edited` then sees the original's samples as
        this UNet computes them. The original's noise still comes from the model's own weights.
        """
        if unet is None:
            return self._pair(i, original, edited, self.sd.unet, self.watch)
        watch_original, watch_edited = self.watch or (None, None)
        eps, _ = self._pair(i, original, original, self.sd.unet, (watch_original, None))
        _, eps_hat = self._pair(i, original, edited, unet, (None, watch_edited))
        return eps, eps_hat

    def _pair(
        self, i: int, original: Inputs, edited: Inputs, unet: UNet, watch: tuple[Tap | None, Tap | None] | None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """One UNet call per context, over the batch [original × B, edited × B].

        Contexts that only the edited branch has are predicted for its samples alone.
        """
        t, z, pairs = self.schedule.t[i], torch.cat([original.z, edited.z]), []
        taps = edited.tap_uncond, self._watched(edited.tap, watch)
        for ctx, ctx_hat, tap in zip(original.contexts, edited.contexts, taps, strict=False):
            pairs.append(unet(z, t, torch.cat([ctx, ctx_hat]), tap=self._shown(tap)).chunk(2))
        further = [unet(edited.z, t, ctx, tap=self._shown(None)) for ctx in edited.contexts[len(pairs) :]]
        eps, eps_hat = zip(*pairs, strict=True)
        return eps, (*eps_hat, *further)

    def read_maps(self, i: int, z: Tensor, ctx: Tensor, maps: MapSpec) -> Maps:
        """The mean attention maps of a pass with z and ctx at step i; differentiable with respect to both."""
        means = LayerMean(maps)
        self.sd.unet(z, self.schedule.t[i], ctx, tap=self._shown(means))
        return means.maps(map_grid(z, maps.scale))

    def show(self, i: int, z: Tensor, ctx: Tensor, tap: Tap | None = None) -> Tensor:
        """The noise of the pass with z (B,4,h,w) and ctx (B,77,D) at step i, which the tap sees.

        Differentiable with respect to z and ctx.
        """
        return self.sd.unet(z, self.schedule.t[i], ctx, tap=self._shown(tap))

    def descend(
        self, i: int, z: Tensor, ctx: Tensor, loss: MapLoss, reference: Maps, iterations: int, eta: float
    ) -> Tensor:
        """`iterations` gradient steps ctx <- ctx - η ∇ loss(reference, maps of UNet(z, t_i, ctx)).

        Returns (B,77,D) in ctx's dtype.
        """

        def loss_of(ctx: Tensor) -> Tensor:
            return loss(reference, self.read_maps(i, z, ctx, loss.maps))

        return descend(ctx, loss_of, iterations, eta, gradient_scale(self.sd.dtype))

    def soft_weight(self, gamma: float) -> Tensor:
        """SWR(c) (B,77,D): soft weighting of the rows of target and [EOT], for each prompt."""
        return self.per_prompt(lambda p: soft_weight(p.ctx, (*p.target, *p.eot), gamma))

    def _watched(self, tap: Tap | None, watch: tuple[Tap | None, Tap | None] | None) -> Tap | None:
        """The method's tap for the pass with the prompt, followed by the watching taps."""
        halves = slice(self.batch), slice(self.batch, None)
        watching = [Part(one, half) for one, half in zip(watch or (), halves, strict=False) if one is not None]
        taps = [one for one in (tap, *watching) if one is not None]
        return compose(*taps) if taps else None

    def _shown(self, tap: Tap | None) -> Tap | None:
        """The tap that a UNet call gets. A subclass may add to it."""
        return tap


class Branches(Iterator[tuple[Tensor, Tensor]]):
    """The two branches at work: (z, ẑ) after each step, and the edit that makes them."""

    def __init__(self, edit: Edit, steps: Iterator[tuple[Tensor, Tensor]]):
        self.edit, self.steps = edit, steps

    def __next__(self) -> tuple[Tensor, Tensor]:
        return next(self.steps)


@torch.no_grad()
def two_branches(run: Run, edit: Edit) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields (z, ẑ), the latents (B,4,h,w) of the original and of the edited branch, after each step."""
    z = z_hat = run.start.z
    plain, before = Edit(run), run.start.before(run)
    for i in range(run.start.begin, len(run.schedule)):
        at_work = edit if i >= run.settings.start_step else before
        original = run.original(i, z)
        maps = run.read_maps(i, z, run.ctx, at_work.maps) if at_work.maps and at_work.reads_maps(i) else None
        edited = at_work.inputs(i, replace(original, z=z_hat), original, maps)
        eps, eps_hat = run.predict(i, original, edited, at_work.unet)
        z = run.start.follow(i, plain.step(i, z, plain.combine(i, eps)))
        z_hat = at_work.step(i, edited.z, at_work.combine(i, eps_hat))
        z_hat = at_work.blend(i, z_hat, z)
        yield z, z_hat
