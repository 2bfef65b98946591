"""The UNet passes of the loop as functions of tensors, which a compiler can take whole and a CUDA graph can record.

Shapes: B samples; n branches beside each other, nB latents; N pixels of the maps' grid; K words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from minisd import Part, Tap, UNet, compose

from ..edits.attention_loss import Maps, Target, attention_loss
from ..edits.maps import LayerMean, descend, gradient_scale, map_grid
from .short_passes import Prefix, before_text, expand, finish, has_prefix, read_until


@dataclass(frozen=True)
class Reader:
    """Which maps are read, and how."""

    scale: int  # of the sites
    heads: int | None  # how many, from the first
    stop: str | None  # the site after which a pass may end
    sdpa: bool  # fused attention at the other sites


@dataclass(frozen=True)
class Guidance:
    scale: float
    one_batch: bool  # with and without the prompt in one call
    sdpa: bool  # fused attention where no tap looks


def guided(
    unet: UNet, z: Tensor, t: Tensor, uncond: Tensor, ctx: Tensor, guidance: Guidance, tap: Tap | None
) -> Tensor:
    """Classifier-free guidance: eps (nB,4,h,w) of z (nB,4,h,w), uncond (1,77,D), ctx (nB,77,D).

    The tap sees the samples with the prompt, not those without.
    """
    uncond = uncond.expand_as(ctx)
    if guidance.one_batch:
        seen = Part(tap, slice(len(z), None)) if tap is not None else None
        eps_u, eps_c = _twice(unet, z, t, torch.cat([uncond, ctx]), _explicit(seen, guidance.sdpa)).chunk(2)
    else:
        eps_u = unet(z, t, uncond, tap=_explicit(None, guidance.sdpa))
        eps_c = unet(z, t, ctx, tap=_explicit(tap, guidance.sdpa))
    return eps_u + guidance.scale * (eps_c - eps_u)


def _twice(unet: UNet, z: Tensor, t: Tensor, ctx: Tensor, tap: Tap | None) -> Tensor:
    """eps (2n,4,h,w) of n latents under 2n contexts: sample k and sample n + k have the latents z[k]."""
    rows = torch.arange(len(z), device=z.device).repeat(2)
    if has_prefix(unet, tap):
        return finish(unet, expand(before_text(unet, z, t), rows), ctx, tap)
    return unet(z[rows], t if t.dim() == 0 else t[rows], ctx, tap=tap)


def guided_with_maps(
    unet: UNet,
    z: Tensor,
    t: Tensor,
    uncond: Tensor,
    ctx: Tensor,
    columns: Tensor,
    guidance: Guidance,
    reader: Reader,
    tap: Tap | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`guided`, and maps of its last B samples with the prompt: (eps (nB,4,h,w), cross (B,N,K), self (B,N,N)).

    columns (B,K): the tokens whose columns of the cross maps are kept.
    """
    means = LayerMean(reader.scale, reader.heads, columns)
    seen: Tap = Part(means, slice(len(z) - len(columns), None))
    eps = guided(unet, z, t, uncond, ctx, guidance, compose(seen, tap) if tap is not None else seen)
    maps = means.maps(map_grid(z, reader.scale))
    return eps, maps.cross, maps.self_


def read(
    unet: UNet, z: Tensor, t: Tensor, ctx: Tensor, columns: Tensor, reader: Reader, prefix: Prefix | None = None
) -> tuple[Tensor, Tensor]:
    """The maps of a pass that ends at the reader's stop: cross (B,N,K), the words' columns alone; self (B,N,N).

    prefix: the one of z and t, if it was made before.
    """
    means = LayerMean(reader.scale, reader.heads, columns)
    tap = means if reader.sdpa else compose(Tap(), means)
    if not has_prefix(unet, tap):
        unet(z, t, ctx, tap=tap)  # to the end: the sites that want this are those of the last block too
    else:
        prefix = before_text(unet, z, t) if prefix is None else prefix
        if reader.stop is None:
            finish(unet, prefix, ctx, tap)
        else:
            read_until(unet, prefix, ctx, tap, reader.stop)
    maps: Maps = means.maps(map_grid(z, reader.scale))
    return maps.cross, maps.self_


def map_loss(
    unet: UNet,
    ctx: Tensor,
    z: Tensor,
    t: Tensor,
    columns: Tensor,
    target: Target,
    reader: Reader,
    form: str,
    prefix: Prefix | None,
) -> Tensor:
    """ITO's loss, summed over samples: a scalar. Each sample's gradient is its own."""
    cross, self_ = read(unet, z, t, ctx, columns, reader, prefix)
    return attention_loss(target, cross, self_, form).sum()


def iterate(
    loss: Callable[..., Tensor],
    head: Callable[..., Prefix] | None,
    unet: UNet,
    reader: Reader,
    form: str,
    iterations: int,
    ctx: Tensor,
    z: Tensor,
    t: Tensor,
    eta: Tensor,
    columns: Tensor,
    *target: Tensor,
) -> Tensor:
    """All iterations of a step's ITO from ctx (B,77,D) on.

    loss, head: the functions above or what a compiler made of them; head None: every pass begins at the latents.
    """
    start = head(unet, z, t) if head is not None else None
    words = Target(*target)
    scale = gradient_scale(unet.conv_in.weight.dtype)
    return descend(ctx, lambda c: loss(unet, c, z, t, columns, words, reader, form, start), iterations, eta, scale)


def _explicit(tap: Tap | None, sdpa: bool) -> Tap | None:
    """The tap, or where fused attention is not to run, one that has every site compute its maps besides."""
    return tap if sdpa else compose(Tap(), *[tap] if tap is not None else [])
