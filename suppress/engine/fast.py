"""The fast engine: the loop of two branches (suppress/loop.py) with fewer and shorter passes, for the same pictures.

    steps                    UNet calls in a step, one batch each
    before R                 [∅, c] of one branch, because both are equal
    with ITO on maps         `iterations` × (pass with ĉ → maps → loss → gradient)
                             [∅ edited, ∅ original, ĉ, c]: the original is at the next step, and its maps are read
    all others               [∅ original, ∅ edited, c, ĉ]

∅: the context of the empty prompt, c: of the prompt, ĉ: the edited one. `Plan` explains each technique and can switch
it off. From a pinned start (an inversion's), the edited branch is drawn alone unless somebody looks at the original.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from minisd import StableDiffusion, UserError
from minisd.base.arguments import shown
from minisd.pipeline import check_model

from ..loop import Branches, Watch
from ..prompt import Prompt
from ..protocol import Method, Start
from . import ito, passes
from .captured import Captured
from .cpu import for_cpu
from .plan import Plan, fast_plan
from .run import FastRun
from .short_passes import before_text
from .threads import Threads


class Fast:
    """An engine for one model. It keeps compiled functions and recorded graphs for the next run of the same sizes.

        engine = suppress.Fast(sd, Plan(compile="inductor", channels_last=True, graph=True))
        suppress.run(sd, prompt, "glasses", engine=engine)

    plan: the techniques. None: those that make a single run faster on the model's device, without a compiler.
    `channels_last` changes the memory layout of the UNet's weights, not their values. With `packed`, the engine works
    on a copy of the weights, and later changes of the weights have no effect. A copied or unpickled engine has the
    model and the plan; it compiles and records again.
    """

    def __init__(self, sd: StableDiffusion, plan: Plan | None = None):
        check_model(sd)
        if plan is not None and not isinstance(plan, Plan):
            raise UserError(f"plan = {shown(plan)}; expected a suppress.Plan, or None")
        self.sd, self.plan = sd, fast_plan(sd.device) if plan is None else plan
        if self.plan.channels_last:
            sd.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.unet = for_cpu(sd.unet, self.plan)
        self.predict = self._compiled(passes.predict)
        self.predict_with_maps = self._compiled(passes.predict_with_maps)
        self.read_maps = self._compiled(passes.read_maps)
        self.map_loss = self._compiled(ito.map_loss)
        self.before_text = self._compiled(before_text)
        # counters: samples that went through the UNet, and those of them with a backward pass
        self.passes = self.gradient_passes = 0
        self._decode = self._compiled(sd.vae.decode)
        self.threads = Threads()
        self._graphs: dict[Any, Captured] = {}
        cuda = self.plan.graph and sd.device.type == "cuda"
        # all graphs share one memory pool, because they never run at the same time
        self._pool = torch.cuda.graph_pool_handle() if cuda else None

    def __reduce__(self) -> tuple[type[Fast], tuple[StableDiffusion, Plan]]:
        return Fast, (self.sd, self.plan)  # CUDA graphs and packed weights cannot be copied

    def two_branches(
        self, prompts: Sequence[Prompt], start: Start, settings: Method, watch: Watch | None = None
    ) -> Branches:
        """Yields (z, ẑ), (B,4,h,w) each, after each step, as the reference loop does. Sample k has prompts[k].

        watch: a tap that sees the maps of the original branch, and one that sees those of the edited branch.
        """
        run = FastRun(self, prompts, start, settings, watch)
        with torch.no_grad():
            edit = start.edit(run)
        return Branches(edit, run.steps(edit))

    def noise(self, z: Tensor, t: int, ctx: Tensor) -> Tensor:
        """ε = UNet(z, t, ctx), (B,4,h,w); differentiable with respect to z and ctx."""
        gradient = torch.is_grad_enabled() and (z.requires_grad or ctx.requires_grad)
        self.passes += len(z)
        self.gradient_passes += len(z) if gradient else 0
        inputs = z, torch.full((), t, device=z.device), ctx, torch.arange(len(z), device=z.device)
        if gradient:  # a CUDA graph would not record its gradients
            return passes.predict(self.unet, *inputs, tap=None, fused=self.plan.sdpa)
        return self.call("noise", partial(self.predict, self.unet, tap=None, fused=self.plan.sdpa), *inputs)

    def decode(self, z: Tensor) -> Tensor:
        """`sd.decode`, compiled if the plan compiles."""
        return self.sd.decode(z, self._decode)

    def call(self, name: str, f: partial, *inputs: Tensor) -> Any:
        """f(*inputs) in a profiler range `name`, as a CUDA graph if the plan has graphs.

        f has everything bound that does not change between calls. There is one graph for each f with its bound
        arguments and each set of shapes; it is kept.
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
