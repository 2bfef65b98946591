"""GIE: "Growth Inhibitors for Erasure" (Algorithm 1): the attention to the concept is added with a negative weight.

At every cross attention of the edited branch, Q are its own queries, and c* is the encoding of the concept alone:

    M* = softmax(Q K(c*)^T / √d)               over the concept prompt's 77 tokens, eq. 6
    I  = w M*[:, s+1 … e-1]                    the columns of its words, between [SOT] and the first [EOT], eq. 7
    M <- M with the columns I before [EOT],    V <- V with the rows V(c*)[s+1 … e-1] at the same position, eq. 8

and nothing is renormalised. The output M V is a sum over columns, and their order does not matter. So inserting the
columns means adding to the output:   Z <- Z + w M*[:, s+1 … e-1] V(c*)[s+1 … e-1].

Each target is a concept, and all of them are inserted. (If two concepts mean the same, the paper inserts only one; its
threshold for this is not published.) The paper's adapter, a small network that chooses w for each picture, is replaced
by a fixed w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minisd import Part, Site
from minisd.attention import Attention
from minisd.base.arguments import number
from minisd.tap import attention_maps

from ..edits.maps import Maps
from ..edits.taps import Output
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class GIE(Method):
    """Settings."""

    start: int | float = 0  # all steps, as in Algorithm 1; the released code stops after 80 % of them
    # w. The paper's fixed scales are -5 and -10; -10 damages pictures. Its adapter was trained on -1 to -15.
    # 0 inserts nothing. 1 adds the concept once; the paper calls this "without suppression"
    scale: float = -5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", number("scale", self.scale, -math.inf))

    def edit(self, run: Run) -> Edit:
        return GIEEdit(self, run)


class GIEEdit(Edit):
    def __init__(self, settings: GIE, run: Run):
        super().__init__(run)
        self.scale, self.most = settings.scale, max(len(prompt.targets) for prompt in run.prompts)
        self.concepts = run.per_prompt(self._concepts).unbind(1)  # `most` contexts (B,77,D)
        # `most` rows (B,77): w in the columns of the concept's words, 0 elsewhere
        self.weights = run.per_prompt(self._weights).to(run.ctx.device).unbind(1)
        self.tap = Part(Output(self._inhibit), slice(run.batch, None))

    def _targets(self, prompt: Prompt) -> list[str]:
        """The prompt's targets, then empty ones up to the largest number in the batch. Empty targets get no weight."""
        return [*prompt.targets, *[""] * (self.most - len(prompt.targets))]

    def _concepts(self, prompt: Prompt) -> Tensor:
        return self.run.sd.encode_text(self._targets(prompt))[None]  # (1,most,77,D)

    def _weights(self, prompt: Prompt) -> Tensor:
        weights = torch.zeros(1, self.most, prompt.ctx.shape[1])
        for n, target in enumerate(self._targets(prompt)):
            weights[:, n, 1 : len(self.run.sd.tokens(target)) - 1] = self.scale
        return weights

    def _inhibit(self, site: Site, q: Tensor, out: Tensor, attn: Attention) -> Tensor:
        """Z (B,H,N,d) with the inserted columns added."""
        for ctx, weights in zip(self.concepts, self.weights, strict=True):
            k, v = attn.split_heads(attn.to_k(ctx)), attn.split_heads(attn.to_v(ctx))
            inhibitor = weights[:, None, None] * attention_maps(q, k)  # (B,H,N,77), 0 outside the concept's words
            out = out + inhibitor.to(v.dtype) @ v
        return out

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, tap=self.tap)
