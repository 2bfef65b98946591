"""One run of the fast loop: what stays the same in it, and its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minisd import Part, Tap, compose, ddim

from ..edits.maps import descend, map_scale, value_loss
from ..methods import Method, Prompt, SuppressEOT, Watch
from . import passes
from .gram import soft_weight_gram
from .ito import Ito

if TYPE_CHECKING:
    from .fast import Fast

# (step i, original latents, suppressed latents) -> ĉ_i (B,77,D), where no UNet pass is needed for it
Contexts = Callable[[int, Tensor, Tensor], Tensor]
BOTH, ORIGINAL, SUPPRESSED = "both", "original", "suppressed"  # branches in a batch; BOTH: before R, when they are one


class Run:
    """Tensors that are made of Python's numbers are made here, once: making them waits for a GPU."""

    def __init__(self, engine: Fast, prompts: Sequence[Prompt], z: Tensor, method: Method, watch: Watch | None):
        self.engine, self.sd, self.plan = engine, engine.sd, engine.plan
        self.prompts, self.z, self.method = prompts, z, method
        self.watch = dict(zip((ORIGINAL, SUPPRESSED), watch, strict=True)) if watch else {}
        self.schedule = ddim.Schedule(method.steps, self.sd.config.schedule)
        self.times = torch.tensor(self.schedule.t, device=z.device)
        self.ctx = torch.cat([prompt.ctx for prompt in prompts])  # (B,77,D)
        self.uncond = prompts[0].uncond
        self.guidance = passes.Guidance(method.guidance, self.plan.one_batch, self.plan.sdpa)
        if isinstance(method, SuppressEOT):
            fixed = self._weighted(method)
            self.contexts = self._suppress_eot(method, fixed)
            self.ito = Ito(engine, method, prompts, z, self.times, fixed) if method.reads_maps else None
        else:
            self.contexts, self.ito = self._edited(), None

    @torch.no_grad()
    def steps(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (z, ẑ) after each step."""
        z = edited = self.z
        ahead = None  # (eps, cross, self) of the original at step i, if step i - 1 has found them
        for i in range(self.method.steps):
            if i < self.method.first and self.plan.one_branch:
                z = edited = self._step(i, z, self._guided(i, {BOTH: (z, self.ctx)}))
            elif self.ito and self._shares_maps(i):
                eps, *maps = ahead or self._guided_with_maps(i, {ORIGINAL: (z, self.ctx)})
                z = self._step(i, z, eps)
                suppressed = {SUPPRESSED: (edited, self.ito(i, edited, *maps))}
                if self.plan.ahead and self._shares_maps(i + 1):
                    eps, *maps = self._guided_with_maps(i, suppressed | {ORIGINAL: (z, self.ctx)}, ahead=True)
                    eps, eps_ahead = eps.chunk(2)
                    ahead = eps_ahead, *maps
                else:
                    eps, ahead = self._guided(i, suppressed), None
                edited = self._step(i, edited, eps)
            else:
                branches = {ORIGINAL: (z, self.ctx), SUPPRESSED: (edited, self._context(i, z, edited))}
                eps, eps_edited = self._guided(i, branches).chunk(2)
                z, edited = self._step(i, z, eps), self._step(i, edited, eps_edited)
            yield z, edited

    def _optimises(self, i: int) -> bool:
        return self.ito is not None and self.method.first <= i < self.ito.last

    def _shares_maps(self, i: int) -> bool:
        """Whether step i's reference maps come out of the original's own pass."""
        return self.plan.shared_maps and self._optimises(i) and self.ito is not None and self.ito.of_original

    def _context(self, i: int, z: Tensor, edited: Tensor) -> Tensor:
        """ĉ_i, where the original's own pass is not needed for it; c before R."""
        if i < self.method.first:
            return self.ctx
        if self.ito is None or not self._optimises(i):
            return self.contexts(i, z, edited)
        source = z if self.ito.of_original else edited
        return self.ito(i, edited, *self.ito.read(i, source, self.ctx))

    def _step(self, i: int, z: Tensor, eps: Tensor) -> Tensor:
        return ddim.step(z, eps, self.schedule.alpha[i], self.schedule.alpha[i + 1])

    # ------------------------------------------------------------------ passes

    def _guided(self, i: int, branches: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        """eps of the branches' (latents, context), one after the other."""
        z, ctx = (torch.cat(parts) for parts in zip(*branches.values(), strict=True))
        tap = self._tap(i, *branches)
        if tap is not None:  # it has a memory of its own: neither compiled nor recorded
            return passes.guided(self.engine.unet, z, self.times[i], self.uncond, ctx, self.guidance, tap)
        f = partial(self.engine.guided, self.engine.unet, guidance=self.guidance, tap=None)
        return self.engine.call("guided", f, z, self.times[i], self.uncond, ctx)

    def _guided_with_maps(
        self, i: int, branches: dict[str, tuple[Tensor, Tensor]], ahead: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(eps, cross maps, self maps): the maps of the last branch, the original; ahead: that is at step i + 1."""
        assert self.ito is not None
        z, ctx = (torch.cat(parts) for parts in zip(*branches.values(), strict=True))
        t = self.times[i : i + 2, None].expand(-1, len(self.z)).reshape(-1) if ahead else self.times[i]
        inputs = (z, t, self.uncond, ctx, self.ito.words.columns)
        tap = self._tap(i, *branches)
        if tap is not None:
            return passes.guided_with_maps(self.engine.unet, *inputs, self.guidance, self.ito.whole, tap)
        f = partial(
            self.engine.guided_with_maps, self.engine.unet, guidance=self.guidance, reader=self.ito.whole, tap=None
        )
        return self.engine.call("guided with maps", f, *inputs)

    def _tap(self, i: int, *branches: str) -> Tap | None:
        """The method's own tap where it sees both branches, and the watching ones behind it."""
        taps = (
            [self.method.tap(self.prompts, i)] if branches == (ORIGINAL, SUPPRESSED) and i >= self.method.first else []
        )
        for k, name in enumerate(branches):
            at = slice(k * len(self.z), (k + 1) * len(self.z))
            taps += [Part(tap, at) for branch, tap in self.watch.items() if name in (branch, BOTH)]
        found = [tap for tap in taps if tap is not None]
        return compose(*found) if found else None

    # ------------------------------------------------------------------ contexts

    def _edited(self) -> Contexts:
        """A method's own, prompt by prompt."""
        parts = [(rows, self.method.editor(self.sd, prompt, self.z[rows])) for prompt, rows in self._groups()]

        def contexts(i: int, z: Tensor, edited: Tensor) -> Tensor:
            return torch.cat([edit(i, self.schedule.t[i], z[rows], edited[rows]) for rows, edit in parts])

        return contexts

    def _weighted(self, method: SuppressEOT) -> Tensor:
        """SWR of all samples, (B,77,D)."""
        if not self.plan.gram:
            return torch.cat([method.context(self.sd, prompt) for prompt in self.prompts])
        rows = [[i in p.target or i >= p.eot[0] for i in range(self.ctx.shape[1])] for p in self.prompts]
        return soft_weight_gram(self.ctx, torch.tensor(rows, device=self.ctx.device), method.gamma)

    def _suppress_eot(self, method: SuppressEOT, weighted: Tensor) -> Contexts:
        """SWR(c), after the value loss where that is asked for, and what comes after `stop`."""
        losses = []
        if method.iterations and method.loss == "value":
            scale = map_scale(self.sd, self.z, method.resolution)
            for p, rows in self._groups():
                loss = value_loss(self.sd, self.ctx[rows], p.others, p.target, method.weights, scale)
                losses.append((rows, loss))

        def contexts(i: int, z: Tensor, edited: Tensor) -> Tensor:
            if i >= method.last and method.after == "original":
                return self.ctx
            if i >= method.last or not losses:
                return weighted
            eta = method.step_length(i)
            return torch.cat([descend(weighted[rows].float(), f, method.iterations, eta) for rows, f in losses])

        return contexts

    def _groups(self) -> Iterator[tuple[Prompt, slice]]:
        """Neighbouring samples of one prompt."""
        first = 0
        for _, group in groupby(self.prompts, key=id):
            same = list(group)
            yield same[0], slice(first, first + len(same))
            first += len(same)
