"""Inference-time optimisation in the fast loop: suppress/edits/maps.py for a batch, in passes that end early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..edits.attention_loss import Target, find_words, set_target
from ..edits.maps import LayerMean, map_grid, map_scale
from ..methods import Prompt, SuppressEOT
from . import passes
from .memory import samples_at_once, saved_bytes
from .passes import Reader

if TYPE_CHECKING:
    from .fast import Fast


class Ito:
    """Called once a step. All steps start from the same context; samples have words of their own."""

    def __init__(
        self,
        engine: Fast,
        method: SuppressEOT,
        prompts: Sequence[Prompt],
        z: Tensor,
        times: Tensor,
        weighted: Tensor,
    ):
        self.engine, self.method, self.times = engine, method, times
        unet = engine.unet
        scale = map_scale(engine.sd, z, method.resolution, method.heads)
        wanted = LayerMean(scale, method.heads).wants
        last = [site.name for site in unet.sites if wanted(site)][-1]
        self.whole = Reader(scale, method.heads, None, engine.plan.sdpa)
        self.early = replace(self.whole, stop=last) if engine.plan.early_exit else self.whole
        self.grid = map_grid(z, scale)
        attends, shown = unet.config.attention[0], wanted(unet.sites[0]) or not engine.plan.sdpa
        self.one_head = engine.plan.one_head and attends and not shown
        self.words = find_words([p.others for p in prompts], [p.target for p in prompts], method.weights, z.device)
        self.micro = engine.plan.micro
        self.eta = torch.tensor([method.step_length(i) for i in range(method.steps)], device=z.device)
        # float32 whatever the weights are: half a step of gradient would round away
        self.start = weighted.float()

    @property
    def last(self) -> int:
        """The step before which it ends."""
        return self.method.last

    @property
    def of_original(self) -> bool:
        """Whose latents make the reference maps."""
        return self.method.reference == "original"

    def read(self, i: int, z: Tensor, ctx: Tensor) -> tuple[Tensor, Tensor]:
        """Reference maps by a pass of their own."""
        f = partial(self.engine.read, self.engine.unet, reader=self.early)
        return self.engine.call("read", f, z, self.times[i], ctx, self.words.columns)

    def __call__(self, i: int, edited: Tensor, cross: Tensor, self_: Tensor) -> Tensor:
        """The context (B,77,D), float32, after step i's iterations; cross (B,N,K), self_ (B,N,N): reference maps."""
        engine, method = self.engine, self.method
        target = set_target(self.words, cross, self_, self.grid, method.loss)
        functions = engine.map_loss, engine.head if self.one_head else None
        f = partial(passes.iterate, *functions, engine.unet, self.early, method.loss, method.iterations)
        self.micro = self.micro or samples_at_once(edited.device, len(edited), lambda: self._bytes_each(edited, target))
        done = []
        for k in range(0, len(edited), self.micro):
            rows = slice(k, k + self.micro)
            mine = (self.start[rows], edited[rows], self.times[i], self.eta[i], self.words.columns[rows])
            done.append(engine.call("ito", f, *mine, *(x[rows] for x in target)))
        return torch.cat(done)

    def _bytes_each(self, edited: Tensor, target: Target) -> int:
        """What an iteration keeps of a sample for its gradient."""
        unet, one = self.engine.unet, slice(0, 1)
        leaf = self.start[one].detach().requires_grad_()
        inputs = edited[one], self.times[0], self.words.columns[one], Target(*(x[one] for x in target))
        loss = partial(passes.map_loss, unet, leaf, *inputs, self.early, self.method.loss, None)
        return saved_bytes(loss, unet.parameters())
