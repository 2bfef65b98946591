"""Cross maps as pictures, from sites of different sizes (DAAM, Tang et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.arguments import is_whole, plain, shown
from ..base.errors import UserError


def heat_maps(maps: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
    """Cross maps of several sites as pictures, one a token: {name: (B,N,L)} -> (B,L,h,w), mean over the sites.

    Maps with heads, (B,H,N,L), as Record keeps them, are averaged over these first.
    size (h,w): the latents' grid. Every site's grid is some halving of it (odd sides rounded up) and is
    enlarged bilinearly before the mean, as DAAM does (Tang et al. 2023, "What the DAAM").
    UserError where a map fits no halving, or the maps are not of the same tokens.
    """
    if not isinstance(maps, Mapping) or not all(isinstance(p, Tensor) and p.dim() in (3, 4) for p in maps.values()):
        raise UserError(f"maps = {shown(maps)}; expected maps (B,N,L) by the names of their sites, as record.maps has")
    if not (isinstance(size, Sequence) and len(size) == 2 and all(is_whole(side) and plain(side) > 0 for side in size)):
        raise UserError(f"size = {shown(size)}; expected (h, w), the latents' grid")
    size = plain(size[0]), plain(size[1])
    columns = {name: p.shape[-1] for name, p in maps.items()}
    if len(set(columns.values())) != 1:
        raise UserError(f"heat maps are made of cross maps with as many tokens each; got {columns}")
    pictures = []
    for name, p in maps.items():
        p = p.mean(dim=1) if p.dim() == 4 else p
        h, w = _grid(p.shape[1], size, name)
        grid = p.transpose(1, 2).unflatten(2, (h, w))  # (B,N,L) -> (B,L,h,w)
        pictures.append(F.interpolate(grid, size=size, mode="bilinear", align_corners=False))
    return torch.stack(pictures).mean(dim=0)


def _grid(n: int, size: tuple[int, int], name: str) -> tuple[int, int]:
    h, w = size
    while h * w > max(n, 1):
        h, w = -(-h // 2), -(-w // 2)
    if h * w != n:
        raise UserError(f"the map at {name} has {n} pixels, no halving of a {size[0]}×{size[1]} grid")
    return h, w
