"""Parts of a UNet pass: the beginning, which does not depend on the text, and passes that continue or end early.

    before_text(z, t) ── expand ── finish(ctx)      = unet(z, t, ctx)
                                └─ read_until(ctx)    the same up to one attention site

Everything here runs on the modules of the plain UNet (minisd/unet.py), which has no code for it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minisd import Tap, UNet, UserError
from minisd.attention import SpatialTransformer, TransformerBlock
from minisd.taps.compose import check_reached
from minisd.unet import DownBlock, MidBlock, UpBlock


class Prefix(NamedTuple):
    """The part of a UNet pass that does not depend on the text: equal for every context at this z and t."""

    emb: Tensor  # the timestep's embedding, (1,E) or (U,E) for U latents
    skip: Tensor  # the output of conv_in (U,C,h,w), which is also the first skip
    features: Tensor  # the output of the first residual block (U,C,h,w)
    tokens: Tensor  # in the first transformer, after its self attention (U,hw,C)
    dtype: torch.dtype  # of the latents, and so of the predicted noise


def has_prefix(unet: UNet, tap: Tap | None) -> bool:
    """Whether a pass with this tap can continue from a prefix.

    The UNet's first block must have attention, and the tap must not want the first site: this self attention is a part
    of the prefix, where no tap can see it.
    """
    return unet.config.attention[0] and (tap is None or not tap.wants(unet.sites[0]))


def before_text(unet: UNet, z: Tensor, t: int | Tensor) -> Prefix:
    """The prefix of latents z (U,4,h,w) at t, an int or a tensor, () or (U,). UserError if the UNet has none."""
    if not has_prefix(unet, None):
        raise UserError("the first block of this UNet has no attention, so that its passes have no common prefix")
    emb, skip = unet.embed(t), unet.conv_in(z.to(unet.conv_in.weight.dtype))
    _, resnet, transformer = _layers(unet)[0]
    assert isinstance(transformer, SpatialTransformer)
    features = resnet(skip, emb)
    return Prefix(emb, skip, features, _self_attention(transformer, features, None), z.dtype)


def expand(prefix: Prefix, latents: Tensor) -> Prefix:
    """The prefix of U latents, repeated for m contexts. latents (m,), int64: the index of each context's latent."""
    emb = prefix.emb if len(prefix.emb) == 1 else prefix.emb[latents]
    return Prefix(emb, prefix.skip[latents], prefix.features[latents], prefix.tokens[latents], prefix.dtype)


def finish(unet: UNet, prefix: Prefix, ctx: Tensor, tap: Tap | None = None) -> Tensor:
    """The rest of the pass with ctx (U,77,D): eps (U,4,h,w), equal to `unet(z, t, ctx, tap)`.

    UserError if the tap wants the first site (`has_prefix`), or if it wants none of the others.
    """
    x = _walk(unet, prefix, ctx, tap, None)
    return unet.conv_out(F.silu(unet.conv_norm_out(x))).to(prefix.dtype)


def read_until(unet: UNet, prefix: Prefix, ctx: Tensor, tap: Tap, end_site: str) -> None:
    """Like `finish`, but the pass ends after the attention site `end_site`. It is for a tap that reads maps."""
    _walk(unet, prefix, ctx, tap, unet.site(end_site).name)


def _walk(unet: UNet, prefix: Prefix, ctx: Tensor, tap: Tap | None, end_site: str | None) -> Tensor:
    """The features before conv_norm_out. If there is an `end_site`, the walk ends after it."""
    _check(unet, prefix, ctx, tap, end_site)
    ctx = ctx.to(prefix.tokens.dtype)
    x, skips = prefix.features, [prefix.skip]
    for k, (stage, module, transformer) in enumerate(_layers(unet)):
        if stage == "grow":
            x = module(x, skips[-1].shape[-2:])
        elif stage == "shrink":
            x = module(x)
        elif stage == "up":
            x = module(torch.cat([x, skips.pop()], dim=1), prefix.emb)
        elif k > 0:
            x = module(x, prefix.emb)
        if isinstance(transformer, SpatialTransformer):
            block = _block(transformer)
            h = _self_attention(transformer, x, tap) if k > 0 else prefix.tokens
            if block.attn1.site.name == end_site:
                return x
            h = h + block.attn2(block.norm2(h), ctx, tap)
            if block.attn2.site.name == end_site:
                return x
            h = h + block.ff(block.norm3(h))
            x = x + transformer.proj_out(rearrange(h, "b (h w) c -> b c h w", h=x.shape[2]))
        if stage in ("down", "shrink"):
            skips.append(x)
    return x


def _check(unet: UNet, prefix: Prefix, ctx: Tensor, tap: Tap | None, end_site: str | None) -> None:
    if len(ctx) != len(prefix.tokens):
        raise UserError(f"{len(ctx)} contexts for a prefix of {len(prefix.tokens)} latents; see expand()")
    if not has_prefix(unet, tap):
        raise UserError(f"the tap {type(tap).__name__} wants the site {unet.sites[0].name}, which is in the prefix")
    if tap is not None:
        names = [site.name for site in unet.sites]
        check_reached(tap, unet.sites[1 : names.index(end_site) + 1 if end_site else None])


def _self_attention(transformer: SpatialTransformer, x: Tensor, tap: Tap | None) -> Tensor:
    """The first half of a transformer: x (B,C,h,w) -> tokens (B,hw,C)."""
    block = _block(transformer)
    h = rearrange(transformer.proj_in(transformer.norm(x)), "b c h w -> b (h w) c")
    n = block.norm1(h)
    return h + block.attn1(n, n, tap)


def _block(transformer: SpatialTransformer) -> TransformerBlock:
    block = transformer.transformer_blocks[0]
    assert isinstance(block, TransformerBlock)
    return block


# the stage (down, shrink, mid, up or grow), the layer, and the transformer that follows it, if there is one
Layer = tuple[str, nn.Module, nn.Module | None]


def _layers(unet: UNet) -> list[Layer]:
    """In execution order."""
    layers: list[Layer] = []
    for down in unet.down_blocks:
        assert isinstance(down, DownBlock)
        layers += _pairs("down", down)
        layers += [("shrink", layer, None) for layer in down.downsamplers]
    layers += _pairs("mid", unet.mid_block)
    for up in unet.up_blocks:
        assert isinstance(up, UpBlock)
        layers += _pairs("up", up)
        layers += [("grow", layer, None) for layer in up.upsamplers]
    return layers


def _pairs(stage: str, block: DownBlock | MidBlock | UpBlock) -> list[Layer]:
    transformers = dict(enumerate(block.attentions))
    return [(stage, resnet, transformers.get(n)) for n, resnet in enumerate(block.resnets)]
