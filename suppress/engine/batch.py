"""The order of the samples in a UNet call's batch.

A UNet call may contain several branches of B samples, each with several contexts:

    [∅ of branch 0 × B, ∅ of branch 1 × B, c of branch 0 × B, c of branch 1 × B, further contexts …]

The blocks are sorted by context, and for each context by branch. So the samples with the prompt are one range of the
batch, and a method's tap sees them as [original × B, edited × B].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """The blocks of a batch. A block is (branch, context), two numbers, and has B samples."""

    samples: int  # B
    blocks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, samples: int, contexts: Sequence[int]) -> Layout:
        """One batch with all contexts of all branches. contexts: the number of contexts of each branch."""
        order = [(b, j) for j in range(max(contexts)) for b, count in enumerate(contexts) if j < count]
        return cls(samples, tuple(order))

    def by_context(self) -> list[Layout]:
        """The same blocks, as one batch per context."""
        indices = sorted({j for _, j in self.blocks})
        return [Layout(self.samples, tuple(block for block in self.blocks if block[1] == k)) for k in indices]

    @property
    def branches(self) -> list[int]:
        """The branches in the batch, in ascending order. The batch's latents are theirs, in this order."""
        return sorted({b for b, _ in self.blocks})

    def at(self, block: tuple[int, int]) -> slice:
        """The range of a block's samples."""
        k = self.blocks.index(block)
        return slice(k * self.samples, (k + 1) * self.samples)

    def context(self, j: int) -> slice:
        """The range of all samples with context j; an empty range if the batch has none."""
        found = [k for k, block in enumerate(self.blocks) if block[1] == j]
        return slice(found[0] * self.samples, (found[-1] + 1) * self.samples) if found else slice(0, 0)

    def split(self, eps: Tensor) -> dict[tuple[int, int], Tensor]:
        """The batch's noise (m,4,h,w), split into blocks (B,4,h,w)."""
        return dict(zip(self.blocks, eps.split(self.samples), strict=True))

    def latents(self, device: torch.device) -> Tensor:
        """(m,) int64: for each sample of the batch, the index of its latent in those of the branches (n,4,h,w)."""
        branches = [self.branches.index(b) for b, _ in self.blocks]
        return torch.cat([torch.arange(k * self.samples, (k + 1) * self.samples, device=device) for k in branches])
