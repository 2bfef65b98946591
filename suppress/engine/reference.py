"""The reference engine runs the loop of suppress/loop.py as it is. It is slow; all others are compared with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from minisd import StableDiffusion, Tap, compose
from minisd.pipeline import check_model

from ..loop import Branches, Run, Watch, two_branches
from ..prompt import Prompt
from ..protocol import Method, Start


class Reference:
    """The plain loop for one model.

    maps_everywhere: every attention site computes its maps, as in the authors' code. This is the baseline of the bench;
    it changes only the time.
    """

    def __init__(self, sd: StableDiffusion, maps_everywhere: bool = False):
        check_model(sd)
        self.sd, self.maps_everywhere = sd, maps_everywhere

    def two_branches(
        self, prompts: Sequence[Prompt], start: Start, settings: Method, watch: Watch | None = None
    ) -> Branches:
        """Yields (z, ẑ), (B,4,h,w) each, after each step. Sample k has prompts[k].

        watch: a tap that sees the maps of the original branch, and one that sees those of the edited branch.
        """
        run = (RunWithMaps if self.maps_everywhere else Run)(self.sd, prompts, start, settings, watch)
        with torch.no_grad():
            edit = start.edit(run)
        return Branches(edit, two_branches(run, edit))

    def noise(self, z: Tensor, t: int, ctx: Tensor) -> Tensor:
        """ε = UNet(z, t, ctx), (B,4,h,w); differentiable with respect to z and ctx."""
        return self.sd.unet(z, t, ctx)

    def decode(self, z: Tensor) -> Tensor:
        return self.sd.decode(z)


class RunWithMaps(Run):
    """Every attention site computes its maps, even if no tap wants them."""

    def _shown(self, tap: Tap | None) -> Tap:
        return compose(Tap(), *([] if tap is None else [tap]))
