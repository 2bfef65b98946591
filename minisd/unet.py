"""The denoiser eps = UNet(z_t, t, ctx) of Stable Diffusion v1.x (Rombach et al. 2022; Ronneberger et al. 2015).

    z ── conv_in ── down 0 ── down 1 ── down 2 ── down 3 ─┐
                      │skips    │         │         │     mid
    eps ─ conv_out ─ up 3 ──── up 2 ──── up 1 ──── up 0 ──┘

Residual blocks carry the timestep, spatial transformers (minisd/attention.py) the text. Module names are
those of the diffusers state dict.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Place, Site, SpatialTransformer
from .base.counted import counted
from .base.errors import UserError
from .config import UNetConfig
from .tap import Tap
from .taps.compose import check_reached


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a skip; the timestep's embedding is added between them.

    In the UNet, eps is 1e-5 and there is a timestep. In the VAE, eps is 1e-6 and there is none (`emb_dim` None).
    """

    def __init__(self, dim_in: int, dim_out: int, groups: int, emb_dim: int | None = None, eps: float = 1e-5):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, dim_in, eps=eps)
        self.conv1 = nn.Conv2d(dim_in, dim_out, 3, padding=1)
        if emb_dim is not None:
            self.time_emb_proj = nn.Linear(emb_dim, dim_out)
        self.norm2 = nn.GroupNorm(groups, dim_out, eps=eps)
        self.conv2 = nn.Conv2d(dim_out, dim_out, 3, padding=1)
        if dim_in != dim_out:
            self.conv_shortcut = nn.Conv2d(dim_in, dim_out, 1)

    def forward(self, x: Tensor, emb: Tensor | None = None) -> Tensor:
        """x (B,C,h,w), emb (B,E), or (1,E) for all samples -> (B,C',h,w)"""
        h = self.conv1(F.silu(self.norm1(x)))
        if emb is not None:
            h = h + self.time_emb_proj(F.silu(emb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class Downsample(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """To the size of the next skip: an odd side was halved and rounded up, so doubling could give one too many."""
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class TimestepEmbedding(nn.Module):
    """linear_2(silu(linear_1(.))) of the sinusoids below."""

    def __init__(self, dim: int, emb_dim: int):
        super().__init__()
        self.linear_1 = nn.Linear(dim, emb_dim)
        self.linear_2 = nn.Linear(emb_dim, emb_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


def sinusoids(t: Tensor, dim: int) -> Tensor:
    """t (B,) -> (B,dim) in float32: [cos(t w_i), sin(t w_i)], w_i = 10000^(-i / (dim/2)). Vaswani et al. 2017."""
    half = dim // 2
    w = torch.exp(-math.log(10000) / half * torch.arange(half, device=t.device, dtype=torch.float32))
    angles = t.float()[:, None] * w
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class _Builder:
    """Makes the UNet's parts from the config, and collects their attention sites in execution order."""

    def __init__(self, config: UNetConfig):
        self.config = config
        self.emb_dim = 4 * config.channels[0]
        self.sites: list[Site] = []

    def residual(self, dim_in: int, dim_out: int) -> ResidualBlock:
        return ResidualBlock(dim_in, dim_out, self.config.groups, self.emb_dim)

    def transformer(self, dim: int, place: Place, prefix: str, scale: int) -> SpatialTransformer:
        c = self.config
        self_site = Site(f"{prefix}.self", "self", place, scale, c.heads)
        cross_site = Site(f"{prefix}.cross", "cross", place, scale, c.heads)
        self.sites += [self_site, cross_site]
        return SpatialTransformer(dim, c.context_dim, c.groups, self_site, cross_site)


class DownBlock(nn.Module):
    def __init__(self, build: _Builder, i: int, dim_in: int):
        super().__init__()
        c, dim = build.config, build.config.channels[i]
        self.resnets = nn.ModuleList([build.residual(dim if n else dim_in, dim) for n in range(c.layers)])
        self.attentions = nn.ModuleList(
            [build.transformer(dim, "down", f"down.{i}.{n}", 2**i) for n in range(c.layers) if c.attention[i]]
        )
        self.downsamplers = nn.ModuleList([Downsample(dim)] if i < len(c.channels) - 1 else [])

    def forward(self, x: Tensor, emb: Tensor, ctx: Tensor, tap: Tap | None, skips: list[Tensor]) -> Tensor:
        """Appends the output of every layer to `skips`."""
        for n, resnet in enumerate(self.resnets):
            x = resnet(x, emb)
            if self.attentions:
                x = self.attentions[n](x, ctx, tap)
            skips.append(x)
        for downsample in self.downsamplers:
            x = downsample(x)
            skips.append(x)
        return x


class MidBlock(nn.Module):
    def __init__(self, build: _Builder):
        super().__init__()
        dim, scale = build.config.channels[-1], 2 ** (len(build.config.channels) - 1)
        self.resnets = nn.ModuleList([build.residual(dim, dim) for _ in range(2)])
        self.attentions = nn.ModuleList([build.transformer(dim, "mid", "mid", scale)])

    def forward(self, x: Tensor, emb: Tensor, ctx: Tensor, tap: Tap | None) -> Tensor:
        x = self.resnets[0](x, emb)
        x = self.attentions[0](x, ctx, tap)
        return self.resnets[1](x, emb)


class UpBlock(nn.Module):
    def __init__(self, build: _Builder, i: int, dim_in: int, skip_dims: list[int]):
        super().__init__()
        c = build.config
        level = len(c.channels) - 1 - i  # up.0 is the coarsest
        dim = c.channels[level]
        self.resnets = nn.ModuleList(
            [build.residual((dim if n else dim_in) + skip_dims.pop(), dim) for n in range(c.layers + 1)]
        )
        self.attentions = nn.ModuleList(
            [build.transformer(dim, "up", f"up.{i}.{n}", 2**level) for n in range(c.layers + 1) if c.attention[level]]
        )
        self.upsamplers = nn.ModuleList([Upsample(dim)] if level > 0 else [])

    def forward(self, x: Tensor, emb: Tensor, ctx: Tensor, tap: Tap | None, skips: list[Tensor]) -> Tensor:
        """Takes its skips from the end of `skips`."""
        for n, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], dim=1), emb)
            if self.attentions:
                x = self.attentions[n](x, ctx, tap)
        for upsample in self.upsamplers:
            x = upsample(x, skips[-1].shape[-2:])
        return x


class UNet(nn.Module):
    """eps (B,4,h,w) of latents z (B,4,h,w) at timestep t (int or (B,)) under text embeddings ctx (B,77,D)."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        build, channels = _Builder(config), config.channels
        self.time_embedding = TimestepEmbedding(channels[0], build.emb_dim)
        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        dims_in = (channels[0], *channels[:-1])
        self.down_blocks = nn.ModuleList([DownBlock(build, i, dims_in[i]) for i in range(len(channels))])
        self.mid_block = MidBlock(build)
        skip_dims = [channels[0]]
        for i, dim in enumerate(channels):  # what the way down leaves behind, in order
            skip_dims += [dim] * (config.layers + (i < len(channels) - 1))
        ups = (channels[-1], *reversed(channels[1:]))
        self.up_blocks = nn.ModuleList([UpBlock(build, i, dim, skip_dims) for i, dim in enumerate(ups)])
        self.conv_norm_out = nn.GroupNorm(config.groups, channels[0], eps=1e-5)
        self.conv_out = nn.Conv2d(channels[0], config.out_channels, 3, padding=1)
        self.sites: tuple[Site, ...] = tuple(build.sites)

    def site(self, name: str) -> Site:
        """The site of that name. UserError, with all names, if there is none."""
        for site in self.sites:
            if site.name == name:
                return site
        raise UserError(f"no attention site {name!r}; the UNet has {', '.join(s.name for s in self.sites)}")

    def forward(self, z: Tensor, t: int | Tensor, ctx: Tensor, tap: Tap | None = None) -> Tensor:
        """The predicted noise, in z's dtype. Inside, the dtype is that of the weights.

        tap: sees or replaces keys, values, maps and outputs at the sites that it wants (minisd/tap.py).
        Raises UserError if the shapes do not fit, or if the tap, or one that is composed in it, wants no site.
        """
        self._check(z, t, ctx, tap)
        dtype = self.conv_in.weight.dtype
        ctx = ctx.to(dtype)
        emb = self.embed(t)
        x = self.conv_in(z.to(dtype))
        skips = [x]
        for down in self.down_blocks:
            x = down(x, emb, ctx, tap, skips)
        x = self.mid_block(x, emb, ctx, tap)
        for up in self.up_blocks:
            x = up(x, emb, ctx, tap, skips)
        return self.conv_out(F.silu(self.conv_norm_out(x))).to(z.dtype)

    def embed(self, t: int | Tensor) -> Tensor:
        """The embedding of timestep t (int, or a scalar, or (B,)) -> (1,E) or (B,E), in the weights' dtype."""
        weight = self.conv_in.weight
        t = torch.as_tensor(t, device=weight.device).reshape(-1)
        return self.time_embedding(sinusoids(t, self.config.channels[0]).to(weight.dtype))

    def _check(self, z: Tensor, t: int | Tensor, ctx: Tensor, tap: Tap | None) -> None:
        c = self.config
        if z.dim() != 4 or z.shape[1] != c.in_channels:
            raise UserError(f"latents of shape {tuple(z.shape)}; expected (B,{c.in_channels},h,w)")
        if ctx.dim() != 3 or len(ctx) != len(z) or ctx.shape[2] != c.context_dim:
            raise UserError(
                f"context of shape {tuple(ctx.shape)} beside latents of shape {tuple(z.shape)}; "
                f"expected ({len(z)},77,{c.context_dim})"
            )
        if isinstance(t, Tensor) and (t.dim() > 1 or t.numel() not in (1, len(z))):
            raise UserError(
                f"timesteps of shape {tuple(t.shape)}; expected one, or one for each of {counted(len(z), 'sample')}"
            )
        if tap is not None:
            check_reached(tap, self.sites)
