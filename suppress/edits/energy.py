"""Energies on the cross maps of words. Their gradients say how the latents must move so that a word is seen less.

    A_k = Σ over all cross sites of the map of row k (mean over heads), enlarged to the latents' grid
    Ã_k = (A_k - min) / (max - min)

The minimum and the maximum are constants of the gradient. Otherwise a descent could raise the maximum, which lowers Ã
everywhere else.

Self-guidance (Epstein et al. 2023, "Diffusion Self-Guidance for Controllable Image Generation") guides with such
energies; MagicRemover (suppress/methods/magic_remover.py) takes them from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import Site, Tap

from . import masks
from .maps import map_grid

TOP = 0.2  # the fraction of the pixels in `top`; from MagicRemover's text


class WordMaps(Tap):
    """Adds up A of some rows over all cross sites of one pass. It keeps nothing but the sum: (B,K,h,w), float32."""

    def __init__(self, rows: Sequence[int], z: Tensor):
        """rows: K token positions. z (B,4,h,w): the latents of the pass."""
        self.rows, self.z = list(rows), z
        self.sum: Tensor | None = None

    def wants(self, site: Site) -> bool:
        return site.kind == "cross"

    def probs(self, site: Site, p: Tensor) -> Tensor:
        columns = p[..., self.rows].mean(dim=1)  # (B,H,N,77) -> (B,N,K)
        maps = columns.transpose(1, 2).unflatten(2, map_grid(self.z, site.scale))  # (B,K,h',w')
        large = F.interpolate(maps, size=self.z.shape[-2:], mode="bilinear")
        self.sum = large if self.sum is None else self.sum + large
        return p


def normalised(maps: Tensor) -> Tensor:
    """Ã (…,h,w) of A, in [0,1]; 0 if the map is the same everywhere."""
    low, high = (f(maps.detach(), (-2, -1), keepdim=True) for f in (torch.amin, torch.amax))
    return (maps - low) / (high - low).clamp(min=torch.finfo(maps.dtype).tiny)


def relaxed(maps: Tensor, relax: float) -> Tensor:
    """g (…) of maps (…,h,w): |A - m A|_1 with m = min + λ (max - min), a constant. MagicRemover, eq. 7.

    No map is negative, so g = |1 - m| Σ A. (abs() has no gradient at the pixel where Ã is 0.)
    """
    low, high = (f(maps.detach(), (-2, -1)) for f in (torch.amin, torch.amax))
    return (1 - (low + relax * (high - low))).abs() * maps.sum((-2, -1))


def above_least(maps: Tensor) -> Tensor:
    """(…): the mean over all pixels of (A - min)² at the pixels of `top`, of maps (…,h,w)."""
    return (top(maps) * (maps - maps.detach().amin((-2, -1), keepdim=True)).square()).mean((-2, -1))


def top(maps: Tensor) -> Tensor:
    """1 at the 20 % of the pixels that have the largest values, else 0: (…,h,w) of maps (…,h,w)."""
    return masks.top(maps, 1 - TOP)


def descent(z: Tensor, energy: Callable[[Tensor], Tensor], scale: float) -> Tensor:
    """-∇ energy(z), with no autograd graph: like z (B,4,h,w). energy: a scalar, which is summed over samples.

    scale: multiplies the energy in the backward pass (`gradient_scale` in suppress/edits/ito.py).
    """
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(scale * energy(leaf), leaf)
    return -gradient / scale


def neglect(cross: Tensor, grid: tuple[int, int], rows: Sequence[Sequence[int]]) -> Tensor:
    """Attend-and-Excite's loss (B,): 1 - the peak of the word that is seen least, of cross maps (B,N,77).

    [SOT] and the last row are left out, and each pixel's attention to the others is sharpened, softmax(100 A). Each
    word's map is smoothed; its largest value is the word's peak. rows: the words of each sample.
    """
    maps = (100 * cross[..., 1:-1]).softmax(dim=-1).transpose(1, 2).unflatten(2, grid)  # (B,75,h,w)
    found = []
    for sample, words in zip(maps, rows, strict=True):
        peaks = smoothed(sample[[row - 1 for row in words]]).amax(dim=(-2, -1))  # (K,)
        found.append(1 - peaks.amin())
    return torch.stack(found)


def smoothed(maps: Tensor, sigma: float = 0.5) -> Tensor:
    """Maps (K,h,w) under a Gaussian of 3 × 3, mirrored at the border."""
    return masks.gaussian(F.pad(maps[:, None], (1, 1, 1, 1), mode="reflect"), sigma)[:, 0]
