"""The attention maps that losses compare: the mean over the layers of one scale and over heads."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from minisd import Site, StableDiffusion, Tap, UserError


@dataclass(frozen=True)
class MapSpec:
    """Which maps are meant: those of the sites of one scale, without the middle block."""

    scale: int  # 1, 2, 4 or 8: the side of the latents divided by the side of the maps' grid
    heads: int | None = None  # only the heads 0 … heads-1; None: all


@dataclass(frozen=True, eq=False)
class Maps:
    """Means over layers and heads: cross (B,N,77), self_ (B,N,N). N = h·w, the pixels of the grid (h,w)."""

    cross: Tensor
    self_: Tensor
    grid: tuple[int, int]


class LayerMean(Tap):
    """Adds up the cross and self maps of the layers; `maps` divides by the number of layers."""

    def __init__(self, spec: MapSpec):
        self.spec = spec
        self.sums: dict[str, Tensor] = {}
        self.layers = {"cross": 0, "self": 0}

    def wants(self, site: Site) -> bool:
        return site.scale == self.spec.scale and site.place != "mid"

    def probs(self, site: Site, p: Tensor) -> Tensor:
        mean = p[:, : self.spec.heads].mean(dim=1)  # (B,H,N,L) -> (B,N,L)
        self.sums[site.kind] = self.sums[site.kind] + mean if self.layers[site.kind] else mean
        self.layers[site.kind] += 1
        return p

    def maps(self, grid: tuple[int, int]) -> Maps:
        return Maps(self.sums["cross"] / self.layers["cross"], self.sums["self"] / self.layers["self"], grid)


def map_spec(sd: StableDiffusion, z: Tensor, resolution: int | None = None, heads: int | None = None) -> MapSpec:
    """The maps whose grid is `resolution` wide. None: a quarter of the latents' side, as in SuppressEOT's code.

    UserError if the UNet has no such maps, or fewer than `heads` heads.
    """
    if heads is not None and heads > sd.config.unet.heads:
        raise UserError(f"heads = {heads}; the UNet has {sd.config.unet.heads}")
    sides = {s.scale: map_grid(z, s.scale)[1] for s in sd.unet.sites if s.place != "mid"}
    fitting = [scale for scale, side in sides.items() if (scale == 4 if resolution is None else side == resolution)]
    if not fitting:
        raise UserError(
            f"resolution = {resolution}: no attention maps of that side; at this picture size the sides are "
            f"{', '.join(str(side) for side in sides.values())}"
        )
    return MapSpec(fitting[0], heads)


def map_grid(z: Tensor, scale: int) -> tuple[int, int]:
    """(h,w) of the maps at a scale: the sides of the latents z divided by the scale, rounded up."""
    h, w = z.shape[-2:]
    return -(-h // scale), -(-w // scale)
