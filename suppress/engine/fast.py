"""The loop of two branches (suppress/loop.py), fast: the same pictures from fewer and shorter passes.

    step                before R            R … stop, with ITO on maps            else
    UNet calls          [u, c] of one       iterations × (c̃ → maps → loss → ∇)    [u, u, c, ĉ]
    (each a batch)      branch, the         [u, u, ĉ, c], the original's u and
                        other is equal      c of the next step, its maps read

u: without the prompt, c: with it, ĉ: the edited context. From a pinned start (an inversion's) the edited branch is
drawn alone, before R too, unless the original is looked at. What each technique is, and how to do without it: `Plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from minisd import StableDiffusion, UserError
from minisd.base.arguments import shown
from minisd.pipeline import check_model

from ..loop import Watch
from ..prompt import Prompt
from ..protocol import Method, Start
from . import ito, passes
from .captured import Captured
from .cpu import for_cpu
from .plan import Plan, fast_plan
from .run import FastRun
from .short_passes import before_text


class Fast:
    """An engine for one model. It keeps what was compiled and recorded: the next run of the same sizes starts at once.

        engine = suppress.Fast(sd, Plan(compile="inductor", channels_last=True, graph=True))
        suppress.run(sd, prompt, "glasses", engine=engine)

    plan: the techniques; None for those that pay on the model's device without a compiler. With `channels_last` the
    UNet's weights change their memory layout, not their values; with `packed` the engine works on a copy of them, and
    changes that are made later do not reach it. A copy of an engine, pickled ones too, has the model and the plan; what
    was compiled and recorded it makes anew.
    """

    def __init__(self, sd: StableDiffusion, plan: Plan | None = None):
        check_model(sd)
        if plan is not None and not isinstance(plan, Plan):
            raise UserError(f"plan = {shown(plan)}; expected a suppress.Plan, or None")
        self.sd, self.plan = sd, fast_plan(sd.device) if plan is None else plan
        if self.plan.channels_last:
            sd.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.unet = for_cpu(sd.unet, self.plan.packed, self.plan.sliced)
        self.predict = self._compiled(passes.predict)
        self.predict_with_maps = self._compiled(passes.predict_with_maps)
        self.read = self._compiled(passes.read)
        self.map_loss = self._compiled(ito.map_loss)
        self.before_text = self._compiled(before_text)
        # samples that went through the UNet since the engine was made, and those whose gradient was taken
        self.passes = self.gradient_passes = 0
        self._decode = self._compiled(sd.vae.decode)
        self._graphs: dict[Any, Captured] = {}
        cuda = self.plan.graph and sd.device.type == "cuda"
        self._pool = torch.cuda.graph_pool_handle() if cuda else None  # graphs run one after the other: one memory

    def __reduce__(self) -> tuple[type[Fast], tuple[StableDiffusion, Plan]]:
        return Fast, (self.sd, self.plan)  # CUDA graphs and packed weights are of this process and these addresses

    def two_branches(
        self, prompts: Sequence[Prompt], start: Start, settings: Method, watch: Watch | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (z, ẑ) after each step, (B,4,h,w) each, as the reference loop does; sample k is drawn of prompts[k].

        watch: taps that look at the maps of the original and of the edited branch.
        """
        run = FastRun(self, prompts, start, settings, watch)
        with torch.no_grad():
            edit = start.edit(run)
        return run.steps(edit)

    def decode(self, z: Tensor) -> Tensor:
        """`sd.decode`, compiled where the plan compiles."""
        return self.sd.decode(z, self._decode)

    def call(self, name: str, f: partial, *inputs: Tensor) -> Any:
        """f(*inputs) under a profiler's range; from a CUDA graph where the plan has them.

        f binds all that is no tensor of the run. A graph is made for each f and shapes, and kept.
        """
        with torch.profiler.record_function(f"suppress: {name}"):
            if not self.plan.graph:
                return f(*inputs)
            key = (f.func, f.args, tuple(f.keywords.items()), tuple((x.shape, x.dtype) for x in inputs))
            if key not in self._graphs:
                self._graphs[key] = Captured(f, self._pool)
            return self._graphs[key](*inputs)

    def _compiled(self, f: Callable[..., Any]) -> Callable[..., Any]:
        if self.plan.compile is None:
            return f
        return torch.compile(f, fullgraph=True, dynamic=False, backend=self.plan.compile)
