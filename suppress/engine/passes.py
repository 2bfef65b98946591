"""The UNet passes of the loop as functions of tensors, which a compiler can take whole and a CUDA graph can record.

Shapes: n latents z; m contexts, each of which belongs to one of the latents.
"""

from __future__ import annotations

from torch import Tensor

from minisd import Part, Tap, UNet, compose

from ..edits.maps import LayerMean, MapSpec, map_grid
from .short_passes import Prefix, before_text, expand, finish, has_prefix, read_until


def predict(unet: UNet, z: Tensor, t: Tensor, ctx: Tensor, latents: Tensor, tap: Tap | None, fused: bool) -> Tensor:
    """eps (m,4,h,w) of z (n,4,h,w) at t () or (n,), under ctx (m,77,D). latents (m,): which of z each context is for.

    What does not depend on the text is computed once per latent. fused: fused attention if no tap looks.
    """
    shown = explicit(tap, fused)
    if has_prefix(unet, shown):
        prefix = expand(before_text(unet, z, t), latents)
        return finish(unet, prefix, ctx, tap=shown).to(z.dtype)
    return unet(z[latents], t if t.dim() == 0 else t[latents], ctx, tap=shown)


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
    """`predict`, and the maps of the samples at[0] … at[1] - 1: (eps (m,4,h,w), cross (B,N,77), self (B,N,N))."""
    means = LayerMean(maps)
    reader: Tap = Part(means, slice(*at))
    eps = predict(unet, z, t, ctx, latents, reader if tap is None else compose(reader, tap), fused)
    found = means.maps(map_grid(z, maps.scale))
    return eps, found.cross, found.self_


def read(
    unet: UNet,
    z: Tensor,
    t: Tensor,
    ctx: Tensor,
    maps: MapSpec,
    last: str | None,
    fused: bool,
    prefix: Prefix | None = None,
) -> tuple[Tensor, Tensor]:
    """The maps of a pass of z (B,4,h,w) with ctx (B,77,D): cross (B,N,77), self (B,N,N).

    last: the site after which the pass may end; None: a whole pass. prefix: what z and t have made of it before.
    """
    means = LayerMean(maps)
    shown = explicit(means, fused)
    if not has_prefix(unet, shown):
        unet(z, t, ctx, tap=shown)
    elif last is None:
        finish(unet, prefix or before_text(unet, z, t), ctx, tap=shown)
    else:
        read_until(unet, prefix or before_text(unet, z, t), ctx, means, last)
    found = means.maps(map_grid(z, maps.scale))
    return found.cross, found.self_


def explicit(tap: Tap | None, fused: bool) -> Tap | None:
    """The tap; without fused attention, one that has every site compute its maps besides."""
    return tap if fused else compose(Tap(), *[tap] if tap is not None else [])


def last_site(unet: UNet, maps: MapSpec) -> str:
    """The name of the last site whose maps are read."""
    means = LayerMean(maps)
    return [site.name for site in unet.sites if means.wants(site)][-1]
