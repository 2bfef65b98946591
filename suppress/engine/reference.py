"""The reference engine: the loop of suppress/loop.py as it stands. Slow, and the measure of all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from minisd import StableDiffusion, Tap, compose
from minisd.pipeline import check_model

from ..loop import Run, Watch, two_branches
from ..prompt import Prompt
from ..protocol import Method, Start


class Reference:
    """The plain loop for one model.

    maps_everywhere: attention is explicit at every site, as the controllers of the authors' code have it. It is the
    baseline of the bench, and changes nothing but the time.
    """

    def __init__(self, sd: StableDiffusion, maps_everywhere: bool = False):
        check_model(sd)
        self.sd, self.maps_everywhere = sd, maps_everywhere

    def two_branches(
        self, prompts: Sequence[Prompt], start: Start, settings: Method, watch: Watch | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (z, ẑ) after each step, (B,4,h,w) each; sample k is drawn of prompts[k].

        watch: taps that look at the maps of the original and of the edited branch.
        """
        run = (RunWithMaps if self.maps_everywhere else Run)(self.sd, prompts, start, settings, watch)
        with torch.no_grad():
            edit = start.edit(run)
        return two_branches(run, edit)

    def decode(self, z: Tensor) -> Tensor:
        return self.sd.decode(z)


class RunWithMaps(Run):
    """Every attention site computes its maps, whether a tap looks at them or not."""

    def _shown(self, tap: Tap | None) -> Tap:
        return compose(Tap(), *([] if tap is None else [tap]))
