"""The UNet passes of the loop, as functions of tensors that can be compiled and recorded as CUDA graphs.

Shapes: there are n latents z and m contexts; each context belongs to one of the latents.
"""

from __future__ import annotations

from torch import Tensor

from minisd import Part, Tap, UNet, compose

from ..edits.maps import LayerMean, MapSpec, map_grid
from .short_passes import Prefix, before_text, expand, finish, has_prefix, read_until


def predict(unet: UNet, z: Tensor, t: Tensor, ctx: Tensor, latents: Tensor, tap: Tap | None, fused: bool) -> Tensor:
    """eps (m,4,h,w) of z (n,4,h,w) at t () or (n,) with ctx (m,77,D).

    latents (m,): the index in z for each context. The part that does not depend on the text is computed once per
    latent. fused: use fused attention at the sites that the tap does not want.
    """
    used_tap = explicit(tap, fused)
    if has_prefix(unet, used_tap):
        prefix = expand(before_text(unet, z, t), latents)
        return finish(unet, prefix, ctx, tap=used_tap)
    return unet(z[latents], t if t.dim() == 0 else t[latents], ctx, tap=used_tap)


def predict_with_maps(
    unet: UNet,
    z: Tensor,
    t: Tensor,
    ctx: Tensor,
    latents: Tensor,
    tap: Tap | None,
    fused: bool,
    maps: MapSpec,
    at: tuple[int, int],
) -> tuple[Tensor, Tensor, Tensor]:
    """`predict`, and the maps of its samples at[0] … at[1]-1: (eps (m,4,h,w), cross (B,N,77), self (B,N,N))."""
    means = LayerMean(maps)
    reader: Tap = Part(means, slice(*at))
    eps = predict(unet, z, t, ctx, latents, reader if tap is None else compose(reader, tap), fused)
    found = means.maps(map_grid(z, maps.scale))
    return eps, found.cross, found.self_


def read_maps(
    unet: UNet,
    z: Tensor,
    t: Tensor,
    ctx: Tensor,
    maps: MapSpec,
    end_site: str | None,
    fused: bool,
    prefix: Prefix | None = None,
) -> tuple[Tensor, Tensor]:
    """The maps of a pass of z (B,4,h,w) with ctx (B,77,D): cross (B,N,77), self (B,N,N).

    end_site: the site after which the pass may end; None: the pass is complete. prefix: that of z and t, if it was
    computed before.
    """
    means = LayerMean(maps)
    used_tap = explicit(means, fused)
    if not has_prefix(unet, used_tap):
        unet(z, t, ctx, tap=used_tap)
    elif end_site is None:
        finish(unet, prefix or before_text(unet, z, t), ctx, tap=used_tap)
    else:
        read_until(unet, prefix or before_text(unet, z, t), ctx, means, end_site)
    found = means.maps(map_grid(z, maps.scale))
    return found.cross, found.self_


def explicit(tap: Tap | None, fused: bool) -> Tap | None:
    """The tap itself if `fused`; otherwise a tap that also makes every site compute its maps."""
    return tap if fused else compose(Tap(), *[tap] if tap is not None else [])


def last_site(unet: UNet, maps: MapSpec) -> str:
    """The name of the last site whose maps are read."""
    means = LayerMean(maps)
    return [site.name for site in unet.sites if means.wants(site)][-1]
