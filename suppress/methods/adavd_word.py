"""AdaVD for one word of a prompt: the values lose what the target added to them; keys and maps stay.

AdaVD (suppress/methods/adavd.py) asks for a concept in any prompt. Here the target's rows are known, and so is what
the prompt says without it, c*_j for each row (suppress/edits/counterparts.py). For each layer, over all heads:

    v_j = W_V c_j,   u_j = W_V (c_j - c*_j),   v'_j = v_j - δ (⟨u_j, v_j⟩ / ⟨u_j, u_j⟩) u_j

for the rows j of the target, of the words after it, and of [EOT], in the pass with the prompt, from step R on. There is
no gate: δ is the strength. If v_j and W_V c*_j are equally long, δ = 1 is half of the way between them, and δ = 2,
AdaVD's s, is W_V c*_j itself: the mirror image. As in AdaVD, this is one more context for the values of each layer,
computed once; the UNet passes are those of a plain picture.

This form is this project's own; nobody published it. On the embedded model (six prompts × 2 seeds, 12 steps; all
originals show the target), DetScore and SSIM to the original are .82 and .70 for δ = .7, .08 and .56 for 1, .00 and .51
for 1.25, .00 and .46 for 2. With later="kept", the words after the target keep their values, as in SWR: .31 and .61 for
δ = 1. With e* of the concept alone, as in AdaVD, in place of c_j - c*_j: .58 and .55.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minisd import Part, UserError
from minisd.base.arguments import number, one_of, shown

from ..edits.counterparts import Later, counterparts, edited_rows
from ..edits.maps import Maps
from ..edits.taps import VContext, cross_layers
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

MOST = 2.0  # the largest δ; beyond it, the values leave the prompt without the target again


@dataclass(frozen=True)
class AdaVDWord(Method):
    """Settings, all of this project."""

    strength: float = 1.25  # δ, from 0 to 2: 0 is the original, 1 takes the component away, 2 mirrors it
    later: Later = "edited"  # the words after the target, which carry it too

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "strength", number("strength", self.strength))
        if self.strength > MOST:
            raise UserError(f"strength = {shown(self.strength)}; expected a number from 0 to {MOST:g}")
        one_of("later", self.later, ("edited", "kept"))

    def edit(self, run: Run) -> Edit:
        return AdaVDWordEdit(self, run)


class AdaVDWordEdit(Edit):
    def __init__(self, settings: AdaVDWord, run: Run):
        super().__init__(run)
        self.settings = settings
        found = {prompt: self._contexts(prompt) for prompt in dict.fromkeys(run.prompts)}
        sites = [attn.site.name for attn in cross_layers(run.sd.unet)]
        values = {site: torch.cat([found[prompt][site] for prompt in run.prompts]) for site in sites}  # (B,77,D) each
        self.tap = Part(VContext(values), slice(run.batch, None))

    def _contexts(self, prompt: Prompt) -> dict[str, Tensor]:
        """For each site, the context of the values (1,77,D)."""
        sd, rows = self.run.sd, edited_rows(prompt, self.settings.later)
        c = prompt.ctx[0].float()
        added = torch.zeros_like(c)
        added[rows] = c[rows] - counterparts(sd, prompt)[rows].float()
        found = {}
        for attn in cross_layers(sd.unet):
            w = attn.to_v.weight.float().T  # (D,C)
            v, u = c @ w, added @ w
            square = u.square().sum(dim=-1, keepdim=True)
            share = torch.where(square > 0, (u * v).sum(dim=-1, keepdim=True) / square, 0)
            found[attn.site.name] = (c - self.settings.strength * share * added)[None]
        return found

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, tap=self.tap)
