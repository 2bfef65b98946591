"""The target's maps at every step, in both branches.

`suppress.run` gives the mean over all steps. Here each pass is kept by itself, weighted as in
suppress/metrics/fetched.py: what the pixels fetch from the target's token, not only how much they look at it. In the
original all weights are 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from minisd import Site, compose, heat_maps
from minisd.config import CONTEXT

from ..engine import Fast
from ..loop import Branches, Watch
from ..metrics.fetched import Fetched
from ..prompt import Prompt
from ..protocol import Method, Start

Pair = tuple[Tensor, Tensor]  # (original, edited), (h,w) each


class EachPass(Fetched):
    """The weighted maps of some rows, summed over them, pass by pass. A pass is over when a site is seen again."""

    def __init__(self, ctx: Tensor, rows: Sequence[int]):
        super().__init__(ctx)
        self.rows = list(rows)
        self.passes: list[dict[str, Tensor]] = []  # site name -> (B,N,1), the mean over heads

    def probs(self, site: Site, p: Tensor) -> Tensor:
        if not self.passes or site.name in self.passes[-1]:
            self.passes.append({})
        weighted = p[..., :CONTEXT].detach() * self.ratios[site.name].unsqueeze(2)
        self.passes[-1][site.name] = weighted[..., self.rows].sum(dim=-1, keepdim=True).mean(dim=1)
        return p


class StepMaps(Fast):
    """The fast engine, which also keeps the target's maps of each step of the latest run, of one sample.

    It draws what `Fast` draws: the same sites compute their maps for `suppress.run(maps=True)` anyway.
    """

    seen: tuple[EachPass, EachPass] | None = None  # of the original and of the edited branch
    grid = (0, 0)  # (h, w) of the latents

    def two_branches(
        self, prompts: Sequence[Prompt], start: Start, settings: Method, watch: Watch | None = None
    ) -> Branches:
        self.grid = start.z.shape[-2], start.z.shape[-1]
        self.seen = None
        if prompts[0].target and watch is not None:
            ctx = torch.cat([prompt.ctx for prompt in prompts])
            self.seen = EachPass(ctx, prompts[0].target), EachPass(ctx, prompts[0].target)
            watch = compose(watch[0], self.seen[0]), compose(watch[1], self.seen[1])
        return super().two_branches(prompts, start, settings, watch)

    def maps(self) -> list[Pair]:
        """The maps of each step that was drawn. None if the prompt does not have the target."""
        if self.seen is None:
            return []
        pairs = zip(self.seen[0].passes, self.seen[1].passes, strict=False)  # the original may be a step ahead
        return [tuple(heat_maps(sites, self.grid)[0, 0].cpu() for sites in pair) for pair in pairs]  # type: ignore[misc]
