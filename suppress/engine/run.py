"""One batch in the fast engine: the loop and the primitives of `Run`, with fewer and shorter passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from minisd import Part, Tap, UNet, compose

from ..edits.ito import AttentionLoss, MapLoss
from ..edits.maps import LayerMean, Maps, MapSpec, map_grid
from ..loop import Run, Watch
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method, Start
from . import ito, passes
from .batch import Layout
from .gram import soft_weight_gram
from .memory import samples_at_once, saved_bytes
from .short_passes import has_prefix

if TYPE_CHECKING:
    from .fast import Fast

# Names of the branches of a UNet call. BOTH: the one branch before R, where the two are equal. UNUSED: the original's
# samples, if only a tap needs them and not their noise
ORIGINAL, EDITED, BOTH, UNUSED = "original", "edited", "both", "unused"
Noise = dict[str, tuple[Tensor, ...]]  # for each branch, one prediction (B,4,h,w) per context
T = TypeVar("T")
_Runner = Callable[[Sequence[Callable[[], T]]], list[T]]  # runs calls, and gives their results
Blocks = dict[tuple[int, int], Tensor]  # the same predictions by (branch, context)


class FastRun(Run):
    """`Run` for the fast engine. Tensors of Python numbers are made once and kept, because making them synchronises."""

    def __init__(
        self, engine: Fast, prompts: Sequence[Prompt], start: Start, settings: Method, watch: Watch | None = None
    ):
        super().__init__(engine.sd, prompts, start, settings, watch)
        self.engine, self.plan, self.unet = engine, engine.plan, engine.unet
        self.times = torch.tensor(self.schedule.t, device=start.z.device)
        self._latents: dict[Layout, Tensor] = {}
        self._contexts: dict[Layout, Tensor] = {}  # those of the last call
        self._words: dict[AttentionLoss, ito.Words] = {}
        self._ito_samples = self.plan.ito_samples  # None: not yet known

    # ------------------------------------------------------------------ the loop

    @torch.no_grad()
    def steps(self, edit: Edit) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (z, ẑ) after each step, like `two_branches` (suppress/loop.py), but computes nothing twice."""
        z = z_hat = self.start.z
        plain, before = Edit(self), self.start.before(self)
        one_before = self.plan.one_branch and self.start.one_before(self.settings)
        # the original's noise and maps of step i, if they were computed in step i - 1
        ahead: tuple[tuple[Tensor, ...], Maps] | None = None
        for i in range(self.start.begin, len(self.schedule)):
            original, has_begun = self.original(i, z), i >= self.settings.start_step
            at_work = edit if has_begun else before
            if not has_begun and one_before:
                eps = self._predict(i, {BOTH: original})[BOTH]
                z = z_hat = plain.step(i, z, plain.combine(i, eps))
                yield z, z_hat
                continue
            maps: Maps | None = None
            if self._shares_maps(at_work, i):
                eps, maps = ahead or self._original_with_maps(i, original, at_work)
                edited = at_work.inputs(i, replace(original, z=z_hat), original, maps)
                z = self.start.follow(i, plain.step(i, z, plain.combine(i, eps)))
                eps_hat, ahead = self._edited_and_ahead(i, original, edited, z, at_work)
            else:
                ahead = None  # if reads_maps changed its mind, what was computed ahead belongs to no later step
                if at_work.maps is not None and at_work.reads_maps(i):
                    maps = self.read_maps(i, z, self.ctx, at_work.maps)
                edited = at_work.inputs(i, replace(original, z=z_hat), original, maps)
                if self.start.pinned and self.watch is None:  # the original's noise would move nothing
                    eps_hat = self._edited_alone(i, original, edited, at_work.unet)
                    z = self.start.follow(i, z)
                else:
                    eps, eps_hat = self.predict(i, original, edited, at_work.unet)
                    z = self.start.follow(i, plain.step(i, z, plain.combine(i, eps)))
            z_hat = at_work.step(i, edited.z, at_work.combine(i, eps_hat))
            z_hat = at_work.blend(i, z_hat, z)
            yield z, z_hat

    def _shares_maps(self, edit: Edit, i: int) -> bool:
        """Whether the maps of step i come from the original's own pass."""
        return self.plan.shared_maps and i < len(self.schedule) and edit.maps is not None and edit.reads_maps(i)

    def _edited_and_ahead(
        self, i: int, original: Inputs, edited: Inputs, z_next: Tensor, edit: Edit
    ) -> tuple[tuple[Tensor, ...], tuple[tuple[Tensor, ...], Maps] | None]:
        """The edited branch's noise at step i, and from the same batch the original's noise and maps at step i + 1.

        They cannot be one batch if the edited branch has other weights, or a tap, which must see both at one step.
        """
        separate = edit.unet is not None or edited.tap is not None or edited.tap_uncond is not None
        if separate or not self.plan.ahead or not self._shares_maps(edit, i + 1):
            return self._edited_alone(i, original, edited, edit.unet), None
        branches = {EDITED: edited, ORIGINAL: self.original(i + 1, z_next)}
        assert edit.maps is not None
        noise, maps = self._predict_with_maps(i, branches, edit.maps, ahead=True)
        return noise[EDITED], (noise[ORIGINAL], maps)

    def _edited_alone(self, i: int, original: Inputs, edited: Inputs, unet: UNet | None) -> tuple[Tensor, ...]:
        """The edited branch's noise. If it has a tap, its batch contains the original's samples too."""
        has_tap = edited.tap is not None or edited.tap_uncond is not None
        branches = {UNUSED: original, EDITED: edited} if has_tap else {EDITED: edited}
        return self._predict(i, branches, unet)[EDITED]

    def _original_with_maps(self, i: int, original: Inputs, edit: Edit) -> tuple[tuple[Tensor, ...], Maps]:
        assert edit.maps is not None
        noise, maps = self._predict_with_maps(i, {ORIGINAL: original}, edit.maps)
        return noise[ORIGINAL], maps

    # ------------------------------------------------------------------ the primitives

    def predict(
        self, i: int, original: Inputs, edited: Inputs, unet: UNet | None = None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        if unet is None:
            noise = self._predict(i, {ORIGINAL: original, EDITED: edited})
            return noise[ORIGINAL], noise[EDITED]
        eps = self._predict(i, {ORIGINAL: original})[ORIGINAL]
        return eps, self._edited_alone(i, original, edited, unet)

    def read_maps(self, i: int, z: Tensor, ctx: Tensor, maps: MapSpec) -> Maps:
        self._count(len(ctx), gradient=torch.is_grad_enabled())
        reading = self._reading(maps)
        if torch.is_grad_enabled():  # in a method's own inner loop; a CUDA graph would not record its gradients
            cross, self_ = passes.read_maps(self.unet, z, self.times[i], ctx, *reading)
        else:
            f = partial(self.engine.read_maps, self.unet, **reading._asdict())
            cross, self_ = self.engine.call("read maps", f, z, self.times[i], ctx)
        return Maps(cross, self_, map_grid(z, maps.scale))

    def show(self, i: int, z: Tensor, ctx: Tensor, tap: Tap | None = None) -> Tensor:
        self._count(len(ctx), gradient=torch.is_grad_enabled())
        return self.unet(z, self.times[i], ctx, tap=passes.explicit(tap, self.plan.sdpa))

    def descend(
        self, i: int, z: Tensor, ctx: Tensor, loss: MapLoss, reference: Maps, iterations: int, eta: float
    ) -> Tensor:
        if not isinstance(loss, AttentionLoss):  # only this loss has a fused form
            return super().descend(i, z, ctx, loss, reference, iterations, eta)
        self._count(iterations * len(z), gradient=True)
        if loss not in self._words:
            self._words[loss] = ito.find_words(loss, z.device)
        prepared = ito.prepare_reference(self._words[loss], reference, loss.form)
        reading = self._reading(loss.maps)
        before_text = self.engine.before_text if self.plan.prefix_once and self._has_prefix(loss.maps) else None
        f = partial(ito.iterate, self.engine.map_loss, before_text, self.unet, reading, loss.form, iterations)
        step_length = torch.full((), eta, device=z.device)
        self._ito_samples = self._ito_samples or self._samples_at_once(i, z, ctx, prepared, reading, loss.form)
        workers = min(len(z), torch.get_num_threads()) if self._has_threads else 1
        size = min(self._ito_samples, -(-len(z) // workers))
        calls = []
        for k in range(0, len(z), size):
            some = slice(k, k + size)
            inputs = ctx[some], z[some], self.times[i], step_length, *(x[some] for x in prepared)
            calls.append(partial(self.engine.call, "ito", f, *inputs))
        if workers > 1:
            return torch.cat(self.engine.threads.at_once(calls))
        kind = "ito", z.shape, iterations
        return torch.cat([self.engine.threads.fastest(kind, call) if self._has_threads else call() for call in calls])

    def soft_weight(self, gamma: float) -> Tensor:
        if not self.plan.gram:
            return super().soft_weight(gamma)
        rows = [[j in p.target or j >= p.eot[0] for j in range(self.ctx.shape[1])] for p in self.prompts]
        return soft_weight_gram(self.ctx, torch.tensor(rows, device=self.ctx.device), gamma)

    def _reading(self, maps: MapSpec) -> ito.Reading:
        end_site = passes.last_site(self.unet, maps) if self.plan.early_exit else None
        return ito.Reading(maps, end_site, self.plan.sdpa)

    def _has_prefix(self, maps: MapSpec) -> bool:
        return has_prefix(self.unet, passes.explicit(LayerMean(maps), self.plan.sdpa))

    def _samples_at_once(
        self, i: int, z: Tensor, ctx: Tensor, reference: ito.ReferenceMaps, reading: ito.Reading, form: str
    ) -> int:
        """As many samples as fit into the memory, counting the activations that the backward pass needs of each."""

        def bytes_each() -> int:
            leaf = ctx[:1].detach().requires_grad_()
            one = ito.ReferenceMaps(*(x[:1] for x in reference))
            loss = partial(ito.map_loss, self.unet, leaf, z[:1], self.times[i], one, reading, form, None)
            return saved_bytes(loss, self.unet.parameters())

        return samples_at_once(z.device, len(z), bytes_each)

    # ------------------------------------------------------------------ UNet calls

    def _predict(self, i: int, branches: Mapping[str, Inputs], unet: UNet | None = None) -> Noise:
        """The noise of the branches at step i, for all their contexts."""
        layouts, run = self._layouts(branches)
        calls = []
        for layout in layouts:
            z, ctx, latents = self._tensors(branches, layout)
            self._count(len(ctx))
            calls.append(partial(self._call, z, self.times[i], ctx, latents, self._tap(branches, layout), unet))
        noise: Blocks = {}
        for layout, [eps] in zip(layouts, run(calls), strict=True):
            noise |= layout.split(eps)
        return _by_branch(branches, noise)

    def _predict_with_maps(
        self, i: int, branches: Mapping[str, Inputs], maps: MapSpec, ahead: bool = False
    ) -> tuple[Noise, Maps]:
        """`_predict`, and the maps of the original with its prompt. ahead: the original is at step i + 1."""
        map_block = list(branches).index(ORIGINAL), 1
        layouts, run = self._layouts(branches)
        calls: list[Callable[[], tuple[Tensor, ...]]] = []
        for layout in layouts:
            z, ctx, latents = self._tensors(branches, layout)
            t = torch.cat([self.times[i + b].expand(self.batch) for b in layout.branches]) if ahead else self.times[i]
            self._count(len(ctx))
            inputs = z, t, ctx, latents, self._tap(branches, layout)
            if map_block in layout.blocks:
                calls.append(partial(self._call_with_maps, *inputs, maps, layout.at(map_block)))
            else:
                calls.append(partial(self._call, *inputs))
        noise: Blocks = {}
        found: list[Tensor] = []
        for layout, (eps, *more) in zip(layouts, run(calls), strict=True):
            noise |= layout.split(eps)
            found += more
        return _by_branch(branches, noise), Maps(found[0], found[1], map_grid(self.start.z, maps.scale))

    def _call(
        self, z: Tensor, t: Tensor, ctx: Tensor, latents: Tensor, tap: Tap | None, unet: UNet | None = None
    ) -> tuple[Tensor, ...]:
        """(eps (m,4,h,w),)"""
        if tap is None and unet is None and not torch.is_grad_enabled():
            f = partial(self.engine.predict, self.unet, tap=None, fused=self.plan.sdpa)
            return (self.engine.call("predict", f, z, t, ctx, latents),)
        # not compiled or recorded: a tap has state, and a UNet with other weights exists only for one batch
        return (passes.predict(unet or self.unet, z, t, ctx, latents, tap, self.plan.sdpa),)

    def _call_with_maps(
        self, z: Tensor, t: Tensor, ctx: Tensor, latents: Tensor, tap: Tap | None, maps: MapSpec, at: slice
    ) -> tuple[Tensor, ...]:
        """(eps (m,4,h,w), cross (B,N,77), self (B,N,N))"""
        settings: dict[str, Any] = {"tap": tap, "fused": self.plan.sdpa, "maps": maps, "at": (at.start, at.stop)}
        if tap is not None:
            return passes.predict_with_maps(self.unet, z, t, ctx, latents, **settings)
        f = partial(self.engine.predict_with_maps, self.unet, **settings)
        return self.engine.call("predict with maps", f, z, t, ctx, latents)

    def _layouts(self, branches: Mapping[str, Inputs]) -> tuple[list[Layout], _Runner]:
        """The UNet calls, one for all contexts, or one per context; and what runs them.

        Calls at the same time must need nothing of each other. Two taps may be parts of one method, with a state.
        """
        one_batch = Layout.of(self.batch, [len(inputs.contexts) for inputs in branches.values()])
        several = one_batch.by_context()
        taps = [self._tap(branches, layout) for layout in several]
        enough = self._has_threads and 1 < len(several) <= torch.get_num_threads()
        if enough and taps.count(None) >= len(taps) - 1:
            return several, self.engine.threads.at_once
        return [one_batch] if self.plan.one_batch else several, _in_turn

    @property
    def _has_threads(self) -> bool:
        """Whether the plan shares out a CPU's threads, and there are several."""
        possible = self.times.device.type == "cpu" and not self.plan.graph  # two calls would share a graph's buffers
        return self.plan.at_once and possible and torch.get_num_threads() > 1

    def _tensors(self, branches: Mapping[str, Inputs], layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
        """(z (n,4,h,w), ctx (m,77,D), latents (m,)) of a UNet call."""
        inputs = list(branches.values())
        if layout not in self._latents:
            self._latents[layout] = layout.latents(self.times.device)
        z = torch.cat([inputs[b].z for b in layout.branches])
        return z, self._joined(layout, [inputs[b].contexts[j] for b, j in layout.blocks]), self._latents[layout]

    def _joined(self, layout: Layout, contexts: Sequence[Tensor]) -> Tensor:
        """The contexts as one batch: the tensor of the last call if they are equal to it, which `keys_once` recognises.

        On a GPU, the comparison would wait for it.
        """
        new = torch.cat(list(contexts))
        if not self.plan.keys_once or new.device.type != "cpu":
            return new
        old = self._contexts.get(layout)
        if old is None or not torch.equal(old, new):
            self._contexts[layout] = old = new
        return old

    def _tap(self, branches: Mapping[str, Inputs], layout: Layout) -> Tap | None:
        """The method's taps, each for all samples with its context, followed by the watching taps."""
        taps: list[Tap] = []
        edited = branches.get(EDITED)
        for j, tap in enumerate((edited.tap_uncond, edited.tap) if edited else ()):
            at = layout.context(j)
            if tap is not None and at.stop:
                taps.append(Part(tap, at))
        for b, name in enumerate(branches):
            if self.watch and (b, 1) in layout.blocks:
                at = layout.at((b, 1))
                taps += [
                    Part(tap, at)
                    for own, tap in zip((ORIGINAL, EDITED), self.watch, strict=True)
                    if name in (own, BOTH)
                ]
        return compose(*taps) if taps else None

    def _count(self, samples: int, gradient: bool = False) -> None:
        """Adds to the engine's counters of samples that went through the UNet."""
        self.engine.passes += samples
        self.engine.gradient_passes += samples if gradient else 0


def _in_turn(calls: Sequence[Callable[[], T]]) -> list[T]:
    return [call() for call in calls]


def _by_branch(branches: Mapping[str, Inputs], noise: Blocks) -> Noise:
    return {
        name: tuple(noise[b, j] for j in range(len(inputs.contexts)))
        for b, (name, inputs) in enumerate(branches.items())
    }
