"""The order of a batch, written down once.

A UNet call may show several branches with several contexts each, of B samples:

    [∅ of branch 0 × B, ∅ of branch 1 × B, c of branch 0 × B, c of branch 1 × B, further contexts …]

by context, and for one context by branch. So the pass with the prompt is one range of the batch, which a method's tap
sees as [original × B, edited × B].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Blocks of B samples: (branch, context) each."""

    samples: int  # B
    blocks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, samples: int, contexts: Sequence[int]) -> Layout:
        """All contexts of all branches in one batch. contexts: how many each branch has."""
        order = [(b, j) for j in range(max(contexts)) for b, count in enumerate(contexts) if j < count]
        return cls(samples, tuple(order))

    def by_context(self) -> list[Layout]:
        """The same blocks in one batch per context."""
        indices = sorted({j for _, j in self.blocks})
        return [Layout(self.samples, tuple(block for block in self.blocks if block[1] == k)) for k in indices]

    @property
    def branches(self) -> list[int]:
        """The branches that occur, in order: their latents are the batch's."""
        return sorted({b for b, _ in self.blocks})

    def at(self, block: tuple[int, int]) -> slice:
        """Where the samples of a block stand."""
        k = self.blocks.index(block)
        return slice(k * self.samples, (k + 1) * self.samples)

    def context(self, j: int) -> slice:
        """Where all branches stand with context j; an empty range if none has it here."""
        found = [k for k, block in enumerate(self.blocks) if block[1] == j]
        return slice(found[0] * self.samples, (found[-1] + 1) * self.samples) if found else slice(0, 0)

    def split(self, eps: Tensor) -> dict[tuple[int, int], Tensor]:
        """The batch's noise (m,4,h,w) by block, (B,4,h,w) each."""
        return dict(zip(self.blocks, eps.split(self.samples), strict=True))

    def latents(self, device: torch.device) -> Tensor:
        """(m,) int64: which of the branches' latents, (branches · B,4,h,w), each sample of the batch belongs to."""
        places = [self.branches.index(b) for b, _ in self.blocks]
        rows = [torch.arange(k * self.samples, (k + 1) * self.samples, device=device) for k in places]
        return torch.cat(rows)
