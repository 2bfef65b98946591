"""Columns of other prompts' cross maps, inserted into those of the edited branch (GIE, Chen et al. 2025, eq. 6 to 8).

    M̂ = M A + Σ_k (w_k ∘ M*_k) E_k,     M*_k = softmax(Q̂ K(c*_k)^T / √d)

M are the maps of the prompt. A (77,L) places its columns, and E_k (77,L) those of concept k that are inserted. Both
consist of zeros and ones. Nothing is renormalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minisd import Site
from minisd.attention import Attention
from minisd.config import CONTEXT
from minisd.tap import attention_maps

from .taps import CrossTap


@dataclass(frozen=True, eq=False)
class Insertion:
    """What is inserted into the maps of B samples, and where. A sample with fewer than K concepts has empty ones."""

    concepts: Sequence[Tensor]  # c*_k, K contexts (B,77,D)
    words: Tensor  # (B,K,77): 1 in the columns of concept k's words, else 0
    place: Tensor  # E (B,K,77,L)
    keep: Tensor  # A (B,77,L)

    @property
    def first_eot(self) -> Tensor:
        """(B,K): the row of each concept's first [EOT]."""
        return 1 + self.words.sum(dim=-1).long()


class Inject(CrossTap):
    """Inserts columns and values: the output is M̂ (A^T V + Σ_k E_k^T V(c*_k)).

    weights: w (B,K,77), the weight of each column. None: w = 1, and of each M* the mean over heads and pixels goes to
    `means`, (B,K,77) per site.
    """

    def __init__(self, insertion: Insertion, weights: Tensor | None = None):
        super().__init__()
        self.insertion, self.weights = insertion, weights
        self.means: list[Tensor] = []

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        own = self.insertion
        values = own.keep[:, None].mT.to(v.dtype) @ v  # (B,H,L,d)
        for ctx, place in zip(own.concepts, own.place.unbind(1), strict=True):
            values = values + place[:, None].mT.to(v.dtype) @ attn.split_heads(attn.to_v(ctx))
        return self.inserted(q, attention_maps(q, k), attn).to(v.dtype) @ values

    def inserted(self, q: Tensor, p: Tensor, attn: Attention) -> Tensor:
        """M̂ (B,H,N,L) from the queries q of the edited samples and the prompt's maps p (B,H,N,77)."""
        own, means = self.insertion, []
        weights = own.words if self.weights is None else self.weights
        p = p @ own.keep[:, None]
        for ctx, w, place in zip(own.concepts, weights.unbind(1), own.place.unbind(1), strict=True):
            maps = attention_maps(q, attn.split_heads(attn.to_k(ctx)))  # M* (B,H,N,77)
            p = p + (w[:, None, None] * maps) @ place[:, None]
            means.append(maps.mean(dim=(1, 2)))
        if self.weights is None:
            self.means.append(torch.stack(means, dim=1))
        return p


class InjectIntoOriginal(Inject):
    """For a batch [original × B, edited × B]: the edited samples get the original's maps with the columns inserted.

    L is 77. The values are those of the edited context, which already has the concept's rows.
    """

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        (q, q_hat), (k, _), (v, v_hat) = q.chunk(2), k.chunk(2), v.chunk(2)
        p = attention_maps(q, k)
        return torch.cat([p.to(v.dtype) @ v, self.inserted(q_hat, p, attn).to(v.dtype) @ v_hat])


def columns(counts: Sequence[int], at: int, concepts: int, inserted: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """words (K,77), E (K,77,L) and A (77,L) of one sample.

    counts: the tokens of each of its concepts, whose columns are inserted before column `at`. concepts: K.
    inserted: the most tokens that a sample of the batch inserts, L = 77 + inserted. None: L = 77, so that the padding
    keeps its positions, and the first of it, behind the first [EOT] at `at`, falls off.
    """
    length, shift = CONTEXT + (inserted or 0), sum(counts)
    words, place, keep = (
        torch.zeros(concepts, CONTEXT),
        torch.zeros(concepts, CONTEXT, length),
        torch.eye(CONTEXT, length),
    )
    begin = at
    for k, count in enumerate(counts):
        words[k, 1 : 1 + count] = 1
        place[k, range(1, 1 + count), range(begin, begin + count)] = 1
        begin += count
    keep[at:] = 0
    if inserted is None:
        keep[at, at + shift] = 1
        keep[range(at + shift + 1, CONTEXT), range(at + shift + 1, CONTEXT)] = 1
    else:
        keep[range(at, CONTEXT), range(at + shift, CONTEXT + shift)] = 1
    return words, place, keep
