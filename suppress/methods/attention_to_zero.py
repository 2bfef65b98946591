"""attn2zero: the target's columns of the edited branch's cross maps become 0 (SuppressEOT, appendix D, Fig. 15).

    M̂_i = 0 for i in T,   M̂_i = M_i otherwise;   nothing is renormalised

The text embeddings do not change, so [EOT] still carries the target: in the paper's pictures it is still drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from minisd import Part, Reweight

from ..edits.maps import Maps
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class AttentionToZero(Method):
    """It has only the settings that every method has."""

    def edit(self, run: Run) -> Edit:
        return AttentionToZeroEdit(run)


class AttentionToZeroEdit(Edit):
    def __init__(self, run: Run):
        super().__init__(run)
        self.tap = Part(Reweight(run.per_prompt(kept_weights).to(run.ctx.device)), slice(run.batch, None))

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, tap=self.tap)


def kept_weights(prompt: Prompt) -> torch.Tensor:
    """(1,77): 0 for the target's columns, 1 for the others."""
    weights = torch.ones(1, prompt.ctx.shape[1])
    weights[:, list(prompt.target)] = 0
    return weights
